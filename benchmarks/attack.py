"""Attack a clone in every way that its tests know, with long forms of those on a running service; print one table.

python benchmarks/attack.py [CLONE] [--requests 10000] [--short]

CLONE is the folder of a clone with a .venv made by `make test`, by default this one. Each row runs tests of the clone
by its own Python, on the loopback and in temporary folders alone; the exit code is 1 if one of them fails or none ran.
--short leaves out what takes minutes (kills, clients that wait for their time limit, the live page) and sends 500
requests: about five minutes on two idle cores, ten beside other work.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 3_600


@dataclass(frozen=True)
class Attack:
    """One row of the table. tests: files or tests below tests/; select: pytest's -k; is_long: not in the short form."""

    name: str
    tests: tuple[str, ...]
    select: str = ""
    is_long: bool = False


ATTACKS = (
    Attack("malformed requests", ("serve/test_attack.py",), "malformed"),
    Attack("every parser, in process", ("serve/test_fuzz.py",), is_long=True),
    Attack("raw HTTP: smuggling, large heads", ("serve/test_attack.py",), "raw_bytes"),
    Attack("raw HTTP: limits of a client", ("serve/test_limits.py",)),
    Attack("idle, slow head, slow body: 300", ("serve/test_attack.py",), "holds", is_long=True),
    Attack("worst bodies, processor seconds", ("serve/test_contract.py",)),
    Attack("keys, names of the host, origins", ("serve/test_guard.py", "serve/test_sites.py")),
    Attack("tampered models", ("io/test_model_files.py", "io/test_model_schema.py", "io/test_model_hash.py")),
    Attack("tampered arrays of models", ("io/test_model_arrays.py",), is_long=True),
    Attack("tampered archives and mirrors", ("io/test_archive_attack.py", "io/test_archive_format.py")),
    Attack("markup in names and values", ("page", "serve/test_form.py", "report/test_explore.py")),
    Attack("dashboard: token, paths, records", ("monitor/test_dashboard.py", "cli/test_dashboard.py")),
    Attack("dashboard: hosts, limits", ("cli/test_dashboard_sites.py",)),
    Attack("live page and Voila's port", ("monitor/test_live.py",), is_long=True),
    Attack("redirects with credentials", ("io/test_redirects.py",)),
    Attack("other users of the machine", ("config/test_private.py", "flow/test_private.py")),
    Attack("disk and database fail", ("serve/test_storage_faults.py",)),
    Attack("S3 fails at 30 %", ("io/test_storage_faults.py",), is_long=True),
    Attack("kill -9 under load", ("serve/test_under_load.py",), is_long=True),
    Attack("secrets in errors and records", ("test_redaction.py", "io/test_secrets_in_errors.py")),
)


@dataclass(frozen=True)
class Outcome:
    """What pytest said of an attack: how many tests failed and were skipped, and the figures that they told."""

    tests: int
    failed: int
    skipped: int
    figures: tuple[str, ...]
    seconds: float
    output: str

    @property
    def verdict(self) -> str:
        """``good``; ``BAD`` if a test failed or broke; ``none ran`` if nothing was shown."""
        if self.failed or self.tests == 0:
            return "BAD"
        return "good" if self.tests > self.skipped else "none ran"


def attack(clone: Path, attack: Attack, environment: dict[str, str]) -> Outcome:
    """Run the tests of an attack in ``clone``."""
    python = clone / ".venv" / "bin" / "python"
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="quire-attack-") as folder:
        report = Path(folder) / "report.xml"
        command = [python if python.exists() else sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
        command += [f"--junitxml={report}", f"--basetemp={folder}/tests", *(f"tests/{test}" for test in attack.tests)]
        command += ["-k", attack.select] if attack.select else []
        done = subprocess.run(
            command, cwd=clone, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        suite = ElementTree.parse(report).find(".//testsuite") if report.exists() else None
    output, seconds = done.stdout + done.stderr, time.monotonic() - began
    if suite is None:
        return Outcome(0, 0, 0, (), seconds, output)
    count = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    figures = tuple(str(one.get("value")) for one in suite.iter("property") if one.get("name") == "figure")
    return Outcome(count["tests"], count["failures"] + count["errors"], count["skipped"], figures, seconds, output)


def main() -> None:
    """Print a line for each attack as it ends; exit 1 if one is not good."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clone", nargs="?", type=Path, default=ROOT)
    parser.add_argument("--requests", type=int, default=None, help="malformed requests to each database")
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    clone = options.clone.resolve()
    requests = options.requests or (500 if options.short else 10_000)
    environment = os.environ | {"QUIRE_ATTACK_REQUESTS": str(requests), "PYTHONPATH": str(clone / "lib")}
    environment |= {} if options.short else {"QUIRE_ATTACK_SLOW": "1"}
    print(f"{'attack':<34} {'tests':>5} {'failed':>6} {'skipped':>7} {'s':>5}  verdict  figures", flush=True)
    bad = []
    for row in ATTACKS:
        if row.is_long and options.short:
            continue
        outcome = attack(clone, row, environment)
        print(
            f"{row.name:<34} {outcome.tests:>5} {outcome.failed:>6} {outcome.skipped:>7} {outcome.seconds:>5.0f}  "
            f"{outcome.verdict:<8} {'; '.join(outcome.figures)}",
            flush=True,
        )
        if outcome.verdict != "good":
            bad.append((row, outcome))
    for row, outcome in bad:
        print(f"\n== {row.name}\n{outcome.output[-4_000:]}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()

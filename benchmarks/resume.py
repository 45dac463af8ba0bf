"""Kill the demo at random moments, start it on an empty machine with the same archive, and compare what comes of it.

python benchmarks/resume.py [--rounds 3] [--seed 1] [--params demo]

A machine is a copy of the project with nothing in its outputs; S3 is moto's server on loopback. A kill is SIGKILL to
all processes of the machine at once. The lease of the dead machine is removed instead of waiting five minutes for it.
"""

import argparse
import importlib.util
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path

import yaml

from quire.flow import history
from quire.flow.record import read_record
from quire.io import storage

ROOT = Path(__file__).parents[1]
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true"}


def suite():
    """Return the module with the suite's projects."""
    spec = importlib.util.spec_from_file_location("suite", ROOT / "tests" / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["suite"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@contextmanager
def s3():
    """The address of moto's server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)):
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


class Machine:
    """A copy of the project, with an archive."""

    def __init__(self, folder, params, archive, url):
        source = yaml.safe_load((ROOT / "params" / "demo" / "config.yaml").read_text())["source"]
        trials = yaml.safe_load((ROOT / "params" / "demo" / "params.yaml").read_text())["train"]["search"]["trials"]
        self.project = suite().make_project(folder, hours=source["hours"], trials=trials)
        self.params = params
        path = folder / "params" / params / "config.yaml"
        config = yaml.safe_load(path.read_text()) | {"archive": {"url": archive, "endpoint_url": url}}
        path.write_text(yaml.safe_dump(config))

    def start(self):
        """Start the workflow; return its process."""
        return subprocess.Popen(
            [sys.executable, "-m", "quire", "run", f"params/{self.params}"],
            cwd=self.project.root,
            env=self.project.environment | CREDENTIALS,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self):
        """Run the workflow to its end; return the run's folder."""
        process = self.start()
        _, errors = process.communicate()
        assert process.returncode == 0, f"exit code {process.returncode}:\n{errors}"
        return self.project.runs[-1]

    def kill(self):
        """Kill every process of the machine."""
        mark = f"QUIRE_ROOT={self.project.root}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)
            except OSError:
                continue

    def findings(self, folder):
        """Return the metrics of every stage, who is champion, and what is predicted: all that must be the same."""
        outputs = self.project.outputs
        with closing(sqlite3.connect(outputs / "mlflow.db")) as registry:
            champion = registry.execute("SELECT name, alias, version FROM registered_model_aliases").fetchall()
        with closing(sqlite3.connect(outputs / "quire.db")) as database:
            predicted = database.execute(
                "SELECT count(*), count(DISTINCT row_key), sum(value) FROM prediction"
            ).fetchone()
        return {"metrics": history.metrics(folder), "champion": champion, "predicted": predicted}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--params", default="demo")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    os.environ |= CREDENTIALS
    with tempfile.TemporaryDirectory(prefix="quire-resume-") as scratch, s3() as url:
        storage.client("s3", url).create_bucket(Bucket="quire")

        def machine(name, archive):
            return Machine(Path(scratch) / name, options.params, f"s3://quire/{archive}", url)

        alone = machine("alone", "alone")
        began = time.monotonic()
        expected = alone.findings(alone.run())
        seconds = time.monotonic() - began
        print(f"undisturbed: {seconds:.0f} s, {len(expected['metrics'])} metrics", flush=True)
        for number in range(1, options.rounds + 1):
            archive = f"round-{number}"
            first, second = machine(f"first-{number}", archive), machine(f"second-{number}", archive)
            process = first.start()
            moment = rng.uniform(0.1, 0.95) * seconds
            try:
                process.wait(timeout=moment)
            except subprocess.TimeoutExpired:
                first.kill()
            process.communicate()
            died = {name: stage["status"] for name, stage in read_record(first.project.runs[-1])["stages"].items()}
            storage.open(f"s3://quire/{archive}", url).delete([f"leases/{options.params}.json"])
            folder = second.run()
            stages = read_record(folder)["stages"]
            reused = [name for name, stage in stages.items() if stage["status"] == "reused"]
            found = second.findings(folder)
            same = found == expected
            ended = [name for name, status in died.items() if status == "succeeded"]
            print(
                f"killed after {moment:.0f} s, when {', '.join(ended) or 'nothing'} had ended: "
                f"reused {', '.join(reused) or 'nothing'}; {'the same to the last digit' if same else 'DIFFERENT'}",
                flush=True,
            )
            if not same:
                print(json.dumps({"expected": expected, "found": found}, indent=1))
                sys.exit(1)


if __name__ == "__main__":
    main()

"""What has a checker of its own is checked with it: scripts, Dockerfile, units, workflows."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted([*ROOT.glob("infra/*.sh"), *ROOT.glob("infra/aws/boot/*.sh"), *ROOT.glob("scripts/*.sh")])
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
DEV = "`make test` installs it"


def check(program, how, *arguments):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is missing: {how}")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_scripts_pass_shellcheck():
    assert SCRIPTS
    check("shellcheck", DEV, *SCRIPTS)


def test_the_dockerfile_passes_hadolint():
    check("hadolint", DEV, "Dockerfile")


@pytest.mark.parametrize(
    ("schema", "files"), [("github-workflows", WORKFLOWS), ("compose-spec", [ROOT / "compose.yaml"])]
)
def test_workflows_and_compose_file_are_as_their_schemas_say(schema, files):
    assert files
    check("check-jsonschema", DEV, "--builtin-schema", f"vendor.{schema}", *files)


def test_workflows_pass_zizmor():
    check("zizmor", DEV, "--offline", ".github/workflows")


def test_workflows_pass_actionlint():
    how = "`go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.7`"
    check("actionlint", how, *WORKFLOWS)


def test_every_action_is_pinned_by_its_commit():
    uses = [use for path in WORKFLOWS for use in re.findall(r"uses: (\S+)", path.read_text())]
    assert uses
    assert [use for use in uses if not re.search(r"@[0-9a-f]{40}$", use)] == []


def test_units_pass_systemd(tmp_path):
    (tmp_path / "docker.service").write_text("[Service]\nExecStart=/bin/true\n")  # of the machines that they are for
    for path in [*ROOT.glob("infra/systemd/*"), *ROOT.glob("infra/aws/boot/quire-*")]:
        name = path.name.replace("@.", "@demo.score.")
        # The programs that the units start are there too.
        text = re.sub(r"^(Exec\w+)=(-?).*", r"\1=\2/bin/true", path.read_text(), flags=re.M)
        (tmp_path / name).write_text(re.sub(r"^User=.*\n", "", text, flags=re.M))
    check("systemd-analyze", "it comes with systemd", "verify", "--man=no", *sorted(tmp_path.iterdir()))

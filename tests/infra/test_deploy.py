"""The deploy script, with tools that note what they are asked and answer as AWS would."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

INFRA = Path(__file__).parents[2] / "infra"

AWS = """#!/usr/bin/env python3
import json, os, pathlib, sys
folder = pathlib.Path(os.environ["FAKE"])
words = sys.argv[1:]
state = json.loads((folder / "state.json").read_text())
with (folder / "calls").open("a") as calls:
    calls.write("aws " + " ".join(words) + "\\n")
def option(name):
    return words[words.index(name) + 1] if name in words else ""
what = " ".join(words[:2])
if what == "sts get-caller-identity":
    print("123456789012")
elif what == "ssm get-parameter":
    print(state["releases"][-1])
elif what == "ssm get-parameter-history":
    print("\\t".join(state["releases"]))
elif what == "ssm put-parameter":
    state["releases"].append(option("--value"))
elif what == "ecr describe-images":
    sys.exit(0 if option("--image-ids").removeprefix("imageTag=") in state["images"] else 254)
elif what == "ecr get-login-password":
    print("secret")
elif what == "elasticbeanstalk describe-environments":
    query, name = option("--query"), option("--environment-names")
    if "EnvironmentName" in query:
        print("\\t".join(state["environments"]))
    elif "VersionLabel" in query:
        print(state["environments"][name])
    else:
        ill = any(state["environments"][name].endswith(bad) for bad in state["ill"])
        print("Ready\\tRed" if ill else "Ready\\tGreen")
elif what == "elasticbeanstalk describe-application-versions":
    print(int(option("--version-labels") in state["versions"]))
elif what == "elasticbeanstalk create-application-version":
    state["versions"].append(option("--version-label"))
elif what == "elasticbeanstalk update-environment":
    state["environments"][option("--environment-name")] = option("--version-label")
elif what == "lambda invoke":
    pathlib.Path(words[-1]).write_text(json.dumps({"instance": "i-0a", "market": "on-demand"}))
elif what == "s3 cp" and words[-1] == "-":
    print(json.dumps({"release": "", "exit_code": state["setup"]}))
elif what == "s3 cp":
    pathlib.Path(folder, pathlib.Path(words[-1]).name).write_bytes(pathlib.Path(words[-2]).read_bytes())
(folder / "state.json").write_text(json.dumps(state))
"""

DOCKER = """#!/usr/bin/env python3
import json, os, pathlib, sys
folder = pathlib.Path(os.environ["FAKE"])
with (folder / "calls").open("a") as calls:
    calls.write("docker " + " ".join(sys.argv[1:]) + "\\n")
if sys.argv[1] == "login":
    sys.stdin.read()
if sys.argv[1] == "push":
    state = json.loads((folder / "state.json").read_text())
    state["images"].append(sys.argv[2].rpartition(":")[2])
    (folder / "state.json").write_text(json.dumps(state))
"""

TERRAFORM = """#!/usr/bin/env bash
echo "terraform $*" >>"$FAKE/calls"
"""


class Account:
    """What there is in a made-up account, and the script."""

    def __init__(self, folder):
        self.folder = folder
        shutil.copytree(INFRA, folder / "infra", ignore=shutil.ignore_patterns(".terraform*", "build"))
        (folder / "infra" / "aws" / "staging.tfvars").write_text(
            'environment = "staging"\nregion = "eu-west-1" # here\n'
        )
        (folder / "bin").mkdir()
        for name, text in (("aws", AWS), ("docker", DOCKER), ("terraform", TERRAFORM)):
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        (folder / "calls").touch()
        parts = ("service", "dashboard", "mlflow")
        self.write(
            releases=["none", "1.0.0"],
            images=["run-1.0.0"],
            versions=[f"{part}-1.0.0" for part in parts],
            environments={f"quire-staging-{part}": f"{part}-1.0.0" for part in parts},
            ill=[],
            setup=0,
        )

    def write(self, **state):
        (self.folder / "state.json").write_text(json.dumps(state))

    @property
    def state(self):
        return json.loads((self.folder / "state.json").read_text())

    @property
    def calls(self):
        return (self.folder / "calls").read_text().splitlines()

    @property
    def environment(self):
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "FAKE": str(self.folder),
            "TAG": "1.1.0",
            "WAIT_S": "0",
            "WAIT_TRIES": "2",
        }

    def deploy(self, *words, answer="", **environment):
        return subprocess.run(
            [str(self.folder / "infra" / "deploy_aws.sh"), *words],
            capture_output=True,
            text=True,
            input=answer,
            timeout=120,
            env=self.environment | environment,
        )


@pytest.fixture
def account(tmp_path):
    return Account(tmp_path)


CHANGES = ("docker", "terraform", "aws ssm put", "aws s3", "aws elasticbeanstalk create", "aws elasticbeanstalk update")


def test_a_dry_run_prints_what_it_would_do_and_does_nothing(account):
    done = account.deploy("deploy", "staging", DRY_RUN="1")
    assert done.returncode == 0, done.stderr
    for word in ("terraform", "docker build", "docker push", "put-parameter", "update-environment"):
        assert word in done.stdout
    assert [call for call in account.calls if call.startswith(CHANGES)] == []
    assert account.state["releases"] == ["none", "1.0.0"]


@pytest.mark.parametrize("command", ["deploy", "rollback"])
def test_make_hands_on_what_it_is_given(account, command):
    shutil.copy(INFRA.parent / "Makefile", account.folder)
    done = subprocess.run(
        ["make", command, "DRY_RUN=1", "ENV=staging"],
        capture_output=True,
        text=True,
        cwd=account.folder,
        env=account.environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    release = "1.1.0" if command == "deploy" else "THE-RELEASE-BEFORE"
    assert f"put-parameter --name /quire-staging/image --value {release}" in done.stdout
    assert [call for call in account.calls if call.startswith(CHANGES)] == []


def test_a_dry_run_needs_no_tool_and_no_settings(account):
    (account.folder / "infra" / "aws" / "staging.tfvars").unlink()
    for tool in ("aws", "docker", "terraform"):
        (account.folder / "bin" / tool).unlink()
    for tool in ("bash", "cat", "cut", "dirname", "grep", "mktemp", "rm", "sed", "seq", "tail", "tr"):
        (account.folder / "bin" / tool).symlink_to(shutil.which(tool))
    (account.folder / "bin" / "python3").symlink_to(sys.executable)
    done = account.deploy("deploy", "staging", DRY_RUN="1", PATH=str(account.folder / "bin"))
    assert done.returncode == 0, done.stderr
    assert "would stop: aws is missing" in done.stderr
    assert "staging.tfvars is not there; copy example.tfvars" in done.stderr
    assert "terraform" in done.stdout
    assert not (account.folder / "infra" / "aws" / "build").exists()


def test_a_deployment_plans_asks_applies_and_releases(account):
    done = account.deploy("deploy", "staging", answer="staging\n")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [call.split()[2] for call in account.calls if call.startswith("terraform")]
    assert steps == ["init", "plan", "apply"]
    assert account.state["releases"][-1] == "1.1.0"
    assert set(account.state["environments"].values()) == {"service-1.1.0", "dashboard-1.1.0", "mlflow-1.1.0"}
    assert {"run-1.1.0", "serve-1.1.0", "dashboard-1.1.0", "mlflow-1.1.0"} <= set(account.state["images"])
    assert (account.folder / "infra" / "aws" / "build" / "functions.zip").exists()


def test_the_database_is_set_up_before_the_release_is_rolled_out(account):
    assert account.deploy("release", "staging", YES="1").returncode == 0
    order = [
        call.split()[1] for call in account.calls if call.startswith(("aws lambda", "aws elasticbeanstalk update"))
    ]
    assert order == ["lambda", *["elasticbeanstalk"] * 3]
    (call,) = [call for call in account.calls if call.startswith("aws lambda")]
    assert "quire-staging-launch" in call
    assert '"setup": "1.1.0"' in call


def test_a_database_that_is_not_set_up_stops_the_release(account):
    account.write(**{**account.state, "setup": 1})
    done = account.deploy("release", "staging", YES="1")
    assert done.returncode == 1
    assert "the database was not set up: see s3://quire-staging-archive-123456789012/boot/setup/i-0a.log" in done.stderr
    assert account.state["releases"][-1] == "1.0.0"


def test_another_answer_changes_nothing(account):
    done = account.deploy("deploy", "staging", answer="yes\n")
    assert done.returncode == 1
    assert "nothing was changed" in done.stderr
    assert not [call for call in account.calls if " apply " in call]


def test_a_release_that_is_not_well_is_taken_back(account):
    account.write(**{**account.state, "ill": ["service-1.1.0"]})
    done = account.deploy("release", "staging", YES="1")
    assert done.returncode == 1
    assert "release 1.1.0 was taken back; staging runs 1.0.0" in done.stderr
    assert account.state["releases"][-1] == "1.0.0"
    assert set(account.state["environments"].values()) == {"service-1.0.0", "dashboard-1.0.0", "mlflow-1.0.0"}


def test_a_release_does_not_touch_the_infrastructure(account):
    assert account.deploy("release", "staging", YES="1").returncode == 0
    assert not [call for call in account.calls if call.startswith("terraform")]


def test_a_rollback_goes_to_the_release_before(account):
    assert account.deploy("release", "staging", YES="1").returncode == 0
    done = account.deploy("rollback", "staging", YES="1")
    assert done.returncode == 0, done.stderr
    assert account.state["releases"][-1] == "1.0.0"
    assert account.state["environments"]["quire-staging-service"] == "service-1.0.0"


def test_without_a_release_before_there_is_no_way_back(account):
    done = account.deploy("rollback", "staging", YES="1")
    assert done.returncode == 1
    assert "no release before this one" in done.stderr


def test_beanstalk_is_told_image_and_port(account):
    import zipfile

    account.deploy("release", "staging", YES="1")
    with zipfile.ZipFile(account.folder / "service-1.1.0.zip") as bundle:
        content = json.loads(bundle.read("Dockerrun.aws.json"))
    assert content["Image"]["Name"].endswith("/quire-staging:serve-1.1.0")
    assert content["Ports"] == [{"ContainerPort": 8000}]


def test_the_smoke_test_sees_a_part_that_runs_something_else(account):
    state = account.state
    state["environments"]["quire-staging-dashboard"] = "dashboard-0.9.0"
    account.write(**state)
    done = account.deploy("smoke", "staging")
    assert done.returncode == 1
    assert "quire-staging-dashboard runs dashboard-0.9.0 instead of dashboard-1.0.0" in done.stderr


@pytest.mark.parametrize("words", [(), ("deploy",), ("deploy", "test"), ("undo", "staging")])
def test_what_it_does_not_know_it_explains(account, words):
    done = account.deploy(*words)
    assert done.returncode == 2
    assert "deploy_aws.sh deploy staging|prod" in done.stdout
    assert account.calls == []


def test_settings_that_are_not_there_are_asked_for(account):
    done = account.deploy("deploy", "prod")
    assert done.returncode == 1
    assert "copy example.tfvars" in done.stderr

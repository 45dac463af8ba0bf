"""The boot script, run for real: its own calls of AWS go to moto, its container is a process on this machine."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

BOOT = Path(__file__).parents[2] / "infra" / "aws" / "boot"
BIN = Path(__file__).parent / "bin"
SECRET = "postgresql+psycopg://quire:hidden@db:5432/quire"


class Metadata:
    """EC2's metadata service, version 2: a token first, then answers."""

    def __init__(self):
        self.answers = {
            "instance-id": "i-0123456789abcdef0",
            "tags/instance/quire:params": "x",
            "tags/instance/quire:workflow": "train",
        }
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self):
                self.answer(200, "token-1")

            def do_GET(self):
                if self.headers.get("X-aws-ec2-metadata-token") != "token-1":
                    return self.answer(401, "")
                found = outer.answers.get(self.path.removeprefix("/latest/meta-data/"))
                return self.answer(200 if found else 404, found or "")

            def answer(self, status, text):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


class Instance:
    """A machine to boot."""

    def __init__(self, folder, aws, spoken_aws, metadata):
        self.folder, self.aws, self.spoken_aws, self.metadata = folder, aws, spoken_aws, metadata
        (folder / "run").mkdir()
        (folder / "docker").mkdir()
        self.container("exit 0")
        self.extra = {}

    def container(self, script):
        path = self.folder / "container"
        path.write_text(f"#!/usr/bin/env bash\n{script}\n")
        path.chmod(0o755)

    @property
    def environment(self):
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("QUIRE_", "MLFLOW_"))},
            "PATH": f"{BIN}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": self.aws,
            "SPOKEN_AWS": self.spoken_aws,
            "AWS_REGION": "eu-west-1",
            "QUIRE_NAMESPACE": "Quire/staging",
            "QUIRE_ARCHIVE": "s3://archive/quire",
            "BOOT_BUCKET": "archive",
            "BOOT_IMAGE": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/quire-staging",
            "BOOT_RELEASE": "/quire-staging/image",
            "BOOT_SECRET": "quire-staging/database/quire",
            "BOOT_LOG_GROUP": "/quire-staging/runner",
            "BOOT_TIMEOUT_S": "120",
            "BOOT_IMDS": self.metadata.url,
            "BOOT_GRACE_S": "20",
            "BOOT_POLL_S": "0.2",
            "BOOT_RETRY_S": "0",
            "BOOT_BUSY_WAIT_S": "0.2",
            "BOOT_POWEROFF": f"touch {self.folder / 'powered-off'}",
            "RUNTIME_DIRECTORY": str(self.folder / "run"),
            "CONTAINER": str(self.folder / "container"),
            "DOCKER_STATE": str(self.folder / "docker"),
            **self.extra,
        }

    def start(self, script="run.sh"):
        return subprocess.Popen(
            [str(BOOT / script)], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def boot(self, script="run.sh"):
        with self.start(script) as process:
            self.output, _ = process.communicate(timeout=280)
        return process.returncode

    def client(self, service):
        import boto3

        return boto3.client(service, region_name="eu-west-1", endpoint_url=self.aws)

    def objects(self):
        s3 = self.client("s3")
        found = s3.list_objects_v2(Bucket="archive").get("Contents", [])
        read = {one["Key"]: s3.get_object(Bucket="archive", Key=one["Key"])["Body"].read() for one in found}
        return {key: content.decode(errors="replace") for key, content in read.items()}  # stores are no text

    def status(self):
        (text,) = [text for key, text in self.objects().items() if key.startswith("boot/x/train/") and "json" in key]
        return json.loads(text)

    def log(self):
        (text,) = [text for key, text in self.objects().items() if key.startswith("boot/x/train/") and "log" in key]
        return text

    def figure(self, name):
        from datetime import UTC, datetime, timedelta

        now = datetime.now(UTC)
        answer = self.client("cloudwatch").get_metric_statistics(
            Namespace="Quire/staging",
            MetricName=name,
            Dimensions=[{"Name": "UseCase", "Value": "x"}, {"Name": "Workflow", "Value": "train"}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=3600,
            Statistics=["Minimum"],
        )
        return [point["Minimum"] for point in answer["Datapoints"]]


@pytest.fixture
def instance(aws, spoken_aws, tmp_path):
    for program in ("bash", "curl", "timeout"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing: install it with the system's package manager")
    metadata = Metadata()
    machine = Instance(tmp_path, aws, spoken_aws, metadata)
    where = {"LocationConstraint": "eu-west-1"}
    machine.client("s3").create_bucket(Bucket="archive", CreateBucketConfiguration=where)
    machine.client("ssm").put_parameter(Name="/quire-staging/image", Value="1.2.3", Type="String")
    machine.client("secretsmanager").create_secret(Name="quire-staging/database/quire", SecretString=SECRET)
    yield machine
    metadata.server.shutdown()


def test_a_run_that_succeeds_is_told_and_the_instance_ends(instance):
    instance.container('echo "the run says: $*"')
    assert instance.boot() == 0, instance.output
    status = instance.status()
    assert (status["exit_code"], status["reason"]) == (0, "succeeded")
    assert "the run says: run params/x --workflow train" in instance.log()
    assert instance.figure("RunSucceeded") == [1.0]
    assert instance.figure("RunSeconds")[0] >= 0
    assert "status/x/train.json" in instance.objects()
    assert (instance.folder / "powered-off").exists()


def test_the_release_that_is_named_runs(instance):
    instance.boot()
    calls = (instance.folder / "docker" / "calls").read_text()
    assert "pull --quiet 123456789012.dkr.ecr.eu-west-1.amazonaws.com/quire-staging:run-1.2.3" in calls
    assert (instance.folder / "docker" / "password").read_text().strip() == "a-password-for-the-registry"


def test_the_secret_is_handed_over_and_shown_nowhere(instance):
    instance.boot()
    assert f"QUIRE_DATABASE_URL={SECRET}" in (instance.folder / "docker" / "environment").read_text()
    assert not (instance.folder / "run" / "run.env").exists()
    shown = instance.output + (instance.folder / "docker" / "calls").read_text() + json.dumps(instance.objects())
    assert "hidden" not in shown


@pytest.mark.parametrize(("code", "reason"), [(4, "a stage failed"), (6, "the run is whole but was not archived")])
def test_a_run_that_fails_is_told(instance, code, reason):
    instance.container(f"exit {code}")
    assert instance.boot() == code
    status = instance.status()
    assert (status["exit_code"], status["reason"]) == (code, reason)
    assert instance.figure("RunSucceeded") == [0.0]
    assert "status/x/train.json" not in instance.objects()
    assert (instance.folder / "powered-off").exists()


def test_a_run_that_takes_too_long_is_stopped(instance):
    instance.extra = {"BOOT_TIMEOUT_S": "3"}
    instance.container("trap 'echo told to stop; kill %1; exit 130' TERM; sleep 100 & wait")
    assert instance.boot() == 124
    assert instance.status()["reason"] == "out of time"
    assert "told to stop" in instance.log()
    assert instance.figure("RunSucceeded") == [0.0]


def test_a_run_that_does_not_listen_is_killed(instance):
    instance.extra = {"BOOT_TIMEOUT_S": "3", "BOOT_GRACE_S": "1"}
    instance.container("trap '' TERM; while :; do sleep 0.2; done")
    assert instance.boot() == 124
    assert instance.status()["reason"] == "out of time"
    assert (instance.folder / "powered-off").exists()


def test_a_spot_notice_stops_the_run_in_time(instance):
    instance.container("trap 'echo archived; kill %1; exit 130' TERM; touch $DOCKER_STATE/started; sleep 100 & wait")
    with instance.start() as process:
        end = time.monotonic() + 60
        while not (instance.folder / "docker" / "started").exists():
            assert time.monotonic() < end, "the container did not start"
            time.sleep(0.1)
        instance.metadata.answers["spot/instance-action"] = '{"action": "terminate"}'
        process.communicate(timeout=120)
    assert process.returncode == 75
    assert instance.status()["reason"].startswith("called back by a spot notice")
    assert "archived" in instance.log()
    assert instance.figure("RunSucceeded") == [0.0]


def test_a_run_waits_for_the_lease_of_the_one_before(instance):
    instance.container(
        'n=$(cat "$DOCKER_STATE/n" 2>/dev/null || echo 0); echo $((n + 1)) >"$DOCKER_STATE/n"; [ "$n" -ge 2 ] || exit 5'
    )
    assert instance.boot() == 0, instance.output
    assert (instance.folder / "docker" / "n").read_text().strip() == "3"


def test_an_image_that_is_not_there_is_told_too(instance):
    (instance.folder / "docker" / "no-image").touch()
    assert instance.boot() == 70
    assert instance.status()["reason"] == "the run did not start"
    assert instance.figure("RunSucceeded") == [0.0]
    assert (instance.folder / "powered-off").exists()


def test_an_instance_that_is_shut_down_says_so(instance):
    instance.container("touch $DOCKER_STATE/started; sleep 3")
    with instance.start() as process:
        end = time.monotonic() + 60
        while not (instance.folder / "docker" / "started").exists():
            assert time.monotonic() < end, "the container did not start"
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == 143
    assert instance.status()["reason"] == "the instance is shut down"


CONFIG = "source: {kind: demo}\narchive: {url: '${QUIRE_ARCHIVE}', endpoint_url: '${AWS_ENDPOINT_URL}'}\n"
SCHEMA = "task: regression\ncolumns: {t: {type: number}, y: {type: number, role: target}}\n"
SETUP = "from quire import artifacts, config\nsettings = config.load(params)\nrun = artifacts.open(settings, run_dir)"


@pytest.mark.parametrize(("work", "code"), [('run.save("one", {"value": 1})', 0), ("1 / 0", 4)])
def test_a_real_workflow_leaves_its_results_in_the_archive(instance, tmp_path, work, code):
    import nbformat

    root = tmp_path / "project"
    (root / "params" / "x").mkdir(parents=True)
    (root / "notebooks").mkdir()
    (root / "params" / "x" / "config.yaml").write_text(CONFIG)
    (root / "params" / "x" / "schema.yaml").write_text(SCHEMA)
    (root / "params" / "x" / "params.yaml").write_text("{}\n")
    (root / "params" / "workflow.yaml").write_text("stages: {one: {notebook: one}}\nworkflows: {train: [one]}\n")
    cells = [("parameters", 'params = "x"\nrun_dir = ""'), ("setup", SETUP), ("work", work)]
    made = nbformat.v4.new_notebook()
    made.cells = [nbformat.v4.new_markdown_cell("# one")]
    made.cells += [nbformat.v4.new_code_cell(text, metadata={"tags": [tag]}) for tag, text in cells]
    nbformat.write(made, root / "notebooks" / "one.ipynb")
    instance.container(
        f'cd {root} && unset QUIRE_DATABASE_URL && QUIRE_ROOT={root} exec {sys.executable} -m quire "$@"'
    )
    assert instance.boot() == code, instance.output
    keys = instance.objects()
    assert any(key.endswith("/notebooks/one.ipynb") for key in keys)
    (record,) = [json.loads(text) for key, text in keys.items() if key.endswith("/run.json")]
    assert record["status"] == ("succeeded" if code == 0 else "failed")
    assert instance.figure("RunSucceeded") == [1.0 if code == 0 else 0.0]


@pytest.fixture
def setup(instance):
    """An instance that sets up the database for a release."""
    instance.metadata.answers["tags/instance/quire:release"] = "2.0.0"
    for role in ("owner", "runner"):
        instance.client("secretsmanager").create_secret(
            Name=f"quire-staging/database/{role}", SecretString=f"postgresql+psycopg://{role}:hidden@db:5432/quire"
        )
    instance.extra = {"BOOT_SECRETS": "owner=quire-staging/database/owner runner=quire-staging/database/runner"}
    return instance


def test_the_setup_hands_every_address_over_and_shows_none(setup):
    assert setup.boot("setup.sh") == 0, setup.output
    environment = (setup.folder / "docker" / "environment").read_text()
    urls = json.loads(environment.removeprefix("DATABASE_URLS="))
    assert urls == {role: f"postgresql+psycopg://{role}:hidden@db:5432/quire" for role in ("owner", "runner")}
    assert "run-2.0.0 /opt/database.py" in (setup.folder / "docker" / "calls").read_text()
    assert not (setup.folder / "run" / "setup.env").exists()
    assert "hidden" not in setup.output + json.dumps(setup.objects())
    assert json.loads(setup.objects()["boot/setup/i-0123456789abcdef0.json"])["exit_code"] == 0
    assert (setup.folder / "powered-off").exists()


def test_a_setup_that_fails_says_so(setup):
    setup.container("echo no such role; exit 1")
    assert setup.boot("setup.sh") == 1
    objects = setup.objects()
    assert json.loads(objects["boot/setup/i-0123456789abcdef0.json"]) == {"release": "2.0.0", "exit_code": 1}
    assert "no such role" in objects["boot/setup/i-0123456789abcdef0.log"]


def test_a_setup_without_its_image_says_so(setup):
    (setup.folder / "docker" / "no-image").touch()
    assert setup.boot("setup.sh") == 70
    assert json.loads(setup.objects()["boot/setup/i-0123456789abcdef0.json"])["exit_code"] == 70

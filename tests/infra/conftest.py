"""A copy of the Terraform configuration, and an AWS of its own to try it on."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

AWS = Path(__file__).parents[2] / "infra" / "aws"

VARIABLES = {
    "environment": "staging",
    "region": "eu-west-1",
    "alert_emails": ["ops@example.org"],
    "protect": False,
    "notebook_enabled": True,
    "github_repository": "example/quire",
}

# moto takes a bucket policy's Deny without its condition, and would let nobody in.
OVERRIDE = """
terraform {
  backend "local" {}
}

resource "aws_s3_bucket_policy" "this" {
  for_each = { access = aws_s3_bucket.access }
}
"""


@dataclass(frozen=True)
class Stack:
    """The configuration in a folder, ready to plan and apply on the AWS at ``url``."""

    folder: Path
    url: str

    @property
    def environment(self):
        return {
            **os.environ,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_MAX_ATTEMPTS": "2",
            "AWS_EC2_METADATA_DISABLED": "true",
            "TF_IN_AUTOMATION": "1",
        }

    def terraform(self, *arguments, check=True, timeout=280):
        done = subprocess.run(
            ["terraform", f"-chdir={self.folder}", *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=timeout,
        )
        if check and done.returncode:
            raise AssertionError(f"terraform {' '.join(arguments)}:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}")
        return done

    def client(self, service, **credentials):
        import boto3

        keys = credentials or {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        return boto3.client(service, region_name="eu-west-1", endpoint_url=self.url, **keys)

    def resources(self):
        """Return the attributes of every resource that was made, by address."""
        state = json.loads(self.terraform("show", "-json").stdout)
        return {one["address"]: one["values"] for one in state["values"]["root_module"]["resources"]}


def need(program, how):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is missing: {how}")


@pytest.fixture(scope="session")
def own_aws():
    """The address of a moto server in a process of its own, so that other tests do not reset it."""
    pytest.importorskip("moto.server", reason="moto[server] is missing; `make test` installs it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            end = time.monotonic() + 60
            while True:
                with socket.socket() as door:
                    if door.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert time.monotonic() < end, "moto's server did not start"
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


@pytest.fixture(scope="session")
def stack(tmp_path_factory, own_aws):
    """The configuration, initialised; skips where terraform or its AWS provider is missing."""
    need("terraform", "see https://developer.hashicorp.com/terraform/install")
    folder = tmp_path_factory.mktemp("terraform") / "aws"
    shutil.copytree(AWS, folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "build"))
    (folder / "build").mkdir()
    with zipfile.ZipFile(folder / "build" / "functions.zip", "w") as archive:
        for module in sorted((AWS / "functions").glob("*.py")):
            archive.write(module, module.name)
    (folder / "test_override.tf").write_text(OVERRIDE)
    (folder / "test.auto.tfvars.json").write_text(json.dumps(VARIABLES))
    stack = Stack(folder, own_aws)
    done = stack.terraform("init", "-input=false", "-no-color", check=False)
    if done.returncode:
        if "provider" in done.stderr.lower():
            pytest.skip(f"the AWS provider of terraform is missing: {done.stderr.strip().splitlines()[-1]}")
        raise AssertionError(done.stderr)
    return stack


@pytest.fixture(scope="session")
def plan(stack):
    """The resources that would be made, by address: what is known of each before it is there."""
    stack.terraform("plan", "-input=false", "-no-color", "-out=all.tfplan")
    content = json.loads(stack.terraform("show", "-json", "all.tfplan").stdout)
    return {one["address"]: one for one in content["planned_values"]["root_module"]["resources"]}


ROLES = ("runner", "setup", "watch", "launch", "scheduler", "web", "beanstalk", "notebook", "release", "flow_log")


@pytest.fixture(scope="session")
def made(stack):
    """Attributes of what was made, by address: the roles, and all that they name."""
    targets = [f"-target=aws_iam_role_policy.{name}" for name in ROLES]
    more = ["-target=aws_launch_template.this", "-target=aws_s3_object.status"]
    stack.terraform("apply", "-input=false", "-auto-approve", "-no-color", *targets, *more)
    return stack.resources()


@pytest.fixture
def spoken_aws(aws):
    """The address that ``bin/aws`` sends its words to."""
    spec = importlib.util.spec_from_file_location("spoken_aws", Path(__file__).parent / "spoken_aws.py")
    spoken = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(spoken)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            words = self.rfile.read(int(self.headers["Content-Length"])).decode().split("\0")[:-1]
            try:
                status, text = 200, spoken.speak(words, aws)
            except Exception as error:
                status, text = 500, str(error)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(f"{text}\n".encode())

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()

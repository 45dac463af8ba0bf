"""What the whole suite shares: one small demo run, made as a person makes it, and an AWS on loopback."""

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from quire import redaction
from quire.config.loopback import spare_loopback

ROOT = Path(__file__).parents[1]

spare_loopback()  # servers of tests are on this machine


@pytest.fixture(autouse=True)
def _as_in_a_process_of_its_own(monkeypatch):
    redaction.forget()
    monkeypatch.delenv("COLUMNS", raising=False)  # output is as wide as it is, whatever terminal the tests run in


@dataclass(frozen=True)
class Project:
    """A project in a temporary folder, with the notebooks and params of this one."""

    root: Path
    outputs: Path

    @property
    def environment(self):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("QUIRE_", "MLFLOW_", "AWS_"))}
        data = {"QUIRE_DATA": os.environ["QUIRE_DATA"]} if "QUIRE_DATA" in os.environ else {}
        return kept | data | {"QUIRE_ROOT": str(self.root), "QUIRE_OUTPUTS": str(self.outputs)}

    def quire(self, *arguments, check=True, **environment):
        """Run the command line in a process of its own; returns what it printed and its exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "quire", *arguments],
            cwd=self.root,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=280,
        )
        if check and done.returncode:
            raise AssertionError(f"quire {' '.join(arguments)} ended {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    @property
    def runs(self):
        return sorted((self.outputs / "runs").glob("*"))


def make_project(root, *, hours=6000, trials=2):
    """Copy notebooks and params to ``root``; the demo gets fewer hours, and its search fewer trials."""
    for name in ("notebooks", "params"):
        shutil.copytree(ROOT / name, root / name)
    config = root / "params" / "demo" / "config.yaml"
    text, count = re.subn(r"hours: \d+", f"hours: {hours}", config.read_text("utf-8"))
    assert count == 1
    config.write_text(text, "utf-8")
    params = root / "params" / "demo" / "params.yaml"
    text, count = re.subn(r"trials: \d+", f"trials: {trials}", params.read_text("utf-8"))
    assert count == 1
    params.write_text(text, "utf-8")
    return Project(root=root, outputs=root / "outputs")


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """A project whose demo ran once, whole."""
    project = make_project(tmp_path_factory.mktemp("project"))
    project.quire("run", "params/demo")
    return project


class Postgresql:
    """A PostgreSQL server of this suite's own, in a temporary folder, on a free port of loopback."""

    def __init__(self, binaries):
        self.binaries = binaries
        self.folder = Path(tempfile.mkdtemp(prefix="quire-postgresql-"))
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._do("initdb", "-D", self.folder / "data", "-U", "quire", "--auth=trust", "--no-sync", "--locale=C.UTF-8")
        self.start()

    def start(self):
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        self._do("pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-w", "-o", options, "start")

    def stop(self):
        self._do("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")

    @property
    def pids(self):
        """The server's process and its children, the ones that serve connections last."""
        first = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return [first, *map(int, children)]

    def new(self):
        """Make an empty database and return its URL."""
        name = f"test_{uuid.uuid4().hex[:8]}"
        self._do("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "quire", name)
        return f"postgresql://quire@127.0.0.1:{self.port}/{name}"

    def _do(self, program, *arguments):
        user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        command = [*user, str(self.binaries / program), *map(str, arguments)]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=60)


@pytest.fixture(scope="session")
def postgresql():
    """A running `Postgresql`; its method ``new`` gives the URL of an empty database."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(shutil.which("initdb") or "/none")]
    if not found[-1].exists():
        pytest.skip("PostgreSQL's programs are not here: install them with `apt install postgresql`.")
    server = Postgresql(found[-1].parent)
    yield server
    server.stop()
    shutil.rmtree(server.folder)


MISSING = "moto[server] is missing; `make test` installs it"


class Door:
    """A WSGI door to moto that notes every call, and answers a share of them with 500, 503 or SlowDown."""

    def __init__(self, app):
        self.app, self.share = app, 0.0
        self.calls = []
        self.failed = 0
        self._rng = random.Random(0)
        self._lock = threading.Lock()

    def __call__(self, environ, start):
        with self._lock:
            self.calls.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
            broken = self._rng.random() < self.share
            self.failed += broken
            status = self._rng.choice(["500 InternalError", "503 SlowDown", "503 ServiceUnavailable"])
        if not broken:
            return self.app(environ, start)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = f"<Error><Code>{status.split()[1]}</Code><Message>on purpose</Message></Error>".encode()
        start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]

    def paths(self, method):
        return [path for called, path in self.calls if called == method]


@contextmanager
def serving(app, port=0):
    """Serve a WSGI application on loopback; yields its address."""
    werkzeug = pytest.importorskip("werkzeug.serving", reason=MISSING)
    server = werkzeug.make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def moto_app():
    """moto's application for all services."""
    server = pytest.importorskip("moto.server", reason=MISSING)
    return server.DomainDispatcherApplication(server.create_backend_app)


@pytest.fixture
def no_credentials_of_this_machine(monkeypatch):
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")


@pytest.fixture
def door(moto_app):
    return Door(moto_app)


@pytest.fixture
def aws(door, no_credentials_of_this_machine):
    """The address of an AWS with nothing in it."""
    import httpx

    with serving(door) as url:
        httpx.post(f"{url}/moto-api/reset").raise_for_status()
        yield url


@pytest.fixture
def bucket(aws):
    """The URL of an archive in a new bucket."""
    from quire.io import storage

    storage.client("s3", aws).create_bucket(
        Bucket="quire-test", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    return "s3://quire-test/some/where"


@pytest.fixture(scope="session")
def tracking_store(tmp_path_factory):
    """A fresh MLflow store, to be copied: making one takes a second or two."""
    from quire.io.tracking_store import create_store

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    create_store(f"sqlite:///{path}")
    return path


@pytest.fixture
def screenshots(tmp_path):
    """Where tests put pictures of pages: QUIRE_SCREENSHOTS, which CI keeps, else a folder that goes with the test."""
    folder = Path(os.environ.get("QUIRE_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def webhook():
    """A web server that keeps what is posted; ``answers`` are the status codes to come, then 200."""
    posted, answers = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(answers.pop(0) if answers else 200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/secret-token", posted, answers
    server.shutdown()
    server.server_close()

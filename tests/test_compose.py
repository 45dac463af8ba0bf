"""compose.yaml without docker: the command of each image runs as a process, and its health check holds."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SECRETS = {
    "POSTGRES_PASSWORD": "secret",
    "QUIRE_DASHBOARD_TOKEN": "token",
    "QUIRE_API_KEYS": "",
    "QUIRE_PARAMS": "demo",
}


def read_services():
    """The services with the variables of compose.env.example filled in."""
    return fill(yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"])


def fill(part):
    """Put `SECRETS` into every text, as compose does after it has read the file."""
    if isinstance(part, dict):
        return {name: fill(value) for name, value in part.items()}
    if isinstance(part, list):
        return [fill(value) for value in part]
    if not isinstance(part, str):
        return part
    return re.sub(r"\$\{(\w+)(?::[-?][^}]*)?\}", lambda found: SECRETS[found[1]], part)


def read_image(target):
    """Entry point and health check of a target of the Dockerfile."""
    _, _, part = (ROOT / "Dockerfile").read_text("utf-8").partition(f" AS {target}\n")
    part = part.partition("\nFROM ")[0].replace("\\\n", " ")
    entry = json.loads(re.search(r"^ENTRYPOINT (\[.*\])", part, re.M)[1])
    check = re.search(r"^HEALTHCHECK .*CMD (\[.*\])", part, re.M)
    return entry, json.loads(check[1]) if check else None


class Container:
    """A service as a process: its ports, folders and addresses are this test's, everything else is compose.yaml's."""

    def __init__(self, name, folder, port, environment):
        service = read_services()[name]
        entry, check = read_image(service["build"]["target"])
        self._port, self._own = port, next(iter(service["ports"])).rpartition(":")[2]
        self._check = self._here((service.get("healthcheck") or {}).get("test", ["CMD", *(check or [])])[1:])
        command = self._here([*service.get("entrypoint", entry), *service["command"]])
        unknown = set(environment) - set(service["environment"]) - {"QUIRE_ROOT", "QUIRE_OUTPUTS"}
        assert not unknown, f"compose.yaml gives {name} no {unknown}"
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("QUIRE_", "MLFLOW_"))}
        self._log = (folder / f"{name}.log").open("w+")
        self.process = subprocess.Popen(
            command, cwd=folder, env=clean | service["environment"] | environment,
            stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def _here(self, command):
        folder, swapped = Path(sys.executable).parent, {"0.0.0.0": "127.0.0.1", "/mlartifacts": "mlartifacts"}
        swapped[self._own] = str(self._port)
        made = [
            re.sub(r"0\.0\.0\.0|/mlartifacts|\b" + self._own + r"\b", lambda one: swapped[one[0]], part)
            for part in command
        ]
        return [str(folder / made[0]), *made[1:]]

    def wait(self, timeout_s=90):
        """Return when the health check holds."""
        until = time.monotonic() + timeout_s
        while subprocess.run(self._check, capture_output=True, check=False).returncode:
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < until, self.said()
            time.sleep(0.2)

    def said(self):
        self._log.seek(0)
        return self._log.read()[-3000:]

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, 15)
            self.process.wait(timeout=30)
        self._log.close()


@pytest.fixture
def container(tmp_path):
    started = []

    def start(name, **environment):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        started.append(Container(name, tmp_path, port, environment))
        return started[-1], f"http://127.0.0.1:{port}"

    yield start
    for one in reversed(started):
        one.stop()


def test_every_variable_that_compose_asks_for_is_in_the_example():
    asked = set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text("utf-8")))
    named = set(re.findall(r"^(\w+)=", (ROOT / "compose.env.example").read_text("utf-8"), re.M))
    assert asked == named == set(SECRETS)


def test_every_service_is_bound_to_this_machine_and_may_not_become_more_than_it_is():
    for name, service in read_services().items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        if name != "postgres":
            assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name


@pytest.mark.slow
def test_the_service_starts_before_the_first_run_on_the_database_and_registry_of_the_others(
    container, postgresql, tracking_store, tmp_path
):
    import httpx

    shutil.copy(tracking_store, tmp_path / "mlflow.db")  # making its tables takes seconds
    registry, tracking = container("mlflow", MLFLOW_BACKEND_STORE_URI=f"sqlite:///{tmp_path / 'mlflow.db'}")
    registry.wait()
    serve, url = container(
        "serve", QUIRE_DATABASE_URL=postgresql.new(), MLFLOW_TRACKING_URI=tracking, QUIRE_ROOT=str(ROOT)
    )
    serve.wait()
    health = httpx.get(f"{url}/health").json()
    assert health["log"]["state"] == "up"
    assert "has no champion; `quire run` makes one" in health["problems"][0]


def test_the_dashboard_is_healthy_though_nobody_may_look_without_the_token(container, tmp_path):
    import httpx

    dashboard, url = container("dashboard", QUIRE_ROOT=str(ROOT), QUIRE_OUTPUTS=str(tmp_path / "outputs"))
    dashboard.wait(30)
    assert httpx.get(url).status_code == 401

"""The processes of the service: their address, their logs, and how they begin and end for a person at the terminal."""

import json
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from quire.errors import ServiceError
from quire.serve import server


def test_an_address_that_is_taken_is_named_with_what_to_do():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            ServiceError, match=rf"Port {port} of 127.0.0.1 cannot be used: .* Choose another by --port"
        ):
            server._listen("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(ServiceError, match=r"of 192\.0\.2\.1 cannot be used"):
        server._listen("192.0.2.1", 0)


def test_a_line_of_log_is_one_json_object_with_the_fields_of_the_record():
    record = logging.makeLogRecord({"msg": "request", "levelname": "INFO", "fields": {"status": 200, "path": "/"}})
    line = json.loads(server.JsonLines().format(record))
    assert (line["level"], line["message"], line["status"], line["path"]) == ("info", "request", 200, "/")
    assert line["at"].endswith("+00:00")


def test_an_error_in_the_log_has_its_traceback_in_one_line():
    try:
        raise RuntimeError("what went\nwrong")
    except RuntimeError:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": sys.exc_info()})
    text = server.JsonLines().format(record)
    assert "\n" not in text
    assert "RuntimeError: what went\nwrong" in json.loads(text)["error"]


def start(settings, *options, **environment):
    """Start ``quire serve`` as a person does, with what it prints kept."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QUIRE_", "MLFLOW_"))}
    own = {"QUIRE_ROOT": str(settings.root), "QUIRE_OUTPUTS": str(settings.outputs)}
    command = [sys.executable, "-m", "quire", "serve", "demo", *options]
    return subprocess.Popen(command, env=kept | own | environment, stderr=subprocess.PIPE, text=True)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(url, process):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            return httpx.get(url, timeout=10)
        except httpx.TransportError:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
    raise AssertionError(f"{url} did not answer")


def test_without_a_champion_it_runs_says_what_is_missing_and_ends_at_ctrl_c(settings):
    port = free_port()
    process = start(settings, "--port", str(port))
    try:
        url = f"http://127.0.0.1:{port}"
        ready = wait_for(f"{url}/health/ready", process)
        assert ready.status_code == 503
        assert "has no champion; `quire run` makes one" in ready.json()["problems"][0]
        answer = httpx.post(f"{url}/predict", json={})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        shown = httpx.get(url)
        assert shown.status_code == 503
        assert "quire run" in shown.text
        assert httpx.get(f"{url}/health/live").status_code == 200
    finally:
        process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=30)
    assert process.returncode == 0
    assert f"http://127.0.0.1:{port}/ (Ctrl-C ends it)" in printed
    assert "no model is served" in printed
    assert "Traceback" not in printed


def test_a_database_that_does_not_answer_is_said_in_the_log_and_the_service_waits_for_it(settings):
    port = free_port()
    process = start(settings, "--port", str(port), TEST_DATABASE=f"postgresql://ann:secret@127.0.0.1:{free_port()}/x")
    try:
        wait_for(f"http://127.0.0.1:{port}/health/live", process)
        line = next(line for line in process.stderr if "cannot be logged" in line)
        state = httpx.get(f"http://127.0.0.1:{port}/health").json()["log"]["state"]
    finally:
        process.kill()
        process.communicate()
    assert state == "down"
    assert json.loads(line)["level"] == "error"
    assert "secret" not in line


def test_a_taken_port_ends_it_with_a_sentence(settings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start(settings, "--port", str(taken.getsockname()[1]))
        _, printed = process.communicate(timeout=60)
    assert process.returncode == 7
    assert "Choose another by --port" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("url", "said"), [("mysql://somebody:secret@h/x", "known: sqlite, postgresql"), ("nonsense", "is not one")]
)
def test_a_database_that_can_never_be_ends_it_with_a_sentence(settings, url, said):
    process = start(settings, "--port", str(free_port()), TEST_DATABASE=url)
    _, printed = process.communicate(timeout=60)
    assert process.returncode in (2, 7)
    assert said in printed
    assert "Traceback" not in printed
    assert "secret" not in printed


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_ends_it_in_good_order_and_leaves_no_temporary_folder(settings, tmp_path, workers):
    folder, port = tmp_path / "temporary", free_port()
    folder.mkdir()
    process = start(settings, "--port", str(port), "--workers", workers, TMPDIR=str(folder))
    wait_for(f"http://127.0.0.1:{port}/health/live", process)
    assert [path.name.startswith("quire-serve-") for path in folder.iterdir()] == [True]
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert list(folder.iterdir()) == []


def test_it_is_served_within_limits_and_to_its_own_site(settings):
    port = free_port()
    command = ["bash", "-c", f"ulimit -Sn 200; exec {sys.executable} -m quire serve demo --port {port}"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QUIRE_", "MLFLOW_"))}
    own = {"QUIRE_ROOT": str(settings.root), "QUIRE_OUTPUTS": str(settings.outputs)}
    process = subprocess.Popen(command, env=kept | own, stderr=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/health/live", process)
        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        assert soft == hard
        assert httpx.get(f"{url}/health/live", headers={"X-A": "a" * 70_000}).status_code == 431
        assert httpx.get(f"{url}/health/live", headers={"Host": "evil.example"}).status_code == 421
        foreign = httpx.post(f"{url}/predict", json={}, headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403
        assert foreign.headers["x-content-type-options"] == "nosniff"
        httpx.get(f"{url}/health/live", headers={"X-Forwarded-For": "6.6.6.6"})
    finally:
        process.terminate()
        _, printed = process.communicate(timeout=60)
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert {line["address"] for line in lines if line["message"] == "request"} == {"127.0.0.1"}

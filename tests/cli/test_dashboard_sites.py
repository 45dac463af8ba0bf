"""The dashboard, as people start it, is served within the limits of the service and to its own site."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def start(tmp_path):
    """A function that starts the dashboard with options; returns its address."""
    processes = []

    def start_it(*options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "quire", "dashboard", "demo", "--no-live", f"--port={port}", *options]
        own = {"QUIRE_ROOT": str(ROOT), "QUIRE_OUTPUTS": str(tmp_path), "QUIRE_DASHBOARD_TOKEN": ""}
        processes.append(subprocess.Popen(command, env=os.environ | own, stdout=subprocess.DEVNULL))
        address = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                httpx.get(f"{address}/health")
                return address
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError("the dashboard did not start")

    yield start_it
    for process in processes:
        process.terminate()
        process.wait(20)


def test_a_rebound_name_a_large_head_and_a_path_that_is_no_text_are_refused(start):
    address = start()

    def status(path="/", **headers):
        return httpx.get(address + path, headers=headers).status_code

    assert status() == 404  # there is no run yet
    assert status(host="evil.example") == 421
    assert status(host=f"localhost:{address.rpartition(':')[2]}") == 404
    assert status(**{"x-a": "a" * 70_000}) == 431
    assert [status(path) for path in ("/runs/%00/", "/%ff")] == [400, 400]
    for path in ("/", "/runs", "/health", "/nothing", "/runs/nothing/", "/%ff"):
        headers = httpx.get(address + path).headers
        assert headers["x-content-type-options"] == "nosniff"
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'"), path
        assert "frame-ancestors 'none'" in policy, path
    assert httpx.post(address, headers={"origin": "null"}).status_code == 403


def test_a_cookie_of_another_application_is_no_token(start):
    address = start("--host=0.0.0.0")
    for cookie in ("a,b=1", 'x="', ";=;", "quire_dashboard=\xe9".encode("latin-1")):
        assert httpx.get(address, headers={"cookie": cookie}).status_code == 401

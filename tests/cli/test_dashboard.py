"""Who may see the dashboard: a token, and what a reverse proxy says."""

import contextlib
import os
import socket
import subprocess
import sys
import time

import httpx
import pytest


@contextlib.contextmanager
def dashboard(outputs, *options, token="", host="127.0.0.1"):
    """`quire dashboard` in a process of its own; yields its address and what it printed first."""
    with socket.socket() as free:
        free.bind((host, 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "quire", "dashboard", "demo", "--no-live", f"--host={host}", f"--port={port}", *options],
        env={**os.environ, "QUIRE_OUTPUTS": str(outputs), "QUIRE_DASHBOARD_TOKEN": token, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        said = process.stdout.readline()
        address = f"http://{host}:{port}/"
        for _ in range(300):
            with contextlib.suppress(httpx.TransportError):
                httpx.get(address)
                break
            time.sleep(0.1)
        yield address, said
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize(("options", "secure"), [((), False), (("--behind-proxy",), True)])
def test_a_proxy_is_believed_only_where_it_is_announced(tmp_path, options, secure):
    with dashboard(tmp_path, *options, token="s3cret") as (address, _):
        assert httpx.get(address).status_code == 401
        entered = httpx.get(f"{address}?token=s3cret", headers={"X-Forwarded-Proto": "https"})
        assert entered.status_code == 303
        assert ("secure" in entered.headers["set-cookie"].lower()) == secure
        kept = {"cookie": entered.headers["set-cookie"].split(";")[0]}
        assert httpx.get(f"{address}runs", headers=kept).status_code == 200


def test_on_an_address_that_is_not_known_as_loopback_a_token_is_made_and_printed(tmp_path):
    with dashboard(tmp_path, host="127.0.0.2") as (address, said):
        token = said.strip().rpartition("?token=")[2]
        assert len(token) >= 24
        assert httpx.get(f"{address}runs").status_code == 401
        assert httpx.get(f"{address}runs", headers={"authorization": f"Bearer {token}"}).status_code == 200


def test_a_token_of_the_environment_is_not_printed(tmp_path):
    for host in ("127.0.0.1", "127.0.0.2"):
        with dashboard(tmp_path, host=host, token="s3cret-of-the-team") as (address, said):
            assert said.strip().endswith(address)
            assert "s3cret" not in said
            assert httpx.get(f"{address}?token=s3cret-of-the-team").status_code == 303


def test_on_the_loopback_no_token_is_needed(tmp_path):
    with dashboard(tmp_path) as (address, said):
        assert "token" not in said
        assert httpx.get(f"{address}runs").status_code == 200

"""A proxy in the environment is not asked for what runs on this machine."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from quire.config.loopback import spare_loopback

DEAD = "http://127.0.0.1:9"
ALL = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@pytest.mark.parametrize("name", ALL)
def test_the_loopback_is_excepted_from_a_proxy(name):
    environment = {name: DEAD, "NO_PROXY": "example.org, .corp"}
    spare_loopback(environment)
    assert environment["no_proxy"] == environment["NO_PROXY"] == "example.org,.corp,localhost,127.0.0.1,::1"


def test_without_a_proxy_nothing_changes():
    environment = {"NO_PROXY": "example.org"}
    spare_loopback(environment)
    assert environment == {"NO_PROXY": "example.org"}


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_where_nothing_goes_through_the_proxy_that_stays(name):
    environment = {"HTTP_PROXY": DEAD, name: "*"}
    spare_loopback(environment)
    assert environment["NO_PROXY"] == environment["no_proxy"] == "*"


class Ok(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def url():
    with ThreadingHTTPServer(("127.0.0.1", 0), Ok) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


CLIENTS = {
    "urllib": "from urllib.request import urlopen; urlopen('{url}', timeout=5)",
    "requests": "import requests; requests.get('{url}', timeout=5)",
    "httpx": "import httpx; httpx.get('{url}', timeout=5)",
    "tracking": "from quire.io.tracking_store import _check_server; _check_server('{url}')",
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
def test_clients_reach_the_loopback_despite_a_proxy(url, client, name, monkeypatch):
    for each in (*ALL, "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, DEAD)
    code = f"from quire.config.loopback import spare_loopback; spare_loopback(); {CLIENTS[client].format(url=url)}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_live_page_asks_voila_itself(url, tmp_path, monkeypatch):
    import asyncio

    import httpx

    from quire.monitor import live as module

    for name in ALL:
        monkeypatch.setenv(name, "socks5://127.0.0.1:9" if "all" in name.lower() else DEAD)
    live = module.Live(tmp_path / "n.ipynb", "demo", tmp_path, {})
    (tmp_path / "n.ipynb").write_text('{"cells": [{"metadata": {"tags": ["parameters"]}}]}')
    (tmp_path / "voila.json").write_text("{}")
    monkeypatch.setattr(module, "_free_port", lambda: int(url.rpartition(":")[2]))
    monkeypatch.setattr(module.sys, "executable", "true")

    async def ask():
        live.start()
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=live), base_url="http://board", trust_env=False
        ) as client:
            answer = await client.get("/live/")
        await live.stop()
        return answer.text

    assert asyncio.run(ask()) == "ok"

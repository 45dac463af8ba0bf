"""The live page as people open it: `quire dashboard`, Voila behind it, Chromium before it."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from quire import monitor
from quire.monitor.live import with_params

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
NO_CHROMIUM = "needs Chromium: apt-get install chromium"
DRAWN = ".jupyter-widgets .quire-plot svg"


def test_the_live_notebook_gets_the_use_case_after_its_parameters():
    notebook = {"cells": [{"metadata": {"tags": ["parameters"]}, "source": "params = 'demo'"}, {"metadata": {}}]}
    made = with_params(notebook, "bikes")
    assert [cell.get("source") for cell in made["cells"]] == ["params = 'demo'", "params = 'bikes'", None]
    assert len(notebook["cells"]) == 2


HOSTILE = """\
import ipywidgets
from IPython.display import HTML, display

acts = "window.parent.pwned = window.pwned = 1"
image = f'<img src="data:," onerror="{acts}">'
display(HTML(f'<script>{acts}</script>{image}<svg onload="{acts}"></svg><p id="hostile">hostile</p>'))
display(ipywidgets.HTML(f'<p id="widget">{image}</p>'))
shown = ipywidgets.Output()
with shown:
    display(HTML(f'<script>{acts}</script><p id="output">{image}</p>'))
display(shown)
"""
"""A cell whose outputs are markup that acts, in the page itself and in widgets."""


def add_cell(path, source):
    notebook = json.loads(path.read_text("utf-8"))
    cell = {"cell_type": "code", "id": "hostile", "execution_count": None, "outputs": [], "source": source}
    notebook["cells"].append(cell | {"metadata": {"tags": ["chart"]}})
    path.write_text(json.dumps(notebook), "utf-8")


@pytest.fixture(scope="module")
def process(quiet, runs):
    """The dashboard of a project whose run was monitored, in a process of its own; its notebook has a hostile cell."""
    root = quiet.settings.root
    monitor.monitor_run(quiet, **runs.rules_of(quiet.settings)).save(quiet)
    (root / "dashboards").symlink_to(ROOT / "dashboards")
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    add_cell(root / "notebooks" / f"{quiet.settings.workflow.stages['monitor'].notebook}.ipynb", HOSTILE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "quire", "dashboard", "demo", f"--port={port}", "--viewers=2"],
        env={**os.environ, "QUIRE_ROOT": str(root), "QUIRE_OUTPUTS": str(quiet.settings.outputs)},
        stdout=subprocess.DEVNULL,
    )
    process.address = f"http://127.0.0.1:{port}/"
    yield process
    process.terminate()
    process.wait(20)


@pytest.fixture
def address(process):
    """Where the dashboard is."""
    return process.address


@pytest.mark.skipif(not CHROMIUM.exists(), reason=NO_CHROMIUM)
def test_voila_draws_the_charts_follows_the_menus_and_asks_nobody_else(address, screenshots):
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: make setup")
    _wait_for(f"{address}live/voila/static/voila.js")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        asked, failed, logged = [], [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: logged.append(message.text))
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto(f"{address}live/", timeout=120_000)
        page.locator(DRAWN).nth(2).wait_for(timeout=120_000)
        assert page.locator(".celltag_chart .quire-plot svg").count() >= 7
        assert "Nothing unusual" in page.locator(".quire-banner").first.inner_text()
        page.screenshot(path=screenshots / "live.png")
        for name in ("hostile", "widget", "output"):
            page.locator(f"#{name}").wait_for(state="attached", timeout=60_000)
        assert page.evaluate("window.pwned") is None
        page.get_by_label("column", exact=True).select_option("hum")
        shown = page.locator(".jupyter-widgets .quire-chart h3").first
        shown.get_by_text("hum").wait_for(timeout=60_000)
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.screenshot(path=screenshots / "live-phone.png")
        browser.close()
    ours = address.removeprefix("http://")
    assert all(url.startswith((f"http://{ours}", f"ws://{ours}", "data:", "blob:")) for url in asked), asked
    assert not failed
    refused = [text for text in logged if "Security Policy" in text]
    assert all("inline" in text for text in refused), refused
    assert len(refused) >= 4  # what acts in the hostile cell


def test_what_is_the_same_for_everybody_is_asked_of_voila_once(address):
    part = f"{address}live/voila/static/voila.js"
    _wait_for(part)
    first, second = httpx.get(part), httpx.get(part)
    assert first.content == second.content
    assert "max-age" in second.headers["cache-control"]


def test_the_live_page_is_for_its_own_site(address):
    _wait_for(f"{address}live/voila/static/voila.js")
    for path in ("live/", "live/voila/static/voila.js", "live/nothing", "live/api/kernels"):
        answer = httpx.get(address + path, timeout=120)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy.replace("style-src 'self' 'unsafe-inline'", ""), path
        assert "set-cookie" not in answer.headers
    for origin in ("https://evil.example", "null", address.rstrip("/").replace("127.0.0.1", "localhost.evil.example")):
        assert httpx.post(f"{address}live/voila/api/shutdown/x", headers={"Origin": origin}).status_code == 403
        assert _websocket(f"{address}live/api/kernels/{KERNEL}/channels", origin=origin) == 403
    assert httpx.post(f"{address}live/nothing", content=b"x" * 2_000_000).status_code == 413


def test_the_kernel_of_a_page_is_reached_by_its_own_page(address):
    kernel = re.search(r'"kernelId":\s*"([0-9a-f-]+)"', httpx.get(f"{address}live/", timeout=120).text)[1]
    socket_of = f"{address}live/api/kernels/{kernel}/channels?session_id=x"
    assert _websocket(socket_of, origin=address.rstrip("/")) == 101
    assert _websocket(socket_of, origin="https://evil.example") == 403
    assert httpx.post(f"{address}live/voila/api/shutdown/{kernel}", headers={"Origin": address.rstrip("/")}).is_success


def test_voilas_own_port_is_shut_to_other_users_of_the_machine(process):
    _wait_for(f"{process.address}live/voila/static/voila.js")
    commands = _commands_below(process.pid)
    port = next(re.search(r"--port=(\d+)", text)[1] for text in commands if "voila" in text)
    direct = f"http://127.0.0.1:{port}/live/"
    refused = (302, 403, 404)  # Voila leads a reader to a login that knows nobody
    for path in ("", "?token=", "?token=x", f"api/kernels/{KERNEL}", "voila/files/monitor.ipynb", "voila/render/x"):
        for headers in ({}, {"Authorization": "token"}, {"Authorization": "Bearer x"}, {"Cookie": "_xsrf=1"}):
            answer = httpx.get(direct + path, headers=headers)
            assert answer.status_code in refused, (path, answer.status_code)
            assert "kernelId" not in answer.text
    assert httpx.post(f"{direct}voila/api/shutdown/{KERNEL}").status_code == 403
    assert _websocket(f"{direct}api/kernels/{KERNEL}/channels") == 403
    assert not any("token" in text for text in commands)


KERNEL = "12345678-1234-1234-1234-123456789abc"


def _websocket(address, origin=None):
    """Return the status with which a websocket is answered, 101 if it is opened."""
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    try:
        with connect(address.replace("http", "ws", 1), origin=origin, proxy=None, open_timeout=60):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def _commands_below(pid):
    """Return the command lines of a process's children."""
    children = [int(one) for path in Path(f"/proc/{pid}/task").glob("*/children") for one in path.read_text().split()]
    return [Path(f"/proc/{one}/cmdline").read_bytes().replace(b"\0", b" ").decode() for one in children]


def _wait_for(address):
    for _ in range(600):
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(address, timeout=60).status_code == 200:
                return
        time.sleep(0.2)
    pytest.fail(f"{address} does not answer")

"""The live page as people open it: `quire dashboard`, Voila behind it, Chromium before it."""

import contextlib
import os
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
DRAWN = "document.querySelectorAll('.jupyter-widgets .quire-plot svg').length >= 3"


def test_the_live_notebook_gets_the_use_case_after_its_parameters():
    notebook = {"cells": [{"metadata": {"tags": ["parameters"]}, "source": "params = 'demo'"}, {"metadata": {}}]}
    made = with_params(notebook, "bikes")
    assert [cell.get("source") for cell in made["cells"]] == ["params = 'demo'", "params = 'bikes'", None]
    assert len(notebook["cells"]) == 2


@pytest.fixture(scope="module")
def address(quiet, runs):
    """The dashboard of a project whose run was monitored, in a process of its own."""
    root = quiet.settings.root
    monitor.look(quiet, **runs.rules_of(quiet.settings)).save(quiet)
    for name in ("notebooks", "dashboards"):
        (root / name).symlink_to(ROOT / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "quire", "dashboard", "demo", f"--port={port}", "--viewers=2"],
        env={**os.environ, "QUIRE_ROOT": str(root), "QUIRE_OUTPUTS": str(quiet.settings.outputs)},
        stdout=subprocess.DEVNULL,
    )
    yield f"http://127.0.0.1:{port}/"
    process.terminate()
    process.wait(20)


@pytest.mark.skipif(not CHROMIUM.exists(), reason=NO_CHROMIUM)
def test_voila_draws_the_charts_follows_the_menus_and_asks_nobody_else(address, screenshots):
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: make setup")
    _wait_for(f"{address}live/voila/static/voila.js")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        asked, failed = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto(f"{address}live/", timeout=120_000)
        page.wait_for_function(DRAWN, timeout=120_000)
        assert page.locator(".celltag_chart .quire-plot svg").count() >= 7
        assert "Nothing unusual" in page.locator(".quire-banner").first.inner_text()
        page.screenshot(path=screenshots / "live.png")
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


def test_what_is_the_same_for_everybody_is_asked_of_voila_once(address):
    part = f"{address}live/voila/static/voila.js"
    _wait_for(part)
    first, second = httpx.get(part), httpx.get(part)
    assert first.content == second.content
    assert "max-age" in second.headers["cache-control"]


def _wait_for(address):
    for _ in range(600):
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(address, timeout=60).status_code == 200:
                return
        time.sleep(0.2)
    pytest.fail(f"{address} does not answer")

import asyncio
import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from quire.monitor.dashboard import make_app
from quire.monitor.snapshots import Snapshots

CHROMIUM = Path("/usr/bin/chromium")
NO_CHROMIUM = "needs Chromium: apt-get install chromium"


def add_run(outputs, run_id, *, params="demo", headline="Nothing unusual."):
    folder = outputs / "runs" / run_id
    for part in ("reports", "artifacts/monitor", "artifacts/ingest"):
        (folder / part).mkdir(parents=True)
    record = {"params": params, "status": "succeeded", "as_of": "2026-11-01", "finished_at": "2026-11-02T00:00:00Z"}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "artifacts/monitor/_answer.json").write_text(json.dumps({"status": "good", "headline": headline}))
    (folder / "artifacts/ingest/train.parquet").write_text("rows")
    picture = '<svg viewBox="0 0 9 9"><path d="M0 0h9v9z"/></svg>'
    html = (
        f'<html><body class="report"><a href="../index.html">run</a><h1>{headline}</h1>{picture * 2_000}</body></html>'
    )
    (folder / "reports/monitor.html").write_text(html)
    (folder / "index.html").write_text("<html>index</html>")


@pytest.fixture
def outputs(tmp_path):
    add_run(tmp_path, "20261101T000000-aaaa", headline="The older one.")
    add_run(tmp_path, "20261102T000000-bbbb", headline="The newer one.")
    add_run(tmp_path, "20261103T000000-cccc", params="churn", headline="Of another use case.")
    return tmp_path


def get(app, path, **headers):
    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://board") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(ask())


def app_of(outputs, token=""):
    return make_app(Snapshots(outputs, "demo"), title="Rentals", token=token)


def test_the_newest_run_of_the_use_case_is_shown_with_links(outputs):
    page = get(app_of(outputs), "/")
    assert "The newer one." in page.text
    assert 'href="/runs/20261102T000000-bbbb/index.html"' in page.text
    assert 'href="/runs"' in page.text


def test_a_run_that_was_added_is_shown_without_a_restart(outputs):
    app = app_of(outputs)
    get(app, "/")
    add_run(outputs, "20261104T000000-dddd", headline="The newest one.")
    assert "The newest one." in get(app, "/").text


def test_the_page_is_sent_compressed(outputs):
    page = get(app_of(outputs), "/", **{"accept-encoding": "gzip"})
    assert page.headers["content-encoding"] == "gzip"
    assert len(gzip.compress(page.content)) < len(page.content) / 10


def test_earlier_runs_are_listed_and_shown(outputs):
    app = app_of(outputs)
    listed = get(app, "/runs").text
    assert listed.index("20261102T000000-bbbb") < listed.index("20261101T000000-aaaa")
    assert "cccc" not in listed
    assert "The older one." in get(app, "/runs/20261101T000000-aaaa/").text


@pytest.mark.parametrize(
    "path",
    [
        "/runs/20261102T000000-bbbb/artifacts/ingest/train.parquet",
        "/runs/20261102T000000-bbbb/run.json",
        "/runs/20261102T000000-bbbb/reports/..%2f..%2f..%2f..%2fsecret.html",
        "/runs/nothing/",
        "/runs/20261103T000000-cccc/",
    ],
)
def test_only_reports_of_the_use_case_are_sent(outputs, path):
    (outputs / "secret.html").write_text("secret")
    assert get(app_of(outputs), path).status_code == 404


def test_without_a_run_it_says_which_command_makes_one(tmp_path):
    page = get(app_of(tmp_path), "/")
    assert page.status_code == 404
    assert "quire run params/demo" in page.text


def test_a_token_is_asked_for_and_taken_from_address_cookie_or_bearer(outputs):
    app = app_of(outputs, token="s3cret")
    assert get(app, "/").status_code == 401
    assert get(app, "/?token=wrong").status_code == 401
    taken = get(app, "/?token=s3cret")
    assert taken.status_code == 303
    assert "HttpOnly" in taken.headers["set-cookie"]
    assert get(app, "/", cookie="quire_dashboard=s3cret").status_code == 200
    assert get(app, "/", authorization="Bearer s3cret").status_code == 200


def test_whether_it_is_well_is_said_without_a_token_and_nothing_else(outputs):
    app = app_of(outputs, token="s3cret")
    assert get(app, "/health").json()["status"] == "ok"
    assert [get(app, path).status_code for path in ("/runs", "/health/", "/live/", "//health")] == [401] * 4


@pytest.fixture
def served(outputs):
    """The dashboard in a process of its own, as people start it; its address and its process."""
    root = Path(__file__).parents[2]
    port = 18_866
    process = subprocess.Popen(
        [sys.executable, "-m", "quire", "dashboard", "demo", "--no-live", f"--port={port}"],
        env={**os.environ, "QUIRE_ROOT": str(root), "QUIRE_OUTPUTS": str(outputs), "QUIRE_DASHBOARD_TOKEN": ""},
        stdout=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}/"
    for _ in range(300):
        try:
            httpx.get(address + "health")
            break
        except httpx.TransportError:
            time.sleep(0.1)
    yield address, process
    process.terminate()
    process.wait(10)


def test_a_hundred_viewers_at_once_are_served_within_300_mb(served):
    address, process = served

    async def load():
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=100)) as client:
            return await asyncio.gather(*(client.get(address) for _ in range(100)))

    pages = asyncio.run(load())
    assert {page.status_code for page in pages} == {200}
    assert all("The newer one." in page.text for page in pages)
    resident = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert resident < 300e6


@pytest.mark.skipif(not CHROMIUM.exists(), reason=NO_CHROMIUM)
def test_chromium_shows_the_page_at_phone_width_and_asks_nobody_else(served, screenshots):
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: make setup")
    address, _ = served
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 390, "height": 800})
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        assert "The newer one." in page.inner_text("h1")
        page.goto(f"{address}runs")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.screenshot(path=screenshots / "dashboard-runs-phone.png")
        browser.close()
    assert all(url.startswith((address, "data:")) for url in asked)

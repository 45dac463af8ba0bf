import asyncio
import gzip
import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import httpx
import pytest

from quire.monitor.dashboard import make_app
from quire.monitor.run_pages import RunPages

CHROMIUM = Path("/usr/bin/chromium")
NO_CHROMIUM = "needs Chromium: apt-get install chromium"


def add_run(outputs, run_id, *, params="demo", headline="Nothing unusual.", manifest=None, **content):
    folder = outputs / "runs" / run_id
    for part in ("reports", "artifacts/monitor", "artifacts/ingest"):
        (folder / part).mkdir(parents=True)
    record = {"params": params, "status": "succeeded", "as_of": "2026-11-01", "finished_at": "2026-11-02T00:00:00Z"}
    record |= content
    if manifest is not None:
        (folder / "artifacts/ingest/manifest.json").write_text(json.dumps(manifest))
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


def add_failed_run(outputs, run_id="20261105T100000-ffff", *, status="failed", stage="validate", **content):
    """Leave a run that ended before monitoring; its index is there."""
    folder = outputs / "runs" / run_id
    folder.mkdir(parents=True)
    error = {"kind": "ValidationFailed", "message": "temp: 168 rows <break> it", "notebook": "20_validate.ipynb"}
    stages = {
        "ingest": {"status": "succeeded"},
        stage: {"status": status, "error": error},
        "monitor": {"status": "skipped"},
    }
    record = {
        "params": "demo",
        "status": status,
        "started_at": "2026-11-05T10:00:00+00:00",
        "stages": stages,
        **content,
    }
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "index.html").write_text("<html><body>why it failed</body></html>")


def app_of(outputs, token="", now=datetime(2026, 11, 5, 12, tzinfo=UTC)):
    return make_app(RunPages(outputs, "demo"), title="Rentals", token=token, now=lambda: now)


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


STRIP = "The run of 2026-11-05 10:00 UTC failed in validate"


def test_a_failed_newest_run_is_said_above_the_older_page(outputs):
    app = app_of(outputs)
    assert "failed in" not in get(app, "/").text
    add_failed_run(outputs)
    page = get(app, "/").text
    assert f"{STRIP}; this page is of 2026-11-02." in page
    assert "The newer one." in page
    assert 'href="/runs/20261105T100000-ffff/index.html"' in page
    assert "why it failed" in get(app, "/runs/20261105T100000-ffff/index.html").text
    assert get(app, "/runs/20261105T100000-ffff/").headers["location"] == "/runs/20261105T100000-ffff/index.html"


@pytest.mark.parametrize(
    ("status", "stage", "text"),
    [("interrupted", "train", "was interrupted in train"), ("failed", "ingest", "failed in ingest")],
)
def test_the_strip_says_how_and_where_it_ended(outputs, status, stage, text):
    add_failed_run(outputs, status=status, stage=stage)
    assert text in get(app_of(outputs), "/").text


def test_a_run_that_went_well_afterwards_takes_the_strip_away_and_a_part_of_one_does_not(outputs):
    add_failed_run(outputs)
    add_run(outputs, "20261106T000000-eeee", partial=True)
    assert STRIP in get(app_of(outputs), "/").text
    add_run(outputs, "20261107T000000-9999", headline="All is well again.")
    assert STRIP not in get(app_of(outputs), "/").text


def test_a_run_whose_monitoring_failed_is_not_the_page_that_is_shown(outputs):
    stages = {"monitor": {"status": "failed", "error": {"message": "no champion"}}}
    add_run(outputs, "20261105T100000-ffff", headline="Half a page.", status="failed", stages=stages)
    page = get(app_of(outputs), "/").text
    assert "The newer one." in page
    assert "failed in monitor" in page


def test_where_every_run_failed_that_is_said(tmp_path):
    add_failed_run(tmp_path)
    page = get(app_of(tmp_path), "/")
    assert page.status_code == 404
    assert f"{STRIP}." in page.text


def test_failed_and_interrupted_runs_are_listed_with_their_stage(outputs):
    add_failed_run(outputs)
    add_failed_run(outputs, "20261104T100000-eeee", status="interrupted", stage="train")
    listed = get(app_of(outputs), "/runs").text
    assert "failed in validate" in listed
    assert "temp: 168 rows &lt;break&gt; it" in listed
    assert "interrupted in train" in listed
    assert 'href="/runs/20261105T100000-ffff/"' in listed
    assert listed.index("failed in validate") < listed.index("interrupted in train") < listed.index("The newer one.")


@pytest.mark.parametrize(
    ("manifest", "shown"), [({"as_of": "2025-05-31T00:00:00+00:00"}, "2025-05-31"), ({"as_of": None}, "–")]
)
def test_the_list_has_the_time_of_the_data_beside_that_of_the_clock(tmp_path, manifest, shown):
    add_run(tmp_path, "20261103T000000-cccc", manifest=manifest, started_at="2026-11-02T09:30:00+00:00", as_of="")
    row = re.search("<tbody><tr>(.*?)</tr>", get(app_of(tmp_path), "/runs").text)[1]
    cells = [re.sub("<[^>]+>", "", cell) for cell in re.findall("<td[^>]*>(.*?)</td>", row)]
    assert cells[:3] == ["succeeded", "2026-11-02 09:30 UTC", shown]


@pytest.mark.parametrize(
    ("hours", "age"), [(0, "just now"), (0.5, "30 minutes ago"), (5, "5 hours ago"), (75, "3 days ago")]
)
def test_the_age_of_the_page_is_said(outputs, hours, age):
    now = datetime(2026, 11, 2, tzinfo=UTC) + timedelta(hours=hours)
    assert f"Made {age} (2026-11-02); data as of 2026-11-01." in get(app_of(outputs, now=now), "/").text


def test_health_tells_of_a_failed_run_and_of_the_age(outputs):
    assert get(app_of(outputs), "/health").json()["shown"]["age_s"] == 3.5 * 86_400
    add_failed_run(outputs)
    answer = get(app_of(outputs), "/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "run failed"
    assert answer.json()["failed"]["stage"] == "validate"


def test_what_is_no_run_is_passed_over(outputs):
    (outputs / "runs" / ".DS_Store").write_text("")
    (outputs / "runs" / "20261109T000000-0000").symlink_to("20261109T000000-0000")
    for name, content in {"1": "", "2": "[]", "3": '{"params": "demo"}'}.items():
        (outputs / "runs" / f"20261109T000000-{name}").mkdir()
        (outputs / "runs" / f"20261109T000000-{name}" / "run.json").write_text(content)
    app = app_of(outputs)
    assert "The newer one." in get(app, "/").text
    assert get(app, "/runs").text.count("<tr><td") == 2
    assert get(app, "/health").json()["runs"] == 2


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


@pytest.mark.parametrize(
    "path",
    ["//evil.example/x", "/\\evil.example", "/%5Cevil.example", "/%2F%2Fevil.example/", "/%09/evil.example",
     "/ /evil.example", "https:evil.example", "/https:/evil.example", "///evil.example", "/%2f%5c%2fevil.example",
     "/%0d%0aset-cookie:%20a=b"],
)  # fmt: skip
def test_whoever_brings_the_token_in_the_address_stays_on_this_host(outputs, path):
    app, sent = app_of(outputs, token="s3cret"), []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "scheme": "http", "path": unquote(path), "raw_path": path.encode()}
    scope |= {
        "query_string": b"a=1&token=wrong&token=s3cret",
        "headers": [(b"host", b"board")],
        "server": ("board", 80),
    }
    asyncio.run(app(scope, None, send))
    headers = dict(sent[0]["headers"])
    target = headers[b"location"].decode()
    assert sent[0]["status"] == 303
    assert re.fullmatch(r"/([^/\\\s].*)?", target)
    assert urlsplit(urljoin("http://board/", target)).netloc == "board"
    assert "s3cret" not in target
    assert {part.strip().lower() for part in headers[b"set-cookie"].decode().split(";")} >= {"httponly", "samesite=lax"}


def test_a_token_leaves_the_address_also_of_whoever_has_the_cookie(outputs):
    app = app_of(outputs, token="s3cret")
    again = get(app, "/runs?token=s3cret", cookie="quire_dashboard=s3cret")
    assert again.headers["location"] == "/runs"


def test_no_page_may_run_a_foreign_script_or_send_anything(outputs):
    app = app_of(outputs, token="s3cret")
    run = "/runs/20261102T000000-bbbb/"
    for path in ("/", "/runs", "/health", run, f"{run}index.html", f"{run}reports/monitor.html", f"{run}no.html"):
        for headers in ({}, {"authorization": "Bearer s3cret"}):
            answer = get(app, path, **headers)
            policy = answer.headers["content-security-policy"]
            assert {"default-src 'none'", "connect-src 'none'", "form-action 'none'", "base-uri 'none'"} <= set(
                policy.split("; ")
            )
            assert "unsafe" not in policy.replace("style-src 'unsafe-inline'", "")
            assert answer.headers["referrer-policy"] == "no-referrer"
    assert "content-security-policy" in get(app, "/?token=s3cret").headers


def test_whether_it_is_well_is_said_without_a_token_and_nothing_else(outputs):
    app = app_of(outputs, token="s3cret")
    assert get(app, "/health").json() == {"status": "ok"}
    add_failed_run(outputs)
    assert get(app, "/health").json() == {"status": "run failed"}
    assert get(app, "/health", authorization="Bearer s3cret").json()["failed"]["stage"] == "validate"
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
def test_chromium_shows_the_page_at_phone_width_and_asks_nobody_else(served, outputs, screenshots):
    add_failed_run(outputs)
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: make setup")
    address, _ = served
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 390, "height": 800})
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        assert "The newer one." in page.inner_text("h1")
        page.screenshot(path=screenshots / "dashboard-failed-phone.png")
        assert page.get_by_role("alert").is_visible()
        page.goto(f"{address}runs")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.screenshot(path=screenshots / "dashboard-runs-phone.png")
        browser.close()
    assert all(url.startswith((address, "data:")) for url in asked)

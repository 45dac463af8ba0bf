import functools
import json
import shutil
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from quire.flow.graph_svg import draw
from quire.flow.report import body_of, warm_up

CHART = """
import matplotlib.pyplot as plt
figure, axes = plt.subplots()
axes.plot([1, 2])
plt.close(figure)
figure
"""
ANSWER = """
answer = {"status": "good", "headline": "All <b>well</b>", "facts": [], "metrics": {"r2": 0.9}}
run.save("_answer", answer)
"""


@pytest.fixture(scope="module")
def reported(shared_project):
    """A run whose notebook has every kind of cell."""
    project = shared_project
    project.stage(
        "a",
        ("markdown", "## Answer"),
        ("load", "hidden_load = 1\nhidden_load"),
        ("work", "hidden_work = 2"),
        ("result", "__import__('IPython.display').display.HTML('<p>the result</p>')"),
        ("markdown", "### It grows\n\nEnergy is $E = mc^2$."),
        (
            "chart",
            CHART,
        ),
        ("save", 'run.save("manifest", {"fingerprint": "abcdef0123456789"})'),
        (
            "save",
            ANSWER,
        ),
    )
    project.stage("b", "1 / 0", needs=["a"])
    return project, project.run()


def test_a_report_has_results_and_charts_but_no_code(reported):
    _, result = reported
    html = (result.folder / "reports" / "a.html").read_text()
    assert "the result" in html
    assert "data:image/png;base64" in html
    for hidden in ("hidden_load", "hidden_work", "config.load", "run_dir", "savefig"):
        assert hidden not in html


def test_a_report_has_contents_and_says_where_it_comes_from(reported):
    _, result = reported
    html = (result.folder / "reports" / "a.html").read_text()
    assert "#It-grows" in html
    for text in (result.record["run_id"], "params/x", "abcdef012345"):
        assert text in html


def test_the_report_of_a_failed_stage_shows_the_cell_and_the_error(reported):
    _, result = reported
    html = (result.folder / "reports" / "b.html").read_text()
    assert "ZeroDivisionError" in html
    assert "<span" in html


def test_the_index_has_answers_metrics_the_graph_and_links(reported):
    _, result = reported
    html = (result.folder / "index.html").read_text()
    assert "All &lt;b&gt;well&lt;/b&gt;" in html
    assert "reports/a.html" in html
    assert "<svg" in html
    assert "0.9" in html


def test_the_graph_is_drawn_with_an_arrow_for_every_direct_need(reported):
    from quire import config
    from quire.flow.graph import build

    project, _ = reported
    svg = draw(build(config.load("x", root=project.root), "train"))
    assert svg.count("<rect") == 2
    assert svg.count("marker-end") == 1


@contextmanager
def served(folder):
    """Serve a folder over HTTP, each file by its address alone, as S3 does; yields the address."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_pages_open_from_disk_and_over_http_with_no_request_elsewhere(reported):
    """In a real browser: every request is recorded, and none leaves the run's folder."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    _, result = reported
    with playwright.sync_playwright() as browsers:
        try:
            browser = browsers.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium here; `playwright install chromium` brings it: {error}")
        page = browser.new_page()
        asked, problems = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        pages = [result.folder / "index.html", *sorted((result.folder / "reports").glob("*.html"))]
        with served(result.folder) as address:
            for path in pages:
                for url in (path.as_uri(), f"{address}/{path.relative_to(result.folder)}"):
                    page.goto(url)
                    page.wait_for_load_state("networkidle")
                    assert page.title()
            page.goto(f"{address}/index.html")
            page.click("a[href='reports/a.html']")
            assert "the result" in page.content()
        browser.close()
    elsewhere = [url for url in asked if not url.startswith((f"file://{result.folder}", address, "data:"))]
    assert len(asked) >= 6
    assert elsewhere == []
    assert problems == []


def test_the_executed_notebook_itself_keeps_its_code(reported):
    _, result = reported
    before = (result.folder / "notebooks" / "a.ipynb").read_text()
    body_of(result.folder / "notebooks" / "a.ipynb")
    assert (result.folder / "notebooks" / "a.ipynb").read_text() == before
    assert "hidden_work" in json.dumps(before)


def test_a_first_page_is_made_ahead_and_leaves_the_compiled_templates(tmp_path):
    warm_up(tmp_path)
    for thread in threading.enumerate():
        if thread.name == "first-page":
            thread.join(60)
    assert list((tmp_path / "cache" / "templates").glob("*.cache"))

"""The index page of a run: what it found comes first."""

import re

import pytest

from quire.page import run_index

STARTED, ENDED = "2026-03-01T10:00:00+00:00", "2026-03-01T10:01:20+00:00"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="300" viewBox="0 0 300 20"><path style="stroke: #1f2933"/></svg>'


def record(status="succeeded", **stages):
    return {
        "run_id": "20260301T100000000-aaaa", "params": "demo", "workflow": "train", "as_of": "2026-03-01",
        "status": status, "started_at": STARTED, "finished_at": ENDED, "commit": "abc", "versions": {"python": "3.11"},
        "stages": stages,
    }  # fmt: skip


def stage(status="succeeded", **values):
    return {"status": status, "seconds": 1.5, "why": "it has not run before", "report": "reports/x.html"} | values


def answer(status="good", headline="All is well.", **metrics):
    facts = [{"label": "Rows", "value": "1,000", "note": "hours"}]
    return {"status": status, "headline": headline, "facts": facts, "metrics": metrics}


def banner(page):
    return re.search(r'quire-answer quire-(\w+)">.*?<p>(.*?)</p>', page, re.DOTALL).groups()


def test_where_all_ended_well_the_page_says_so():
    page = run_index(record(ingest=stage(), train=stage()), answers={"train": answer()})
    assert banner(page) == ("good", "All 2 stages ended well.")
    assert "All is well." in page
    assert "took 1 min 20 s" in page


def test_the_worst_answer_is_the_runs():
    answers = {"train": answer(), "evaluate": answer("warn", "It is worse."), "monitor": answer("bad", "It drifted.")}
    page = run_index(record(**{name: stage() for name in answers}), answers=answers)
    assert banner(page) == ("bad", "It drifted. Evaluate needs a look too.")


def test_a_failure_comes_before_every_answer():
    failed = stage("failed", error={"name": "KeyError", "message": "'temp' is not there\nmore"})
    page = run_index(record("failed", train=failed, evaluate=stage("skipped", why="train did not succeed")), answers={})
    assert banner(page) == ("bad", "Train failed: &#39;temp&#39; is not there")
    assert "train did not succeed" in page


ANNOUNCED = "The data failed 1 of 69 checks:\n- temp: at least 0 and at most 1; 168 rows break it"


def test_a_failed_stage_shows_its_whole_answer_and_all_its_facts():
    facts = [{"label": name, "value": "1", "note": ""} for name in ("checks", "passed", "warnings", "failed")]
    told = {"status": "bad", "headline": "temp: 168 rows break it.", "facts": facts, "metrics": {}}
    failed = stage("failed", error={"message": ANNOUNCED})
    page = run_index(record("failed", validate=failed), answers={"validate": told})
    assert banner(page) == ("bad", "Validate failed: temp: 168 rows break it.")
    assert re.findall("<dt>(checks|passed|warnings|failed)</dt>", page) == ["checks", "passed", "warnings", "failed"]


def test_without_an_answer_the_message_is_shown_whole():
    page = run_index(record("failed", validate=stage("failed", error={"message": ANNOUNCED})), answers={})
    assert banner(page) == ("bad", "Validate failed: The data failed 1 of 69 checks: - temp: at least 0 and at most 1; "
                            "168 rows break it")  # fmt: skip
    assert page.count("168 rows break it") == 2


@pytest.mark.parametrize("error", [None, {}, {"message": ""}, {"message": None}, "broken"])
def test_a_failure_without_a_message_is_shown_all_the_same(error):
    tone, text = banner(run_index(record("failed", a=stage("failed", error=error)), answers={}))
    assert tone == "bad"
    assert re.fullmatch("A failed: .+", text)


@pytest.mark.parametrize("text", ["m" * 5_000_000, "line\n" * 1_000_000, "the cause:\n" + "x" * 2_000_000])
def test_texts_of_megabytes_are_cut(text):
    told = answer("bad", text)
    page = run_index(record("failed", a=stage("failed", error={"message": text}), b=stage()), answers={"b": told})
    assert len(page) < 100_000


def test_an_alert_leads_the_tiles_and_takes_the_green_from_the_chip():
    answers = {
        "evaluate": answer(r2=0.9, mae=33.0),
        "monitor": answer("bad", "mae is 108. And 5 more alerts.", mae=108.0),
    }
    page = run_index(record(evaluate=stage(), monitor=stage()), answers=answers)
    assert banner(page) == ("bad", "mae is 108. And 5 more alerts.")
    assert re.findall(r"<dt>(\w+, \w+)</dt>", page)[0] == "mae, monitor"
    assert 'quire-tile toned quire-bad"><dt>mae, monitor' in page
    assert re.search(r'quire-chip quire-(\w+)">succeeded', page)[1] == "neutral"


@pytest.mark.parametrize(("as_of", "shown"), [("2025-05-31", True), ("", False), (None, True)])
def test_the_time_of_the_data_is_shown_if_it_has_one(as_of, shown):
    page = run_index(record(a=stage()), answers={}, as_of=as_of)
    assert ("<dt>As of</dt>" in page) is shown
    assert "end of the source" not in page


@pytest.mark.parametrize(
    ("stages", "text"),
    [
        ({"train": stage("reused")}, "Nothing changed since the last run; every stage was reused."),
        ({"a": stage(), "b": stage("skipped")}, "1 of 2 stages ran; b had nothing to do."),
    ],
)
def test_runs_that_did_little_say_why(stages, text):
    assert banner(run_index(record(**stages), answers={}))[1] == text


def test_an_interrupted_run_says_how_to_go_on():
    assert "quire run" in banner(run_index(record("interrupted", a=stage("interrupted")), answers={}))[1]


def test_metrics_stand_against_the_last_run_and_know_which_way_is_better():
    last = {"run_id": "earlier", "answers": {"evaluate": answer(r2=0.90, mae=20.0, rows=10.0)}}
    page = run_index(record(evaluate=stage()), answers={"evaluate": answer(r2=0.92, mae=22.0, rows=12.0)}, last=last)
    tones = dict(re.findall(r"<code>(\w+)</code>.*?delta quire-(\w+)", page))
    tiles = re.findall(r"<dt>(\w+, \w+)</dt>", page)
    assert tiles == ["r2, evaluate", "mae, evaluate"]
    assert tones == {"r2": "good", "mae": "bad", "rows": "neutral"}
    assert 'href="../earlier/index.html"' in page


def test_scores_lead_and_an_error_alone_comes_last():
    answers = {"train": answer(r2=0.9), "evaluate": answer(mae=20.0, r2=0.92), "monitor": answer(mae=25.0)}
    page = run_index(record(train=stage(), evaluate=stage(), monitor=stage()), answers=answers)
    tiles = re.findall(r"<dt>(\w+, \w+)</dt>", page)
    assert tiles == ["mae, evaluate", "r2, evaluate", "r2, train", "mae, monitor"]


def test_metrics_come_in_the_order_of_the_stages():
    answers = {"evaluate": answer(r2=0.9), "ingest": answer(rows=1.0)}
    page = run_index(record(ingest=stage(), evaluate=stage()), answers=answers)
    assert re.findall(r"<code>(\w+)</code>", page) == ["rows", "r2"]


def test_what_stages_say_is_escaped():
    page = run_index(record(train=stage(why="<b>")), answers={"train": answer("good", "<script>alert(1)</script>")})
    assert "<script>alert" not in page
    assert "&lt;b&gt;" in page


def test_charts_and_graph_are_inline_and_follow_the_page():
    page = run_index(record(train=stage()), answers={"train": answer()}, charts={"train": SVG}, graph=SVG)
    assert page.count('style="stroke: currentColor"') == 2
    assert "--width: 300px" in page
    assert re.findall(r'(?:src|href)="(https?:[^"]+)"', page) == []

import os

import pytest

from quire import config
from quire.errors import ConfigError
from quire.flow.backfill import backfill, dates, write_page
from quire.flow.context import Request
from quire.flow.fork_server import is_possible

REQUEST = Request(params="x", publish=False)


def test_dates_include_both_ends():
    assert [f"{point:%m-%d}" for point in dates("2026-01-01", "2026-01-15", "7d")] == ["01-01", "01-08", "01-15"]
    assert len(dates("2026-01-01", "2026-01-14", "7d")) == 2


@pytest.mark.parametrize(("every", "words"), [("0d", "no time"), ("week", "length of time")])
def test_a_wrong_step_or_order_is_a_mistake(every, words):
    with pytest.raises(ConfigError, match=words):
        dates("2026-01-01", "2026-01-15", every)
    with pytest.raises(ConfigError, match="is after"):
        dates("2026-01-15", "2026-01-01", "7d")


@pytest.fixture
def series(project):
    """A source that grows; each run counts the rows before its date, and answers with the count."""
    (project.root / "data.csv").write_text("t,y\n" + "".join(f"2026-01-{day:02d},1\n" for day in range(1, 31)))
    (project.root / "params" / "x" / "config.yaml").write_text("source: {kind: csv, path: data.csv}\n")
    count = """
    lines = (settings.root / "data.csv").read_text().split()[1:]
    rows = [line for line in lines if line < as_of[:10]]
    run.save("count", len(rows))
    run.save("_answer", {"status": "good", "headline": "", "facts": [], "metrics": {"rows": len(rows)}})
    run.save("alias", settings.alias)
    """
    return project.stage("a", count, parameters='as_of = ""')


def test_runs_go_in_date_order_under_their_own_alias_and_only_once(series):
    points = dates("2026-01-05", "2026-01-19", "7d")
    results = list(backfill(REQUEST, points, root=series.root))
    assert [series.artifact(result, "a", "count") for result in results] == [4, 11, 18]
    assert {series.artifact(result, "a", "alias") for result in results} == {"backfill"}
    assert [result.record["as_of"][:10] for result in results] == ["2026-01-05", "2026-01-12", "2026-01-19"]
    assert "QUIRE_ALIAS" not in os.environ
    assert list(backfill(REQUEST, points, root=series.root)) == []

    settings = config.load("x", root=series.root)
    page = write_page(settings, [*points, *dates("2026-01-26", "2026-01-26", "7d")], "train", every="7d")
    assert "3 of 4 dates are done" in page.read_text()
    assert "a.rows" in page.read_text()


def test_it_stops_at_a_date_that_fails_and_goes_on_from_there(series):
    points = dates("2026-01-05", "2026-01-19", "7d")
    good = (series.root / "notebooks" / "a.ipynb").read_text()
    series.notebook("a", 'assert as_of < "2026-01-10"', parameters='as_of = ""')
    first = list(backfill(REQUEST, points, root=series.root))
    assert [result.record["status"] for result in first] == ["succeeded", "failed"]
    (series.root / "notebooks" / "a.ipynb").write_text(good)
    second = list(backfill(REQUEST, points, root=series.root))
    assert [result.record["as_of"][8:10] for result in second] == ["12", "19"]


forked = pytest.mark.skipif(not is_possible(), reason="kernels are forked on Linux only")


@forked
def test_the_kernels_of_all_dates_are_forked_from_one_process_which_ends_with_them(series):
    series.stage("a", "import os\nrun.save('parent', os.getppid())", parameters='as_of = ""')
    results = list(backfill(REQUEST, dates("2026-01-05", "2026-01-12", "7d"), root=series.root))
    first, second = (series.artifact(result, "a", "parent") for result in results)
    assert first == second != os.getpid()
    assert not os.path.exists(f"/proc/{first}")


@forked
def test_a_fork_server_that_dies_is_replaced_for_the_next_date(series):
    kill = "import os, signal\nrun.save('parent', os.getppid())\nos.kill(os.getppid(), signal.SIGKILL)"
    series.stage("a", kill, parameters='as_of = ""')
    results = list(backfill(REQUEST, dates("2026-01-05", "2026-01-12", "7d"), root=series.root))
    assert [result.record["status"] for result in results] == ["succeeded", "succeeded"]
    assert len({series.artifact(result, "a", "parent") for result in results}) == 2

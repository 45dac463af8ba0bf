"""The page of a backfill."""

from quire import page
from quire.page.dates import Date


def dates(count=4, **values):
    return [
        Date(as_of=f"2026-01-{1 + 7 * week:02d}", run_id=f"r{week}", status="succeeded", seconds=2.0,
             metrics={"evaluate.r2": 0.9 + week / 100}, champion="1" if week < 2 else "2", link=f"../{week}.html")
        for week in range(count)
    ]  # fmt: skip


def shown(told):
    return page.backfill(told, title="Bikes", params="demo", every="7d")


def test_each_metric_is_a_chart_with_its_lowest_and_highest_date():
    html = shown(dates())
    assert "evaluate.r2 lies between 0.900, on 1 January 2026, and 0.930, on 22 January 2026" in html
    assert html.count("<circle") == 4


def test_moves_of_the_alias_are_counted_and_marked():
    html = shown(dates())
    assert "moved 1 time;" in html
    assert "<title>version 2</title>" in html


def test_a_failed_date_leads_and_one_that_waits_says_how_to_go_on():
    failed = [*dates(), Date(as_of="2026-02-01", status="failed")]
    assert "1 of 5 dates failed, the first 2026-02-01." in shown(failed)
    assert "4 of 5 dates are done" in shown([*dates(), Date(as_of="2026-02-01")])
    assert "All 4 dates are done." in shown(dates())


def test_the_newest_run_stands_first():
    html = shown(dates())
    assert html.index('href="../3.html"') < html.index('href="../0.html"')

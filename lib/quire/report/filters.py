"""Filters of the live page: charts of one column, period or segment, each below the menus that it follows."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from quire.config import Settings
from quire.monitor.monitoring_result import MonitoringResult
from quire.report.drift import drift_details, drift_history, span_text
from quire.report.labels import label_text
from quire.report.monitoring import segments_chart
from quire.report.tables import Table, note

if TYPE_CHECKING:
    from ipywidgets import Widget


def filters(result: MonitoringResult, settings: Settings) -> "Widget | Table":
    """Return menus for column, period and segment above their charts; a remark where nobody can use them."""
    if not settings.live:
        return note("`quire dashboard` shows this page with menus for column, period and segment, at /live.")
    return live_filters(result)


def live_filters(result: MonitoringResult) -> "Widget":
    """Return the menus and the charts that follow them.

    Column and period stand above the two charts of drift: the first shows the period, the second marks it among the
    others. The rest of the page is of the latest period, as a remark says.
    """
    import ipywidgets as widgets

    drift = result.drift
    columns = [(label_text(name), name) for name in dict.fromkeys(drift["column"])]
    periods = [(_period(row), row["period"]) for _, row in drift.drop_duplicates("period").iloc[::-1].iterrows()]
    segments = [("all", ""), *((label_text(name), name) for name in dict.fromkeys(result.figures.segments["column"]))]
    column = widgets.Dropdown(options=columns, description="column")
    period = widgets.Dropdown(options=periods, description="period")
    segment = widgets.Dropdown(options=segments, description="segment")
    of_drift, of_segments = widgets.HTML(), widgets.HTML()

    def draw_drift(_: Any = None) -> None:
        selection: dict[str, Any] = {"column": column.value, "period": period.value}
        of_drift.value = _html(drift_details(result, **selection)) + _html(drift_history(result, **selection))

    def draw_segments(_: Any = None) -> None:
        of_segments.value = _html(segments_chart(result, column=segment.value))

    for menu in (column, period):
        menu.observe(draw_drift, names="value")
    segment.observe(draw_segments, names="value")
    draw_drift()
    draw_segments()
    remark = widgets.HTML(
        _html(note("The menus change the charts below them; the rest of the page is of the latest period."))
    )
    wrap = widgets.Layout(flex_flow="row wrap")
    return widgets.VBox([remark, widgets.HBox([column, period], layout=wrap), of_drift, segment, of_segments])


def _html(shown: Any) -> str:
    return shown.html if isinstance(shown, Table) else shown.html()


def _period(row: pd.Series) -> str:
    return span_text(row)

"""Filters of the live page: the same charts for one column, period or segment."""

from typing import TYPE_CHECKING, Any

from quire.config import Settings
from quire.monitor.look import Seen
from quire.report.drift import drift_details, drift_history
from quire.report.monitoring import segments_chart
from quire.report.tables import Table, note

if TYPE_CHECKING:
    from ipywidgets import Widget


def filters(seen: Seen, settings: Settings) -> "Widget | Table":
    """Return menus for column, period and segment above their charts; a remark where nobody can use them."""
    if not settings.live:
        return note("`quire dashboard` shows this page with menus for column, period and segment, at /live.")
    return live_filters(seen)


def live_filters(seen: Seen) -> "Widget":
    """Return the menus and the charts that follow them."""
    import ipywidgets as widgets

    drift = seen.drift
    columns = list(dict.fromkeys(drift["column"]))
    periods = {_period(row): row.period for row in drift.drop_duplicates("period").iloc[::-1].itertuples()}
    segments = {"all": "", **{name: name for name in dict.fromkeys(seen.figures.segments["column"])}}
    menus = (
        widgets.Dropdown(options=columns, description="column"),
        widgets.Dropdown(options=periods, description="period"),
        widgets.Dropdown(options=segments, description="segment"),
    )
    shown = widgets.HTML()

    def draw(_: Any = None) -> None:
        column, period, segment = (menu.value for menu in menus)
        charts = [
            drift_details(seen, column=column, period=period),
            drift_history(seen, column=column),
            segments_chart(seen, column=segment),
        ]
        shown.value = "".join(one.html if isinstance(one, Table) else one.html() for one in charts)

    for menu in menus:
        menu.observe(draw, names="value")
    draw()
    return widgets.VBox([widgets.HBox(menus, layout=widgets.Layout(flex_flow="row wrap")), shown])


def _period(row: Any) -> str:
    return f"{row.start:%-d %b %Y}" if row.start == row.start and row.start is not None else "now"

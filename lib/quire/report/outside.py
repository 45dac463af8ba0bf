"""What the database adds to the monitoring page: feedback, the service, and the history of alerts."""

import pandas as pd

from quire.monitor.look import Seen
from quire.report.charts import Chart
from quire.report.drift import dates
from quire.report.numbers import number
from quire.report.tables import Table, note, table
from quire.report.theme import ACCENT, BAD, NEUTRAL, PALETTE, WARN, figure


def feedback_table(seen: Seen) -> Table:
    """Return how much feedback there is to the predictions of the last 12 weeks, and the metric on it."""
    found = seen.outside.feedback
    if found.empty:
        return note("The database holds no predictions yet, so there is no feedback.")
    if not found["known"].any():
        return note(f"No outcome is known yet of the {found['predictions'].sum():,} predictions in the database.")
    names = {"known": "outcome known", "delay_hours": "median delay of feedback, hours", "low": "from", "high": "to"}
    told = "Outcomes come from feedback to the service and from labels that the source delivered later."
    title = "The predictions of the last 12 weeks, and the actual values"
    return table(found, title, names=names, formats={"coverage": ".0%"}, note=told)


def service_chart(seen: Seen) -> Chart | Table:
    """Return requests and latency of the service by day."""
    days = seen.outside.service
    if days.empty:
        return note("The service has answered no request in the last 12 weeks.")
    drawn, (top, below) = figure(2, 1, height=3.6, sharex=True)
    top.bar(days["day"], days["requests"], color=NEUTRAL, width=0.8)
    bottom = days["requests"]
    for name, colour in (("refused", WARN), ("failed", BAD)):
        if days[name].any():
            top.bar(days["day"], days[name], bottom=bottom, color=colour, width=0.8, label=name)
            bottom = bottom + days[name]
    if days[["refused", "failed"]].to_numpy().any():
        top.legend(ncols=2)
    top.set(ylabel="requests per day")
    below.plot(days["day"], days["p50_ms"], color=ACCENT, marker="o", markersize=4, label="half of the requests")
    below.plot(days["day"], days["p95_ms"], color=PALETTE[1], marker="o", markersize=4, label="95% of them")
    below.set(ylabel="milliseconds, at most", ylim=(0, None))
    below.legend(ncols=2)
    dates(below)
    how = (
        "Latency is from request to answer, in the service. Refused: the request was at fault; failed: the service was."
    )
    return Chart(service_message(days), drawn, how, days)


def service_message(days: pd.DataFrame) -> str:
    """Return the sentence over the service's days: the last one, and the errors of all."""
    last = days.loc[days["day"].idxmax()]
    requests = int(last["requests"])
    message = f"On {last['day']:%-d %B %Y}, the last day, {requests:,} prediction{'s' if requests != 1 else ''}"
    message += f", 95% of them within {number(last['p95_ms'])} ms" if pd.notna(last["p95_ms"]) else ""
    return f"{message}; {errors_of(days)}"


def errors_of(days: pd.DataFrame) -> str:
    """Return in words how many requests were refused and failed in all days."""
    refused, failed = int(days["refused"].sum()), int(days["failed"].sum())
    span = f"{len(days)} day{'s' if len(days) != 1 else ''}"
    if not refused + failed:
        return f"no request was refused or failed in {span}"
    return f"{refused:,} request{'s were' if refused != 1 else ' was'} refused and {failed:,} failed in {span}"


def alerts_table(seen: Seen) -> Table:
    """Return the newest alerts of the history, and who acknowledged them."""
    found = seen.outside.alerts
    if found.empty:
        return note("No alert was sent before this run.")
    shown = found.assign(at=[f"{at:%Y-%m-%d %H:%M}" for at in found["at"]])
    shown["acknowledged_by"] = shown["acknowledged_by"].astype("object").where(shown["acknowledged_by"].notna(), "open")
    names = {"acknowledged_by": "acknowledged by"}
    return table(
        shown, "Alerts before this run", names=names, keys=("id",), note="`quire alerts ack ID` closes one.", limit=10
    )

"""What the database adds to the monitoring page: feedback, the service, and the history of alerts."""

import pandas as pd

from quire.monitor.monitoring_result import MonitoringResult
from quire.report.charts import Chart
from quire.report.drift import dates
from quire.report.numbers import number
from quire.report.tables import Table, note, table
from quire.report.theme import ACCENT, BAD, NEUTRAL, PALETTE, WARN, figure


def feedback_table(result: MonitoringResult) -> Table:
    """Return how much feedback there is to the predictions of the last 12 weeks, and the metric on it."""
    feedback = result.outside.feedback
    if feedback.empty:
        return note("The database holds no predictions yet, so there is no feedback.")
    if not feedback["known"].any():
        return note(f"No outcome is known yet of the {feedback['predictions'].sum():,} predictions in the database.")
    names = {"known": "outcome known", "delay_hours": "median delay of feedback, hours", "low": "from", "high": "to"}
    remark = "Outcomes come from feedback to the service and from labels that the source delivered later."
    title = "The predictions of the last 12 weeks, and the actual values"
    return table(feedback, title, names=names, formats={"coverage": ".0%"}, note=remark)


def service_chart(result: MonitoringResult) -> Chart | Table:
    """Return requests and latency of the service by day."""
    days = result.outside.service
    if days.empty:
        return note("The service has answered no request in the last 12 weeks.")
    fig, (request_axes, latency_axes) = figure(2, 1, height=3.6, sharex=True)
    request_axes.bar(days["day"], days["requests"], color=NEUTRAL, width=0.8)
    bottom = days["requests"]
    for name, colour in (("refused", WARN), ("failed", BAD)):
        if days[name].any():
            request_axes.bar(days["day"], days[name], bottom=bottom, color=colour, width=0.8, label=name)
            bottom = bottom + days[name]
    if days[["refused", "failed"]].to_numpy().any():
        request_axes.legend(ncols=2)
    request_axes.set(ylabel="requests per day")
    latency_axes.plot(days["day"], days["p50_ms"], color=ACCENT, marker="o", markersize=4, label="half of the requests")
    latency_axes.plot(days["day"], days["p95_ms"], color=PALETTE[1], marker="o", markersize=4, label="95% of them")
    latency_axes.set(ylabel="milliseconds, at most", ylim=(0, None))
    latency_axes.legend(ncols=2)
    dates(latency_axes)
    help_text = (
        "Latency is from request to answer, in the service. Refused: the request was at fault; failed: the service was."
    )
    return Chart(service_message(days), fig, help_text, days)


def service_message(days: pd.DataFrame) -> str:
    """Return the sentence over the service's days: the last one, and the errors of all."""
    last = days.loc[days["day"].idxmax()]
    requests = int(last["requests"])
    message = f"On {last['day']:%-d %B %Y}, the last day, {requests:,} prediction{'s' if requests != 1 else ''}"
    message += f", 95% of them within {number(last['p95_ms'])} ms" if pd.notna(last["p95_ms"]) else ""
    return f"{message}; {errors_of(days)}"


def errors_of(days: pd.DataFrame) -> str:
    """Return in words how many requests were refused and failed in all days."""
    n_refused, n_failed = int(days["refused"].sum()), int(days["failed"].sum())
    span = f"{len(days)} day{'s' if len(days) != 1 else ''}"
    if not n_refused + n_failed:
        return f"no request was refused or failed in {span}"
    return f"{n_refused:,} request{'s were' if n_refused != 1 else ' was'} refused and {n_failed:,} failed in {span}"


def alerts_table(result: MonitoringResult) -> Table:
    """Return the newest alerts of the history, and who acknowledged them."""
    alerts = result.outside.alerts
    if alerts.empty:
        return note("No alert was sent before this run.")
    frame = alerts.assign(at=[f"{at:%Y-%m-%d %H:%M}" for at in alerts["at"]])
    frame["acknowledged_by"] = frame["acknowledged_by"].astype("object").where(frame["acknowledged_by"].notna(), "open")
    names = {"acknowledged_by": "acknowledged by"}
    return table(
        frame, "Alerts before this run", names=names, keys=("id",), note="`quire alerts ack ID` closes one.", limit=10
    )

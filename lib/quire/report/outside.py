"""What the database adds to the monitoring page: feedback, the service, and the history of alerts."""

from quire.monitor.look import Seen
from quire.report.charts import Chart
from quire.report.drift import dates
from quire.report.numbers import number
from quire.report.tables import Table, note, table
from quire.report.theme import ACCENT, NEUTRAL, PALETTE, figure


def feedback_table(seen: Seen) -> Table:
    """Return how much feedback there is to the predictions of the last 12 weeks, and the metric on it."""
    found = seen.outside.feedback
    if found.empty:
        return note("The database holds no predictions yet, so there is no feedback.")
    if not found["known"].any():
        return note(f"No feedback yet to the {found['predictions'].sum():,} predictions that the database holds.")
    names = {"known": "with feedback", "delay_hours": "median delay, hours"}
    return table(found, "Feedback on the predictions of the last 12 weeks", names=names, formats={"coverage": ".0%"})


def service_chart(seen: Seen) -> Chart | Table:
    """Return requests and latency of the service by day."""
    days = seen.outside.service
    if days.empty:
        return note("The service has answered no request in the last 12 weeks.")
    drawn, (top, below) = figure(2, 1, height=3.6, sharex=True)
    top.bar(days["day"], days["requests"], color=NEUTRAL, width=0.8)
    top.set(ylabel="requests per day")
    below.plot(days["day"], days["p50_ms"], color=ACCENT, marker="o", markersize=4, label="half of the requests")
    below.plot(days["day"], days["p95_ms"], color=PALETTE[1], marker="o", markersize=4, label="95% of them")
    below.set(ylabel="milliseconds, at most", ylim=(0, None))
    below.legend(ncols=2)
    dates(below)
    last = days.iloc[-1]
    message = f"On the last day {last['requests']:,} requests, 95% of them answered within {number(last['p95_ms'])} ms"
    return Chart(message, drawn, "Latency is measured in the service, from request to answer.")


def alerts_table(seen: Seen) -> Table:
    """Return the newest alerts of the history, and who acknowledged them."""
    found = seen.outside.alerts
    if found.empty:
        return note("No alert was sent before this run.")
    shown = found.assign(at=[f"{at:%Y-%m-%d %H:%M}" for at in found["at"]])
    shown["acknowledged_by"] = shown["acknowledged_by"].astype("object").where(shown["acknowledged_by"].notna(), "open")
    names = {"acknowledged_by": "acknowledged by"}
    return table(shown, "Alerts before this run", names=names, note="`quire alerts ack ID` closes one.", limit=10)

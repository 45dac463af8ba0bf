"""Alerts and figures for those who are not watching: the log, SNS, CloudWatch and a webhook.

A channel that fails never fails what alerted; it is one of the deliveries that come back, and it is logged. One cause
alerts once within the cool-down. Secrets (the webhook's address) never reach a log or a delivery.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from quire.config import Settings
from quire.config.places import Alerts
from quire.errors import QuireError

log = logging.getLogger("quire.alerts")

Severity = Literal["info", "warning", "critical"]
LEVELS: dict[str, int] = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}

UNITS = {"RunSucceeded": "Count", "RunSeconds": "Seconds", "DriftedColumns": "Count"}
"""Units that CloudWatch shows; other figures have none."""


@dataclass(frozen=True)
class Alert:
    """Something that a person should know.

    kind: what sort, such as ``run_failed`` or ``drift``; cause: what makes two alerts the same for the cool-down, by
    default the kind; link: where to look; at: when it was found, UTC.
    """

    kind: str
    title: str
    body: str = ""
    severity: Severity = "warning"
    cause: str = ""
    link: str = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        if not self.cause:
            object.__setattr__(self, "cause", self.kind)


@dataclass(frozen=True)
class Delivery:
    """What became of an alert or of figures on one channel."""

    channel: str
    status: Literal["sent", "quiet", "failed"]
    detail: str = ""


class AlertLog(Protocol):
    """What `send` needs of the database."""

    def save_alert(self, alert: Alert, *, model_name: str, run_id: str | None = None) -> Any:
        """Add the alert."""

    def has_alert(self, model_name: str, cause: str, since: datetime) -> bool:
        """Whether an alert with this cause was saved at or after ``since``."""


def send(
    alert: Alert, settings: Settings, database: AlertLog | None = None, *, run_id: str | None = None
) -> list[Delivery]:
    """Send the alert on every channel of config.yaml, the log first, and return what became of it on each.

    Within the cool-down of an earlier alert with the same cause, nothing is sent and each delivery is ``quiet``.
    Without a database there is no memory, so every alert is sent.
    """
    config = settings.config.alerts
    channels = _channels(config)
    deliveries: list[Delivery] = []
    if database is not None:
        try:
            since = alert.at - timedelta(hours=config.cool_down_hours)
            known = config.cool_down_hours > 0 and database.has_alert(settings.model_name, alert.cause, since)
            if known:
                detail = f"{alert.cause} alerted within the last {config.cool_down_hours:g} hours."
                return [Delivery(channel, "quiet", detail) for channel in channels]
            database.save_alert(alert, model_name=settings.model_name, run_id=run_id)
        except Exception as error:
            deliveries.append(_failed("database", error))
    for channel in channels:
        deliveries.append(_attempt(channel, lambda: SENDERS[channel](alert, settings)))  # noqa: B023 - called at once
    return deliveries


def measure(values: Mapping[str, float], settings: Settings, *, workflow: str = "") -> list[Delivery]:
    """Send figures such as ``RunSucceeded`` or ``DriftedColumns`` to CloudWatch, if it is one of the channels.

    Each is put with the dimensions UseCase and, if given, Workflow; alarms name the same ones. Their time is now, not
    that of the data: an alarm looks at the last hour, and CloudWatch refuses what is older than two weeks.
    """
    if "cloudwatch" not in _channels(settings.config.alerts) or not values:
        return []
    return [_attempt("cloudwatch", lambda: _put_metrics(values, settings, workflow))]


def _channels(config: Alerts) -> list[str]:
    """Return the channels to use, the log first; only the log where alerts are for the report only."""
    if config.report_only:
        return ["log"]
    return ["log", *(channel for channel in config.channels if channel != "log")]


def _attempt(channel: str, work: Callable[[], None]) -> Delivery:
    try:
        work()
    except Exception as error:  # whatever a channel does, what alerted goes on; the delivery says it
        return _failed(channel, error)
    return Delivery(channel, "sent")


def _failed(channel: str, error: Exception) -> Delivery:
    # The text of an HTTP error holds the webhook's address, which is a secret.
    detail = str(error) if isinstance(error, QuireError) or channel != "webhook" else type(error).__name__
    log.warning("The alert channel %s failed: %s", channel, detail)
    return Delivery(channel, "failed", detail)


def _send_log(alert: Alert, settings: Settings) -> None:
    parts = [f"[{settings.name}] {alert.title}", alert.body, alert.link]
    log.log(LEVELS[alert.severity], "%s", "\n".join(part for part in parts if part))


def _send_sns(alert: Alert, settings: Settings) -> None:
    topic = settings.config.alerts.sns_topic
    if not topic:
        raise _NotSet("alerts.sns_topic in config.yaml is empty: write the topic's ARN, or run `quire alerts setup`.")
    subject = f"[{settings.name}] {alert.severity}: {alert.title}".replace("\n", " ")
    # SNS takes ASCII subjects of at most 100 characters.
    subject = subject.encode("ascii", "replace").decode()[:100]
    _client("sns", settings).publish(
        TopicArn=topic,
        Subject=subject,
        Message="\n\n".join(part for part in (alert.title, alert.body, alert.link) if part),
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value}
            for name, value in (("kind", alert.kind), ("severity", alert.severity), ("use_case", settings.name))
        },
    )


def _send_cloudwatch(alert: Alert, settings: Settings) -> None:
    dimensions = [{"Name": "UseCase", "Value": settings.name}, {"Name": "Kind", "Value": alert.kind}]
    # Without a time of its own it counts from now; ``alert.at`` is the time of the data. See `measure`.
    datum = {"MetricName": "Alerts", "Value": 1.0, "Unit": "Count", "Dimensions": dimensions}
    _client("cloudwatch", settings).put_metric_data(Namespace=settings.config.alerts.namespace, MetricData=[datum])


def _put_metrics(values: Mapping[str, float], settings: Settings, workflow: str) -> None:
    dimensions = [{"Name": "UseCase", "Value": settings.name}]
    if workflow:
        dimensions.append({"Name": "Workflow", "Value": workflow})
    data = [
        {
            "MetricName": name,
            "Value": float(value),
            "Unit": UNITS.get(name, "None"),
            "Dimensions": dimensions,
        }
        for name, value in values.items()
        if value == value  # CloudWatch refuses the whole call for one NaN
    ]
    if data:
        _client("cloudwatch", settings).put_metric_data(Namespace=settings.config.alerts.namespace, MetricData=data)


def _send_webhook(alert: Alert, settings: Settings) -> None:
    """Post JSON; the key ``text`` is what chat services show."""
    import httpx
    from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

    url = settings.config.alerts.webhook.get_secret_value()
    if not url:
        raise _NotSet("alerts.webhook in config.yaml is empty: write a reference such as ${QUIRE_WEBHOOK}.")
    text = "\n".join(part for part in (f"[{settings.name}] {alert.title}", alert.body, alert.link) if part)
    content = {
        "text": text,
        "kind": alert.kind,
        "severity": alert.severity,
        "cause": alert.cause,
        "use_case": settings.name,
        "link": alert.link,
        "at": alert.at.isoformat(),
    }

    @retry(
        retry=retry_if_exception_type((httpx.TransportError, _Later)),
        stop=stop_after_attempt(3),
        wait=wait_random_exponential(0.2, max=2),
        reraise=True,
    )
    def post() -> None:
        answer = httpx.post(
            url, content=json.dumps(content), headers={"Content-Type": "application/json"}, timeout=10.0
        )
        if answer.status_code == 429 or answer.status_code >= 500:
            raise _Later(f"The webhook answered {answer.status_code} three times.")
        if answer.status_code >= 300:
            raise _NotSet(f"The webhook answered {answer.status_code}: check alerts.webhook in config.yaml.")

    post()


class _Later(QuireError):
    """The webhook asks to be called again."""


class _NotSet(QuireError):
    """A channel is chosen but not, or wrongly, set up."""


def _client(service: str, settings: Settings) -> Any:
    from quire.io import storage

    return storage.client(service, settings.config.alerts.endpoint_url)


SENDERS: dict[str, Callable[[Alert, Settings], None]] = {
    "log": _send_log,
    "sns": _send_sns,
    "cloudwatch": _send_cloudwatch,
    "webhook": _send_webhook,
}

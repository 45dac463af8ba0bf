"""Alerts and figures for those who are not watching: the log, SNS, CloudWatch and a webhook.

A channel that fails never fails what alerted; it is one of the deliveries that come back, and it is logged. One cause
alerts once within the cool-down. Secrets never reach a channel, a log or a delivery.

An alert is written to the outbox (`quire.io.pending_notes.alerts`) with its channels before anything is sent, and each
channel is taken off when it took the alert; so what a killed process or a failing channel left is sent by the next run
or `quire publish`. A channel gets an alert twice only where the process dies, or the disk fails, between the channel's
acceptance and the note of it; the webhook's ``id`` and the attribute of SNS are then the same, so that a receiver can
drop the repeat. The row in the database is written once for each run and cause.
"""

import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from quire.config import Settings
from quire.config.places import Alerts
from quire.errors import ArtifactError, QuireError
from quire.io import pending_notes
from quire.io.pending_notes import Notes
from quire.redaction import redact

log = logging.getLogger("quire.alerts")

Severity = Literal["info", "warning", "critical"]
Channel = Literal["database", "log", "sns", "cloudwatch", "webhook"]
LEVELS: dict[str, int] = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}

DATABASE: Literal["database"] = "database"
"""The alert's row, which the cool-down and the dashboard go by, is owed like what a channel gets."""

KEPT_BY_CLOUDWATCH = timedelta(days=14)
"""Figures of before that are refused."""

UNITS = {"RunSucceeded": "Count", "RunSeconds": "Seconds", "DriftedColumns": "Count"}
"""Units that CloudWatch shows; other figures have none."""


@dataclass(frozen=True)
class Alert:
    """Something that a person should know.

    kind: what sort, such as ``run_failed`` or ``drift``; cause: what makes two alerts the same for the cool-down, by
    default the kind; link: where to look; at: when it was found, UTC. id: by which a receiver knows a
    repeat; set when it is sent.
    """

    kind: str
    title: str
    body: str = ""
    severity: Severity = "warning"
    cause: str = ""
    link: str = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    id: str = ""

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

    def has_alert_of(self, run_id: str, model_name: str, cause: str) -> bool:
        """Whether the run has saved an alert with this cause."""


class OwedAlert(BaseModel):
    """An alert in the outbox: whose it is, and the channels that have yet to take it."""

    model_config = ConfigDict(frozen=True)

    alert: Alert
    use_case: str
    run_id: str | None
    channels: tuple[Channel, ...]


def send(
    alert: Alert, settings: Settings, database: AlertLog | None = None, *, run_id: str | None = None
) -> list[Delivery]:
    """Send the alert on every channel of config.yaml, the log first, and return what became of it on each.

    Within the cool-down of an earlier alert with the same cause, nothing is sent and each delivery is ``quiet``. What
    fails stays in the outbox. Without a database there is no memory: every alert is sent, and what fails is not owed.
    """
    if database is None:
        return _send_now(alert, settings, run_id)
    try:
        name, decided = queue(alert, settings, lambda: database, run_id=run_id)
        return [*decided, *deliver(name, settings, lambda: database, skip={delivery.channel for delivery in decided})]
    except OSError as error:  # an alert may be about the disk that is full
        return [_failed("outbox", error), *_send_now(alert, settings, run_id)]


def queue(
    alert: Alert, settings: Settings, connect: Callable[[], AlertLog], *, run_id: str | None = None
) -> tuple[str, list[Delivery]]:
    """Write the alert to the outbox for `deliver`; return its name there, and what is decided already.

    Within the cool-down each channel is decided, as ``quiet``. A database that fails keeps no alert back. connect:
    opens the database. Raises OSError if the outbox cannot be written.
    """
    item, outbox = _item(alert, settings, run_id), pending_notes.alerts(settings.outputs)
    with suppress(ArtifactError):
        if waiting(outbox, item.alert.id):  # an earlier attempt of this run; its own row must not silence it
            return item.alert.id, []
    decided = []
    try:
        reason = _reason_for_quiet(item, settings, connect())
    except Exception as error:
        reason, decided = "", [_failed(DATABASE, error)]
    if reason:
        return item.alert.id, [Delivery(channel, "quiet", reason) for channel in _channels(settings.config.alerts)]
    outbox.write(item.alert.id, item.model_dump_json(indent=1))
    return item.alert.id, decided


def deliver(
    name: str, settings: Settings, connect: Callable[[], AlertLog], *, skip: Collection[str] = ()
) -> list[Delivery]:
    """Send an alert of the outbox to the channels that have yet to take it, and return what became of it on each.

    A channel that config.yaml no longer names is owed nothing. skip: channels that are not tried now. Raises
    ArtifactError if the file is not what Quire writes.
    """
    outbox = pending_notes.alerts(settings.outputs)
    with outbox.held(name) as is_free:
        item = waiting(outbox, name) if is_free else None
        return list(_deliver(item, settings, connect, skip, outbox)) if item else []


def waiting(outbox: Notes, name: str) -> OwedAlert | None:
    """Return an alert of the outbox, or None if all of it has arrived; raises ArtifactError if it is not whole."""
    text = outbox.read(name)
    try:
        return OwedAlert.model_validate_json(text) if text is not None else None
    except ValidationError:
        raise ArtifactError(
            f"{outbox.folder / name}.json is not an alert as Quire writes it: read it, and remove it."
        ) from None


def _item(alert: Alert, settings: Settings, run_id: str | None) -> OwedAlert:
    """Return the alert as it leaves: with an id, the same for each run and cause, and without any secret."""
    same = f"{settings.model_name}\n{run_id}\n{alert.cause}"
    name = hashlib.sha256(same.encode()).hexdigest()[:32] if run_id else uuid.uuid4().hex
    alert = replace(
        alert, title=redact(alert.title), body=redact(alert.body), link=redact(alert.link), cause=redact(alert.cause),
        id=name,
    )  # fmt: skip
    channels: tuple[Channel, ...] = (DATABASE, *_channels(settings.config.alerts))
    return OwedAlert(alert=alert, use_case=settings.name, run_id=run_id, channels=channels)


def _send_now(alert: Alert, settings: Settings, run_id: str | None) -> list[Delivery]:
    item = _item(alert, settings, run_id)
    return [_attempt(channel, _sender(channel, item, settings)) for channel in item.channels if channel != DATABASE]


def _reason_for_quiet(item: OwedAlert, settings: Settings, database: AlertLog) -> str:
    """Return why the alert is not sent; empty if it is."""
    cause, hours = item.alert.cause, settings.config.alerts.cool_down_hours
    if item.run_id and database.has_alert_of(item.run_id, settings.model_name, cause):
        return f"{cause} was alerted by this run."
    since = item.alert.at - timedelta(hours=hours)
    if hours > 0 and _is_waiting(item, pending_notes.alerts(settings.outputs), since):
        return f"{cause} alerted within the last {hours:g} hours, and is being sent."
    if hours > 0 and database.has_alert(settings.model_name, cause, since):
        return f"{cause} alerted within the last {hours:g} hours."
    return ""


def _is_waiting(item: OwedAlert, outbox: Notes, since: datetime) -> bool:
    """Whether the same alert of another run is in the outbox; its row may not be written yet."""
    for name in outbox.names():
        with suppress(ArtifactError):
            other = waiting(outbox, name)
            is_same = other and (other.use_case, other.alert.cause) == (item.use_case, item.alert.cause)
            if other and is_same and other.alert.at >= since:
                return True
    return False


def _deliver(
    item: OwedAlert, settings: Settings, connect: Callable[[], AlertLog], skip: Collection[str], outbox: Notes
) -> Iterator[Delivery]:
    """Try each channel, and note at once that it took the alert."""
    channels, owed_channels = (DATABASE, *_channels(settings.config.alerts)), list(item.channels)
    for channel in item.channels:
        if channel in channels and channel in skip:
            continue
        if channel in channels:
            delivery = _attempt(channel, _sender(channel, item, settings, connect))
            if channel != DATABASE or delivery.status == "failed":
                yield delivery
            if delivery.status == "failed":
                continue
        owed_channels.remove(channel)
        with suppress(OSError):  # it is sent again then, as said above
            _note(item.model_copy(update={"channels": tuple(owed_channels)}), outbox)


def _note(item: OwedAlert, outbox: Notes) -> None:
    if item.channels:
        outbox.write(item.alert.id, item.model_dump_json(indent=1))
    else:
        outbox.remove(item.alert.id)


def _sender(
    channel: str, item: OwedAlert, settings: Settings, connect: Callable[[], AlertLog] | None = None
) -> Callable[[], None]:
    if channel == DATABASE and connect is not None:
        return lambda: _save(item, settings, connect())
    return lambda: SENDERS[channel](item.alert, settings)


def _save(item: OwedAlert, settings: Settings, database: AlertLog) -> None:
    name, cause = settings.model_name, item.alert.cause
    if not item.run_id or not database.has_alert_of(item.run_id, name, cause):
        database.save_alert(item.alert, model_name=name, run_id=item.run_id)


def measure(
    values: Mapping[str, float], settings: Settings, *, workflow: str = "", at: datetime | None = None
) -> list[Delivery]:
    """Send figures such as ``RunSucceeded`` or ``DriftedColumns`` to CloudWatch, if it is one of the channels.

    Each is put with the dimensions UseCase and, if given, Workflow; alarms name the same ones. Their time is now, not
    that of the data, since an alarm looks at the last hour; of a run that is published later it is ``at``, when it
    ended, so that no alarm takes it for one of today. CloudWatch takes nothing older than two weeks: that is not sent.
    """
    if "cloudwatch" not in _channels(settings.config.alerts) or not values:
        return []
    if at is not None and at < datetime.now(UTC) - KEPT_BY_CLOUDWATCH:
        log.warning("Figures of %s are older than CloudWatch takes; they are not sent.", at.isoformat())
        return []
    return [_attempt("cloudwatch", lambda: _put_metrics(values, settings, workflow, at))]


def _channels(config: Alerts) -> list[Channel]:
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
    detail = redact(str(error)) if isinstance(error, QuireError) or channel != "webhook" else type(error).__name__
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
            for name, value in (
                ("kind", alert.kind),
                ("severity", alert.severity),
                ("use_case", settings.name),
                ("id", alert.id),
            )
        },
    )


def _send_cloudwatch(alert: Alert, settings: Settings) -> None:
    dimensions = [{"Name": "UseCase", "Value": settings.name}, {"Name": "Kind", "Value": alert.kind}]
    # Without a time of its own it counts from now; ``alert.at`` is the time of the data. See `measure`.
    datum = {"MetricName": "Alerts", "Value": 1.0, "Unit": "Count", "Dimensions": dimensions}
    _client("cloudwatch", settings).put_metric_data(Namespace=settings.config.alerts.namespace, MetricData=[datum])


def _put_metrics(values: Mapping[str, float], settings: Settings, workflow: str, at: datetime | None) -> None:
    dimensions = [{"Name": "UseCase", "Value": settings.name}]
    if workflow:
        dimensions.append({"Name": "Workflow", "Value": workflow})
    data = [
        {
            "MetricName": name,
            "Value": float(value),
            "Unit": UNITS.get(name, "None"),
            "Dimensions": dimensions,
            **({"Timestamp": at} if at else {}),
        }
        for name, value in values.items()
        if value == value  # CloudWatch refuses the whole call for one NaN
    ]
    if data:
        _client("cloudwatch", settings).put_metric_data(Namespace=settings.config.alerts.namespace, MetricData=data)


def _send_webhook(alert: Alert, settings: Settings) -> None:
    """Post JSON; the key ``text`` is what chat services show, and a repeat has the same ``id``."""
    import httpx
    from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

    url = settings.config.alerts.webhook.get_secret_value()
    if not url:
        raise _NotSet("alerts.webhook in config.yaml is empty: write a reference such as ${QUIRE_WEBHOOK}.")
    text = "\n".join(part for part in (f"[{settings.name}] {alert.title}", alert.body, alert.link) if part)
    content = {
        "id": alert.id,
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

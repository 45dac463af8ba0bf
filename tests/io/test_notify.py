import json
import logging
import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from quire import config, redaction
from quire.io import database, notify, pending_notes, storage
from quire.io.notify import Alert, Delivery

AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
DRIFT = Alert("drift", "2 columns drifted: temp, hum", body="temp: 0.4 above", cause="drift:hum,temp", at=AT)


@pytest.fixture(autouse=True)
def outbox(tmp_path, monkeypatch):
    """The outbox of an empty folder of outputs."""
    monkeypatch.setenv("QUIRE_OUTPUTS", str(tmp_path / "outputs"))
    return pending_notes.alerts(tmp_path / "outputs")


@pytest.fixture
def settings_with():
    """Settings of the demo, with an alerts section of one's own."""

    def make(**alerts):
        base = config.load("demo")
        section = {**base.config.alerts.model_dump(), **alerts}
        return base.__class__(
            **{
                **vars(base),
                "config": base.config.model_copy(
                    update={"alerts": config.Alerts.model_validate(section, strict=False)}
                ),
            }
        )

    return make


class Memory:
    """The alert table, in a list."""

    def __init__(self):
        self.saved, self.runs = [], []

    def save_alert(self, alert, *, model_name, run_id=None):
        self.saved.append((model_name, alert))
        self.runs.append((run_id, model_name, alert.cause))

    def has_alert_of(self, run_id, model_name, cause):
        return (run_id, model_name, cause) in self.runs

    def has_alert(self, model_name, cause, since):
        return any(name == model_name and alert.cause == cause and alert.at >= since for name, alert in self.saved)


class Broken(Memory):
    def has_alert(self, model_name, cause, since):
        raise OSError("the disk is gone")


@pytest.fixture
def topic(aws):
    """A topic whose messages arrive in a queue: its ARN, and a function that returns the messages."""
    sns, sqs = storage.client("sns", aws), storage.client("sqs", aws)
    arn = sns.create_topic(Name="alerts")["TopicArn"]
    queue = sqs.create_queue(QueueName="alerts")["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)

    def messages():
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in found]

    return arn, messages


def figures(aws, name, dimensions):
    """What an alarm sees: the sums of the last hour."""
    now = datetime.now(UTC)
    answer = storage.client("cloudwatch", aws).get_metric_statistics(
        Namespace="Quire",
        MetricName=name,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
    )
    return [point["Sum"] for point in answer["Datapoints"]]


def test_the_log_is_told_first_and_always(settings_with, caplog):
    with caplog.at_level(logging.INFO, logger="quire.alerts"):
        assert notify.send(DRIFT, settings_with()) == [Delivery("log", "sent")]
    assert caplog.records[0].levelname == "WARNING"
    assert "[demo] 2 columns drifted: temp, hum\ntemp: 0.4 above" in caplog.text


def test_subscribers_of_the_topic_get_the_alert(settings_with, aws, topic):
    arn, messages = topic
    settings = settings_with(channels=("log", "sns"), sns_topic=arn, endpoint_url=aws)
    assert [delivery.status for delivery in notify.send(DRIFT, settings)] == ["sent", "sent"]
    (message,) = messages()
    assert message["Subject"] == "[demo] warning: 2 columns drifted: temp, hum"
    assert "temp: 0.4 above" in message["Message"]
    assert message["MessageAttributes"]["kind"]["Value"] == "drift"


def test_a_subject_is_cut_to_what_sns_takes(settings_with, aws, topic):
    arn, messages = topic
    settings = settings_with(channels=("sns",), sns_topic=arn, endpoint_url=aws)
    notify.send(Alert("drift", "größer\n" + "x" * 200), settings)
    (message,) = messages()
    assert len(message["Subject"]) == 100
    assert message["Subject"].startswith("[demo] warning: gr??er xxx")


def test_an_alert_counts_in_cloudwatch_now_whatever_the_time_of_its_data(settings_with, aws):
    settings = settings_with(channels=("cloudwatch",), endpoint_url=aws)
    notify.send(DRIFT, settings)
    assert figures(aws, "Alerts", {"UseCase": "demo", "Kind": "drift"}) == [1.0]


def test_figures_of_a_run_reach_cloudwatch(settings_with, aws):
    settings = settings_with(channels=("cloudwatch",), endpoint_url=aws)
    values = {"RunSucceeded": 1, "RunSeconds": 12.5, "roc_auc": float("nan")}
    assert notify.measure(values, settings, workflow="score") == [Delivery("cloudwatch", "sent")]
    dimensions = {"UseCase": "demo", "Workflow": "score"}
    assert figures(aws, "RunSucceeded", dimensions) == [1.0]
    assert figures(aws, "RunSeconds", dimensions) == [12.5]
    assert figures(aws, "roc_auc", dimensions) == []


def test_figures_go_nowhere_where_cloudwatch_is_no_channel(settings_with):
    assert notify.measure({"RunSucceeded": 1}, settings_with()) == []


def test_a_webhook_gets_what_chat_services_show(settings_with, webhook):
    url, posted, _ = webhook
    notify.send(DRIFT, settings_with(channels=("webhook",), webhook=url))
    assert posted[0]["text"].startswith("[demo] 2 columns drifted")
    assert posted[0]["severity"] == "warning"


def test_a_webhook_that_is_busy_is_called_again(settings_with, webhook):
    url, posted, answers = webhook
    answers += [503, 429]
    assert notify.send(DRIFT, settings_with(channels=("webhook",), webhook=url))[-1].status == "sent"
    assert len(posted) == 3


def test_a_failing_channel_is_reported_and_the_others_are_served(settings_with, webhook, caplog):
    url, posted, _ = webhook
    settings = settings_with(channels=("sns", "webhook"), webhook=url, endpoint_url="http://127.0.0.1:9")
    log, sns, hook = notify.send(DRIFT, settings)
    assert (log.status, sns.status, hook.status) == ("sent", "failed", "sent")
    assert "alerts.sns_topic in config.yaml is empty" in sns.detail
    assert "The alert channel sns failed" in caplog.text
    assert len(posted) == 1


@pytest.mark.parametrize("status", [404, 500])
def test_the_address_of_the_webhook_stays_secret(settings_with, webhook, caplog, status):
    url, _, answers = webhook
    answers += [status] * 3
    delivery = notify.send(DRIFT, settings_with(channels=("webhook",), webhook=url))[-1]
    assert delivery.status == "failed"
    assert str(status) in delivery.detail
    assert "secret-token" not in delivery.detail + caplog.text


def test_the_address_stays_secret_when_nobody_answers(settings_with, caplog):
    settings = settings_with(channels=("webhook",), webhook="http://127.0.0.1:9/secret-token")
    delivery = notify.send(DRIFT, settings)[-1]
    assert (delivery.status, delivery.detail) == ("failed", "ConnectError")
    assert "secret-token" not in caplog.text


def test_one_cause_alerts_once_within_the_cool_down(settings_with):
    memory, settings = Memory(), settings_with(cool_down_hours=24)
    again = Alert(**{**vars(DRIFT), "at": AT + timedelta(hours=23)})
    later = Alert(**{**vars(DRIFT), "at": AT + timedelta(hours=25)})
    other = Alert("drift", "1 column drifted: windspeed", cause="drift:windspeed", at=AT)
    statuses = [notify.send(alert, settings, memory)[0].status for alert in (DRIFT, again, later, other)]
    assert statuses == ["sent", "quiet", "sent", "sent"]


def test_no_cool_down_means_every_alert(settings_with):
    memory, settings = Memory(), settings_with(cool_down_hours=0)
    assert [notify.send(DRIFT, settings, memory)[0].status for _ in range(2)] == ["sent", "sent"]


def test_a_database_that_is_gone_does_not_keep_the_alert_back(settings_with):
    database, log = notify.send(DRIFT, settings_with(), Broken())
    assert (database.channel, database.status, database.detail) == ("database", "failed", "the disk is gone")
    assert log == Delivery("log", "sent")


def test_alerts_for_the_report_only_reach_nobody(settings_with, webhook):
    url, posted, _ = webhook
    notify.send(DRIFT, settings_with(channels=("webhook",), webhook=url, report_only=True))
    assert posted == []


def sent_again(settings, memory, outbox):
    """What the next run or ``quire publish`` does."""
    return [one for name in outbox.names() for one in notify.deliver(name, settings, lambda: memory)]


@pytest.mark.parametrize("run_id", ["r1", None])
def test_a_channel_that_failed_gets_the_alert_later_and_the_others_do_not_get_it_twice(
    settings_with, webhook, outbox, run_id, caplog
):
    url, posted, answers = webhook
    answers += [500] * 3
    memory, settings = Memory(), settings_with(channels=("webhook",), webhook=url)
    with caplog.at_level(logging.INFO, logger="quire.alerts"):
        assert [one.status for one in notify.send(DRIFT, settings, memory, run_id=run_id)] == ["sent", "failed"]
        posted.clear()
        assert sent_again(settings, memory, outbox) == [Delivery("webhook", "sent")]
        assert sent_again(settings, memory, outbox) == []
    assert len(posted) == len(memory.saved) == 1
    assert caplog.text.count("2 columns drifted") == 1
    assert list(outbox.folder.iterdir()) == []


def test_an_alert_of_the_same_run_is_sent_again_only_where_it_did_not_arrive(settings_with, webhook, outbox):
    url, posted, answers = webhook
    answers += [500] * 3
    memory, settings = Memory(), settings_with(channels=("webhook",), webhook=url, cool_down_hours=0)
    tries = [notify.send(DRIFT, settings, memory, run_id="r1") for _ in range(3)]
    assert [[one.status for one in deliveries] for deliveries in tries] == [
        ["sent", "failed"],
        ["sent"],
        ["quiet", "quiet"],
    ]
    assert {one["id"] for one in posted} == {posted[0]["id"]} != {""}
    assert len(memory.saved) == 1


def test_other_runs_stay_quiet_while_an_alert_is_on_its_way(settings_with, webhook, outbox):
    memory, settings = Memory(), settings_with(channels=("webhook",), webhook=webhook[0])
    notify.queue(DRIFT, settings, lambda: memory, run_id="r1")
    assert {one.status for one in notify.send(DRIFT, settings, memory, run_id="r2")} == {"quiet"}
    other = Alert("drift", "1 column drifted: windspeed", cause="drift:windspeed", at=AT)
    assert {one.status for one in notify.send(other, settings, memory, run_id="r2")} == {"sent"}


@pytest.mark.parametrize("dies_in", ["queued", "database", "log", "webhook"])
def test_an_alert_whose_process_is_killed_arrives_once_and_has_one_row(settings_with, webhook, outbox, dies_in):
    """Killed as soon as the step is done and noted; at the last one nothing is left to do."""
    url, posted, _ = webhook
    settings = settings_with(channels=("webhook",), webhook=url)
    store = database.open(settings.database_url)
    child = os.fork()
    if child == 0:
        _die_after(dies_in)
        notify.send(DRIFT, settings, database.open(settings.database_url), run_id="r1")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    before = len(posted)
    sent_again(settings, store, outbox)
    assert {one.status for one in notify.send(DRIFT, settings, store, run_id="r1")} == {"quiet"}
    assert (before, len(posted)) == (int(dies_in == "webhook"), 1)
    assert store.alerts()["title"].tolist() == [DRIFT.title]
    assert outbox.names() == []
    store.close()


def _die_after(step):
    queue, note = notify.queue, notify._note

    def queued(*arguments, **options):
        queue(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    def noted(item, outbox):
        note(item, outbox)
        if step not in item.channels:
            os.kill(os.getpid(), signal.SIGKILL)

    if step == "queued":
        notify.queue = queued
    else:
        notify._note = noted


def test_a_database_that_comes_back_gets_the_row_later(settings_with, outbox):
    class Away(Memory):
        def has_alert(self, *arguments):
            raise OSError("the server does not answer")

        def save_alert(self, alert, **about):
            raise OSError("the server does not answer")

    settings, memory = settings_with(), Memory()
    assert [one.status for one in notify.send(DRIFT, settings, Away(), run_id="r1")] == ["failed", "sent"]
    assert sent_again(settings, Away(), outbox) == [Delivery("database", "failed", "the server does not answer")]
    sent_again(settings, memory, outbox)
    assert memory.runs == [("r1", "demo", DRIFT.cause)]


def test_a_disk_that_is_full_keeps_no_alert_back(settings_with, outbox):
    outbox.folder.parent.mkdir(parents=True)
    outbox.folder.write_text("in the way")
    outcome = notify.send(DRIFT, settings_with(), Memory(), run_id="r1")
    assert [(one.channel, one.status) for one in outcome] == [("outbox", "failed"), ("log", "sent")]


def test_a_channel_that_config_no_longer_names_is_owed_nothing(settings_with, outbox):
    settings = settings_with(channels=("webhook",), webhook="http://127.0.0.1:9/")
    notify.send(DRIFT, settings, Memory(), run_id="r1")
    assert sent_again(settings_with(), Memory(), outbox) == []
    assert outbox.names() == []


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"alert": {"kind": "x"}, "channels": ["mail"]}', "\0"])
def test_a_file_in_the_outbox_that_is_no_alert_is_named(settings_with, outbox, text):
    outbox.write("0" * 32, text)
    with pytest.raises(notify.ArtifactError, match=r"000\.json is not an alert as Quire writes it"):
        notify.deliver("0" * 32, settings_with(), Memory)
    (outbox.folder / "..json").write_text("{}")
    (outbox.folder / "a b.json").write_text("{}")
    assert outbox.names() == ["0" * 32]
    assert notify.send(DRIFT, settings_with(), Memory(), run_id="r1") == [Delivery("log", "sent")]


@pytest.mark.parametrize("kept", [True, False])
def test_no_channel_and_no_file_gets_a_secret(settings_with, webhook, outbox, kept, caplog):
    redaction.learn("postgresql://me:hunter2-not-to-be-told@db/x")
    url, posted, answers = webhook
    answers += [500] * 3
    text = "cannot reach postgresql://me:hunter2-not-to-be-told@db/x"
    alert = Alert("run_failed", text, body=text, link=f"{text}/index.html", cause=text)
    memory = Memory()
    settings = settings_with(channels=("webhook",), webhook=url)
    notify.send(alert, settings, memory if kept else None, run_id="r1")
    files = "".join(path.read_text() for path in outbox.folder.glob("*.json"))
    assert ("cannot reach" in files) is kept
    assert "hunter2" not in files + caplog.text + json.dumps(posted) + repr(memory.saved)


def test_figures_of_a_run_that_is_published_later_have_the_time_of_its_end(settings_with, aws):
    settings = settings_with(channels=("cloudwatch",), endpoint_url=aws)
    for age in (timedelta(hours=5), timedelta(days=15)):
        notify.measure({"RunLate": 1}, settings, workflow="late", at=datetime.now(UTC) - age)
    points = storage.client("cloudwatch", aws).get_metric_statistics(
        Namespace="Quire", MetricName="RunLate", Period=60, Statistics=["Sum"],
        Dimensions=[{"Name": "UseCase", "Value": "demo"}, {"Name": "Workflow", "Value": "late"}],
        StartTime=datetime.now(UTC) - timedelta(days=20), EndTime=datetime.now(UTC) + timedelta(minutes=1),
    )["Datapoints"]  # fmt: skip
    (point,) = points
    assert abs(datetime.now(UTC) - timedelta(hours=5) - point["Timestamp"]) < timedelta(minutes=10)
    assert figures(aws, "RunLate", {"UseCase": "demo", "Workflow": "late"}) == []

import json
import logging
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from quire import config
from quire.io import notify, storage
from quire.io.notify import Alert, Delivery

AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
DRIFT = Alert("drift", "2 columns drifted: temp, hum", body="temp: 0.4 above", cause="drift:hum,temp", at=AT)


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
        self.saved = []

    def save_alert(self, alert, *, model_name, run_id=None):
        self.saved.append((model_name, alert))

    def has_alert(self, model_name, cause, since):
        return any(name == model_name and alert.cause == cause and alert.at >= since for name, alert in self.saved)


class Broken(Memory):
    def has_alert(self, model_name, cause, since):
        raise OSError("the disk is gone")


@pytest.fixture
def webhook():
    """A web server that keeps what is posted; ``answers`` are the status codes to come, then 200."""
    posted, answers = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(answers.pop(0) if answers else 200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/secret-token", posted, answers
    server.shutdown()
    server.server_close()


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

import pytest
from click.testing import CliRunner

from quire import config
from quire.errors import ArchiveError
from quire.io import alarms, storage


@pytest.fixture
def settings(aws):
    base = config.load("demo")
    section = base.config.alerts.model_copy(update={"endpoint_url": aws})
    return base.__class__(**{**vars(base), "config": base.config.model_copy(update={"alerts": section})})


def test_topic_subscribers_and_alarms_are_made(settings, aws):
    made = alarms.make(settings, emails=("ops@example.org",))
    assert made.subscribers == ("ops@example.org",)
    found = storage.client("cloudwatch", aws).describe_alarms()["MetricAlarms"]
    assert {alarm["AlarmName"] for alarm in found} == set(made.alarms)
    assert all(alarm["AlarmActions"] == [made.topic] for alarm in found)


def test_a_run_that_is_missing_rings_without_figures(settings, aws):
    alarms.make(settings, workflow="score")
    found = storage.client("cloudwatch", aws).describe_alarms(AlarmNames=["quire-demo-score-missing"])
    (alarm,) = found["MetricAlarms"]
    assert alarm["TreatMissingData"] == "breaching"
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 7 * 86_400


def test_doing_it_again_changes_nothing(settings):
    first = alarms.make(settings, emails=("ops@example.org",))
    assert alarms.make(settings, emails=("ops@example.org",)) == first


def test_aws_that_does_not_answer_is_said(settings, monkeypatch):
    import botocore.retries.standard as retries

    monkeypatch.setattr(retries.ExponentialBackoff, "delay_amount", lambda self, context: 0)
    section = settings.config.alerts.model_copy(update={"endpoint_url": "http://127.0.0.1:9"})
    gone = settings.__class__(**{**vars(settings), "config": settings.config.model_copy(update={"alerts": section})})
    with pytest.raises(ArchiveError, match="alerts of demo: the server does not answer"):
        alarms.make(gone)


def test_the_test_alert_says_what_became_of_it():
    from quire.cli.alerts import alerts

    done = CliRunner().invoke(alerts, ["test", "params/demo"])
    assert done.exit_code == 0
    assert done.output.split() == ["log", "sent"]

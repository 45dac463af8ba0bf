import json
from datetime import UTC, datetime, timedelta

import pytest

from quire.flow.context import Request
from quire.flow.reactions import run_and_react

NOW = datetime(2026, 1, 10, tzinfo=UTC)


@pytest.fixture
def watched(project):
    """`score` monitors and may ask to retrain; `train` has a stage of its own."""
    reaction = {"retrain": {"workflow": "train", "at_most_every": "7d"}}
    project.stage("watch", 'run.signal("retrain", "drift in temp")', 'run.signal("other", "")', on_signal=reaction)
    project.stage("fit", 'run.save("model", 1)')
    return project.write(score=["watch"])


def react(project, now, **request):
    asked = Request(params="x", workflow="score", publish=False, **request)
    events = []
    results = list(run_and_react(asked, root=project.root, now=now, listen=events.append))
    return [result.record["workflow"] for result in results], events


def test_a_signal_starts_the_workflow_that_it_means_at_most_once_per_period(watched):
    workflows, events = react(watched, NOW)
    assert workflows == ["score", "train"]
    assert [event["reason"] for event in events if event["event"] == "signal"] == ["drift in temp"]
    # Both runs bear the same time, so that only chance says which of them is the latest.
    records = [json.loads(path.read_text()) for path in (watched.outputs / "runs").glob("*/run.json")]
    assert {record["workflow"]: record["cause"] for record in records} == {"score": "", "train": "signal retrain"}

    workflows, events = react(watched, NOW + timedelta(days=3), fresh=True)
    assert workflows == ["score"]
    assert [bool(event["last"]) for event in events if event["event"] == "signal"] == [True]

    workflows, _ = react(watched, NOW + timedelta(days=8), fresh=True)
    assert workflows == ["score", "train"]


def test_a_reused_stage_does_not_signal_again(watched):
    react(watched, NOW)
    workflows, _ = react(watched, NOW + timedelta(days=30))
    assert workflows == ["score"]

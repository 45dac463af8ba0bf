"""Deletion of what is stored, as a person asks for it at the terminal."""

from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from quire.cli.main import main

NOW = datetime.now(UTC)


def quire(*arguments, **options):
    return CliRunner().invoke(main, arguments, **options)


def test_forgetting_a_key_deletes_its_predictions_and_feedback_after_a_yes(project, db, prediction):
    db.insert_predictions([prediction("a", "Ann"), prediction("b", "Bob"), prediction("c", "Ann", NOW - timedelta(1))])
    db.save_feedback([{"prediction_id": "a", "actual": 5}], source="service")
    refused = quire("forget", "Ann", input="n\n")
    assert refused.exit_code == 1
    assert len(db.predictions("demo")) == 3
    done = quire("forget", "Ann", input="y\n")
    assert "Deleted 2 predictions and 1 feedback" in done.output
    assert "quire clean" in done.output
    assert list(db.predictions("demo")["id"]) == ["b"]
    assert db.prediction("a") is None


def test_forgetting_may_be_of_one_use_case_only(project, db, prediction):
    db.insert_predictions([prediction("a", "Ann"), prediction("b", "Ann", model="churn")])
    assert "Deleted 1 predictions" in quire("forget", "Ann", "--params", "params/churn", "--yes").output
    assert list(db.predictions("demo")["id"]) == ["a"]


def test_forgetting_what_is_old_keeps_what_is_not(project, db, prediction):
    db.insert_predictions([prediction("old", at=NOW - timedelta(days=100)), prediction("new")])
    assert "Deleted 1 predictions" in quire("forget", "--older-than", "90d", "--yes").output
    assert list(db.predictions("demo")["id"]) == ["new"]


@pytest.mark.parametrize("arguments", [[], ["Ann", "--older-than", "90d"]])
def test_forgetting_needs_to_know_what_and_only_one_thing(project, arguments):
    done = quire("forget", *arguments, "--yes")
    assert done.exit_code == 2
    assert "Say which KEY" in done.output

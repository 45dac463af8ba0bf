from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from quire import config
from quire.cli.alerts import alerts
from quire.cli.main import main
from quire.io import database
from quire.io.notify import Alert


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.setenv("QUIRE_OUTPUTS", str(tmp_path))
    return tmp_path


@pytest.fixture
def store(outputs):
    opened = database.open(config.load("demo").database_url)
    for number, kind in enumerate(("drift", "performance")):
        at = datetime(2026, 1, 5 + number, tzinfo=UTC)
        opened.save_alert(Alert(kind, f"About {kind}", link="runs/x", at=at), model_name=config.load("demo").model_name)
    yield opened
    opened.close()


def quire(*words):
    return CliRunner().invoke(alerts, words)


def test_open_alerts_are_listed_the_newest_first(store):
    told = quire().output
    assert told.index("About performance") < told.index("About drift")
    assert "runs/x" in told


def test_an_alert_that_somebody_took_note_of_is_listed_only_on_demand(store):
    assert "1: acknowledged" in quire("ack", "1", "--by", "ann").output
    assert "About drift" not in quire().output
    assert "acknowledged by ann" in quire("--all").output


def test_an_unknown_number_is_said_and_is_an_error(store):
    done = quire("ack", "1", "99")
    assert done.exit_code == 1
    assert "1: acknowledged" in done.output
    assert "99: there is no open alert with this number" in done.output


def test_alerts_of_another_use_case_are_left_out(store):
    assert "About" not in quire("--params", "churn").output
    assert "About drift" in quire("--params", "demo").output


def test_no_alert_is_said_in_words(outputs):
    assert "No open alert" in quire().output


@pytest.mark.parametrize("arguments", [("params/demo",), ("demo",), ("params/demo", "--all"), ("--limit", "3", "demo")])
def test_the_use_case_may_be_an_argument_as_everywhere(outputs, arguments):
    done = CliRunner().invoke(main, ["alerts", *arguments])
    assert done.exit_code == 0, done.output
    assert "No " in done.output


def test_a_use_case_that_is_not_there_is_named(outputs):
    done = CliRunner().invoke(main, ["alerts", "params/demmo"])
    assert done.exit_code == 2
    assert "Did you mean 'demo'" in done.output

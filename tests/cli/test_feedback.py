"""What really happened, from a file, as a person gives it at the terminal."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from click.testing import CliRunner

from quire import config
from quire.cli.main import main
from quire.io import database

NOW = datetime.now(UTC)


def quire(*arguments, **options):
    return CliRunner().invoke(main, arguments, **options)


def write(folder, **columns):
    path = folder / "actuals.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return str(path)


def test_feedback_by_prediction_id_is_kept_repeated_and_unknown(project, db, prediction):
    db.insert_predictions([prediction("a"), prediction("b")])
    path = write(project, prediction_id=["a", "b", "nobody"], cnt=[10, 20, 30])
    assert quire("feedback", path).output.splitlines() == ["2 recorded, 1 unknown"]
    assert quire("feedback", path).output.splitlines() == ["2 repeated, 1 unknown"]
    kept = db.predictions("demo").set_index("id")["actual"].to_dict()
    assert kept == {"a": 10.0, "b": 20.0}


def test_feedback_by_key_goes_to_the_newest_prediction_of_it(project, db, prediction):
    at = datetime(2026, 1, 1, 5, tzinfo=UTC)
    key = at.isoformat()
    old = prediction("old", key, NOW - timedelta(days=1))
    db.insert_predictions([old, prediction("new", key)])
    settings = config.load("demo", root=project)
    if not settings.schema.key:
        pytest.skip("The demo has no key.")
    done = quire("feedback", write(project, timestamp=["2026-01-01 05:00:00+00:00"], cnt=[7]))
    assert done.output.strip() == "1 recorded", done.output
    assert db.predictions("demo").set_index("id")["actual"].dropna().to_dict() == {"new": 7.0}


def test_feedback_on_classes_is_taken_as_the_schema_writes_them(project, prediction):
    db = database.open(config.load("churn", root=project).database_url)
    db.insert_predictions([prediction("a", model="churn", value=None, label="Yes", probability=0.9)])
    target = config.load("churn", root=project).schema.target
    path = write(project, prediction_id=["a"], **{target: ["Yes"]})
    assert quire("feedback", path, "--params", "params/churn").output.strip() == "1 recorded"
    assert db.predictions("churn")["actual"].tolist() == ["Yes"]


def test_a_file_without_the_target_names_its_columns_and_the_near_one(project, db):
    done = quire("feedback", write(project, prediction_id=["a"], cn=[1]))
    assert done.exit_code == 3
    assert "lacks the column 'cnt'" in done.output
    assert "Did you mean 'cn'?" in done.output


def test_rows_without_an_answer_yet_are_left_out(project, db, prediction):
    db.insert_predictions([prediction("a"), prediction("b")])
    assert quire("feedback", write(project, prediction_id=["a", "b"], cnt=[1, None])).output.strip() == "1 recorded"

"""The database on SQLite and on PostgreSQL: the same promises on both."""

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
import sqlalchemy as sa

from quire.errors import ServiceError
from quire.io import database, engine, tables
from quire.io.notify import Alert
from quire.io.row_keys import RowKeys, row_keys

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GIVEN = {"model_name": "demo", "model_version": "3", "as_of": NOW, "now": NOW}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new' / 'quire.db'}"
    return request.getfixturevalue("postgresql").new()


@pytest.fixture
def db(url):
    opened = database.open(url)
    yield opened
    opened.close()


def batch(rows=3, start=0):
    return pd.DataFrame(
        {
            "station": [f"s{i}" for i in range(start, start + rows)],
            "at": pd.date_range("2026-02-01", periods=rows, freq="h", tz="UTC"),
            "prediction": [float(i) for i in range(rows)],
        }
    )


def service_row(name="a", **more):
    return {
        "id": name, "model_name": "demo", "model_version": "3", "row_key": name, "as_of": NOW, "source": "service",
        "predicted_at": NOW, "value": 1.0,
    } | more  # fmt: skip


def test_predictions_come_back_as_they_were_saved(db):
    assert db.save_predictions(batch(), key=["station"], timestamp="at", run_id="r1", **GIVEN) == 3
    found = db.predictions("demo")
    assert set(found["row_key"]) == {"s0", "s1", "s2"}
    by_key = found.set_index("row_key")
    assert by_key.loc["s2", "prediction"] == 2.0
    assert by_key.loc["s1", "at"] == pd.Timestamp("2026-02-01T01:00Z")
    assert set(found["as_of"]) == {pd.Timestamp(NOW)}
    assert set(found["run_id"]) == {"r1"}
    assert found["actual"].isna().all()


def test_a_retry_adds_only_what_is_missing(db):
    db.save_predictions(batch(2), key=["station"], **GIVEN)
    assert db.save_predictions(batch(3), key=["station"], **GIVEN) == 1
    assert len(db.predictions("demo")) == 3


def test_another_version_or_moment_is_another_prediction(db):
    for change in ({}, {"model_version": "4"}, {"as_of": NOW + timedelta(days=1)}, {"model_name": "other"}):
        assert db.save_predictions(batch(), key=["station"], **GIVEN | change) == 3


def test_rows_without_a_key_are_told_apart_by_position(db, monkeypatch):
    monkeypatch.setattr(database, "CHUNK", 2)
    assert db.save_predictions(batch(5), **GIVEN) == 5
    assert set(db.predictions("demo")["row_key"]) == {"#0", "#1", "#2", "#3", "#4"}


@pytest.mark.parametrize("key", [[], ["at"]])
def test_a_batch_in_parts_is_kept_whole(db, key):
    frame = pd.DataFrame({"at": [pd.Timestamp("2026-01-01", tz="UTC")] * 7, "prediction": range(7)})
    for new in (7, 0):
        keys = RowKeys(key, numbered=True)
        parts = [frame.iloc[start : start + 3] for start in (0, 3, 6)]
        assert sum(db.save_predictions(part, key=key, timestamp="at", keys=keys, **GIVEN) for part in parts) == new


def test_classes_keep_their_probabilities(db):
    frame = pd.DataFrame({"k": ["x"], "prediction": ["b"], "probability_a": [0.25], "probability_b": [0.75]})
    db.save_predictions(frame, key=["k"], **GIVEN)
    found = db.predictions("demo").iloc[0]
    assert (found["prediction"], found["probability"]) == ("b", 0.75)
    assert found["probabilities"] == {"a": 0.25, "b": 0.75}


def test_keys_of_several_columns_and_of_times_are_text():
    frame = pd.DataFrame({"at": [pd.Timestamp("2026-01-01", tz="UTC")], "n": [3.0]})
    assert row_keys(frame, ["at", "n"]) == ["2026-01-01T00:00:00+00:00|3"]


def test_rows_of_one_time_are_kept_apart_and_forgotten_together(db):
    times = pd.to_datetime(["2026-01-01", "2026-01-01", "2026-01-02"], utc=True)
    frame = pd.DataFrame({"at": times, "prediction": [1.0, 2.0, 3.0]})
    assert db.save_predictions(frame, key=["at"], timestamp="at", **GIVEN) == 3
    assert db.save_predictions(frame, key=["at"], timestamp="at", **GIVEN) == 0
    assert db.forget("2026-01-01T00:00:00+00:00").predictions == 2
    assert db.predictions("demo")["prediction"].tolist() == [3.0]


@pytest.mark.parametrize(
    ("first", "second"), [(["p|q", "r"], ["p", "q|r"]), (["a\\", "b"], ["a", "\\b"]), (["|", ""], ["", "|"])]
)
def test_keys_whose_parts_hold_the_separator_are_forgotten_one_by_one(db, first, second):
    frame = pd.DataFrame([first, second], columns=["a", "b"]).assign(prediction=[1.0, 2.0])
    assert db.save_predictions(frame, key=["a", "b"], **GIVEN) == 2
    assert db.forget(row_keys(frame, ["a", "b"])[0]).predictions == 1
    assert db.predictions("demo")["prediction"].tolist() == [2.0]


def test_feedback_is_recorded_repeated_changed_or_unknown(db):
    db.insert_predictions([service_row("a")])
    said = [[{"prediction_id": "a", "actual": actual}] for actual in (2, 2.0, 5)]
    assert [db.save_feedback(rows, source="service", now=NOW)[0] for rows in said] == [
        "recorded",
        "repeated",
        "changed",
    ]
    assert db.save_feedback([{"prediction_id": "none", "actual": 1}], source="service") == ["unknown"]
    assert db.predictions("demo").iloc[0]["actual"] == 5.0


def test_feedback_on_a_class_is_text(db):
    db.insert_predictions([service_row("a", value=None, label="Yes")])
    db.save_feedback([{"prediction_id": "a", "actual": True}], source="page")
    assert db.predictions("demo").iloc[0]["actual"] == "true"


def test_shadow_predictions_are_seen_only_when_asked_for(db):
    db.insert_predictions([service_row("a"), service_row("b", source="shadow", model_version="4")])
    assert list(db.predictions("demo")["id"]) == ["a"]
    assert list(db.predictions("demo", source="shadow")["id"]) == ["b"]


def test_predictions_are_chosen_by_time_and_limit_keeps_the_newest(db):
    rows = [service_row(f"{i}", predicted_at=NOW + timedelta(hours=i), features={"x": i}) for i in range(4)]
    db.insert_predictions(rows)
    between = db.predictions("demo", NOW + timedelta(hours=1), NOW + timedelta(hours=3), features=True)
    assert list(between["features"]) == [{"x": 1}, {"x": 2}]
    assert list(db.predictions("demo", limit=2)["id"]) == ["2", "3"]


def test_the_newest_prediction_of_a_key_is_found(db):
    db.insert_predictions(
        [
            service_row("old", row_key="k"),
            service_row("new", row_key="k", predicted_at=NOW + timedelta(1), as_of=NOW + timedelta(1)),
        ]
    )
    assert db.prediction_ids("demo", ["k", "other"]) == {"k": "new"}


def test_metrics_of_a_window_are_replaced_not_doubled(db):
    row = {"model_name": "demo", "model_version": "3", "as_of": NOW, "name": "r2", "value": 0.5}
    db.save_metrics([row, row | {"column": "temp", "name": "psi"}])
    db.save_metrics([row | {"value": 0.75}])
    history = db.metrics("demo", name="r2")
    assert list(history["value"]) == [0.75]
    assert history["as_of"].iloc[0] == pd.Timestamp(NOW)
    assert len(db.metrics("demo")) == 2


def test_an_alert_is_open_until_it_is_acknowledged(db):
    number = db.save_alert(Alert("drift", "temp drifted", cause="drift:temp", at=NOW), model_name="demo")
    assert list(db.alerts("demo", only_open=True, cause="drift:temp")["id"]) == [number]
    assert db.acknowledge(number, by="Ann", now=NOW)
    assert not db.acknowledge(number, by="Bob")
    assert db.alerts("demo", only_open=True).empty
    assert db.alerts("demo").iloc[0]["acknowledged_by"] == "Ann"


def test_a_cause_that_alerted_is_remembered_from_then_on(db):
    db.save_alert(Alert("drift", "temp drifted", at=NOW), model_name="demo")
    assert db.has_alert("demo", "drift", NOW)
    assert not db.has_alert("demo", "drift", NOW + timedelta(seconds=1))
    assert not db.has_alert("other", "drift", NOW)


def test_forgetting_a_key_deletes_its_predictions_and_feedback(db):
    db.insert_predictions([service_row("a", row_key="Ann"), service_row("b", row_key="Bob")])
    db.save_feedback([{"prediction_id": name, "actual": 1} for name in "ab"], source="service")
    assert db.forget("Ann") == database.Forgotten(predictions=1, feedback=1)
    assert list(db.predictions("demo")["row_key"]) == ["Bob"]
    assert db.forget("Ann") == database.Forgotten(predictions=0, feedback=0)


def test_pruning_deletes_what_is_older(db):
    db.insert_predictions([service_row("a"), service_row("b", predicted_at=NOW + timedelta(days=1))])
    assert db.prune(NOW + timedelta(hours=1)).predictions == 1
    assert list(db.predictions("demo")["id"]) == ["b"]


@pytest.mark.parametrize("table", tables.TABLES)
def test_a_fingerprint_stays_until_the_table_changes(db, table):
    before = db.fingerprint(table)
    assert db.fingerprint(table) == before
    db.insert_predictions([service_row("a")])
    db.save_feedback([{"prediction_id": "a", "actual": 1}], source="service")
    db.save_metrics([{"model_name": "demo", "model_version": "3", "as_of": NOW, "name": "r2", "value": 0.5}])
    db.save_alert(Alert("drift", "temp drifted", at=NOW), model_name="demo")
    assert db.fingerprint(table) != before


def test_the_migrations_make_the_tables_that_the_code_uses(db):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.METADATA) == []


def test_the_newest_migration_is_the_one_the_code_expects():
    from pathlib import Path

    from alembic.script import ScriptDirectory

    assert ScriptDirectory(Path(engine.__file__).parent / "migrations").get_current_head() == engine.HEAD


def test_many_opening_a_new_database_at_once_make_it_once(url):
    failures = []

    def open_it():
        try:
            database.open(url).close()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_database_of_a_newer_quire_is_refused(db, url):
    with db.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ServiceError, match=r"version 9999; this Quire knows up to .* bring your clone up to date"):
        database.open(url)


def test_opening_an_up_to_date_database_does_not_load_alembic(db, url):
    code = f"import sys; from quire.io import database; database.open({url!r}); print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_sqlite_writes_ahead_so_that_readers_do_not_wait(tmp_path):
    opened = database.open(f"sqlite:///{tmp_path / 'quire.db'}")
    with opened.engine.connect() as connection:
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"


def test_an_unreachable_database_is_named_without_its_password():
    with pytest.raises(ServiceError, match=r"postgresql\+psycopg://ann:\*\*\*@127.0.0.1:1/x did not do") as caught:
        database.open("postgresql://ann:secret@127.0.0.1:1/x", timeout_s=2)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("url", "said"), [("mysql://h/x", "known: sqlite, postgresql"), ("nonsense", "is not one")])
def test_another_kind_of_database_is_refused(url, said):
    with pytest.raises(ServiceError, match=said):
        database.open(url)


def test_a_time_without_a_zone_is_refused(db):
    with pytest.raises(Exception, match="has no time zone"):
        db.insert_predictions([service_row("a", predicted_at=datetime(2026, 1, 1))])


@pytest.mark.parametrize("name", ["probability_at", "probability_", "probability_a b"])
def test_a_key_or_timestamp_called_like_a_probability_is_none(db, name):
    times = pd.to_datetime(["2026-01-01", "2026-01-02"], utc=True)
    keyed = pd.DataFrame({name: ["x", "y"], "prediction": ["b", "b"], "probability_b": [0.75, 0.5]})
    timed = pd.DataFrame({name: times, "prediction": [1.0, 2.0]})
    assert db.save_predictions(keyed, key=[name], **GIVEN) == 2
    assert all(
        shares == {"b": p} for shares, p in zip(db.predictions("demo")["probabilities"], (0.75, 0.5), strict=True)
    )
    assert db.save_predictions(timed, key=[name], timestamp=name, **GIVEN | {"source": "service"}) == 2

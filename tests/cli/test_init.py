import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from quire import config, data
from quire.cli.init import init

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project without params, as the working directory."""
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "workflow.yaml").write_text((ROOT / "params" / "workflow.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUIRE_ROOT", str(tmp_path))
    monkeypatch.delenv("QUIRE_DATA", raising=False)
    return tmp_path


def shop(rows=800):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "order id": [f"A-{number}" for number in range(rows)],
            "at": pd.date_range("2024-01-01", periods=rows, freq="h").strftime("%Y-%m-%d %H:%M"),
            "size: cm": rng.normal(10, 2, rows).round(2),
            "paid": rng.choice(["No", "Yes"], rows),
            "colour": rng.choice(["red", "true", "1", "off, white"], rows),
            "sales": rng.integers(0, 90, rows),
        }
    )


def run(*arguments):
    return CliRunner().invoke(init, list(arguments))


def ingested(name, root):
    settings = config.load(name, root=root)
    return data.ingest(settings, **settings.params["ingest"])


def test_a_csv_file_gives_a_use_case_that_ingests_and_validates(project):
    shop().to_csv(project / "shop.csv", index=False)
    result = run("shop", "--from", "shop.csv")
    assert result.exit_code == 0, result.output
    for told in ("regression", "sales", "at", "order id", "quire run params/shop"):
        assert told in result.output
    settings = config.load("shop", root=project)
    assert settings.config.source.path == "shop.csv"
    assert settings.schema.columns["colour"].labels == ("1", "off, white", "red", "true")
    snapshot = ingested("shop", project)
    assert snapshot.manifest["changes"] == []
    assert data.validate(snapshot.frames, settings.schema, snapshot.manifest).verdict == "pass"


@pytest.mark.parametrize("name", ["shop.parquet", "parts/*.parquet", "parts"])
def test_parquet_is_found_by_its_suffix_in_a_file_a_glob_or_a_folder(project, name):
    (project / "parts").mkdir()
    shop().to_parquet(project / "shop.parquet")
    shop().to_parquet(project / "parts" / "a.parquet")
    assert run("shop", "--from", name).exit_code == 0
    assert config.load("shop", root=project).config.source.kind == "parquet"
    assert len(ingested("shop", project).train) > 0


def test_separator_decimal_mark_and_encoding_are_found(project):
    shop().assign(colour="türkis").to_csv(project / "shop.csv", index=False, sep=";", decimal=",", encoding="latin-1")
    assert run("shop", "--from", "shop.csv").exit_code == 0
    source = config.load("shop", root=project).config.source
    assert (source.separator, source.decimal, source.encoding) == (";", ",", "latin-1")
    assert ingested("shop", project).train["size: cm"].between(0, 20).all()


def test_a_database_is_read_by_a_table_or_a_query_and_its_password_is_not_written(project, monkeypatch):
    import sqlite3

    with sqlite3.connect(project / "shop.db") as connection:
        shop().to_sql("orders", connection, index=False)
    assert run("shop", "--from", "sqlite:///shop.db", "--query", "orders").exit_code == 0
    assert len(ingested("shop", project).train) > 0
    assert "needs --query" in str(run("other", "--from", "sqlite:///shop.db").exception)


def test_an_address_with_a_secret_becomes_a_reference(project, postgresql):
    import sqlalchemy

    url = postgresql.new().replace("postgresql://quire@", "postgresql+psycopg://quire:hunter2@")
    engine = sqlalchemy.create_engine(url)
    shop().to_sql("orders", engine, index=False)
    engine.dispose()
    result = run("my-shop", "--from", url, "--query", "SELECT * FROM orders")
    assert result.exit_code == 0, result.output
    assert "export QUIRE_MY_SHOP_URL" in result.output
    assert not any("hunter2" in path.read_text() for path in (project / "params" / "my-shop").iterdir())
    settings = config.load("my-shop", root=project, environment={"QUIRE_MY_SHOP_URL": url})
    assert settings.config.source.url.get_secret_value() == url


def test_without_a_source_it_is_the_simulator(project):
    assert run("mine").exit_code == 0
    settings = config.load("mine", root=project)
    assert settings.config.source.kind == "demo"
    assert not {"casual", "registered"} & set(settings.schema.features)


def test_target_timestamp_and_task_can_be_said(project):
    shop().to_csv(project / "shop.csv", index=False)
    assert run("shop", "--from", "shop.csv", "--target", "paid", "--task", "binary", "--timestamp", "at").exit_code == 0
    schema = config.load("shop", root=project).schema
    assert (schema.target, schema.positive, schema.timestamp) == ("paid", "Yes", "at")
    assert len(ingested("shop", project).train) > 0


def test_data_below_quire_data_is_referred_to_by_it(project, monkeypatch, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("QUIRE_DATA", str(elsewhere))
    shop().to_csv(elsewhere / "shop.csv", index=False)
    assert run("shop", "--from", str(elsewhere / "shop.csv")).exit_code == 0
    assert "${QUIRE_DATA:-data}/shop.csv" in (project / "params" / "shop" / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["taken", "--from", "shop.csv"], "is there already, and nothing is overwritten"),
        (["no/name", "--from", "shop.csv"], "is no name for a params folder"),
        (["shop", "--from", "nowhere.csv"], "is not there"),
        (["shop", "--from", "shop.csv", "--target", "slaes"], "Did you mean 'sales'"),
        (["shop", "--from", "shop.csv", "--timestamp", "when"], "--timestamp 'when' is no column"),
        (["shop", "--from", "empty.csv"], "has no rows"),
    ],
)
def test_what_cannot_be_done_is_told_and_leaves_nothing_behind(project, arguments, message):
    (project / "params" / "taken").mkdir()
    shop().to_csv(project / "shop.csv", index=False)
    shop(0).to_csv(project / "empty.csv", index=False)
    before = sorted(os.listdir(project / "params"))
    assert message in str(run(*arguments).exception)
    assert sorted(os.listdir(project / "params")) == before


def test_short_data_gets_short_windows(project):
    shop(200).to_csv(project / "shop.csv", index=False)
    assert run("shop", "--from", "shop.csv").exit_code == 0
    section = config.load("shop", root=project).params["ingest"]
    assert section == {"current": "9h", "test": "1d"}

import os
import signal
import sqlite3
import time
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from quire import config, data
from quire.cli.init import _ends_in_good_order, init
from quire.errors import Interrupted

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
    assert (source.separator, source.decimal, source.encoding) == (";", ",", "cp1252")
    assert ingested("shop", project).train["size: cm"].between(0, 20).all()


def test_a_database_is_read_by_a_table_or_a_query_and_its_password_is_not_written(project, monkeypatch):
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
        (["shop", "--from", "shop.csv", "--target", "order id"], "neither numbers nor some classes"),
        (["shop", "--from", "shop.csv", "--timestamp", "colour"], "holds no dates of one form"),
        (["shop", "--from", "words.csv", "--target", "y"], "Nothing is left to learn y from"),
        (["shop", "--from", "book.xlsx"], "is a spreadsheet"),
        (["shop", "--from", "tables.db"], "2 tables; name one by --query: a, b"),
    ],
)
def test_what_cannot_be_done_is_told_and_leaves_nothing_behind(project, arguments, message):
    (project / "params" / "taken").mkdir()
    shop().to_csv(project / "shop.csv", index=False)
    shop(0).to_csv(project / "empty.csv", index=False)
    words = pd.DataFrame({"x": [f"some words {n // 2}" for n in range(100)], "y": ["a", "b"] * 50})
    words.to_csv(project / "words.csv", index=False)
    with zipfile.ZipFile(project / "book.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "")
    with closing(sqlite3.connect(project / "tables.db")) as connection:
        for name in ("a", "b"):
            shop(50).to_sql(name, connection, index=False)
    before = sorted(os.listdir(project / "params"))
    assert message in str(run(*arguments).exception)
    assert sorted(os.listdir(project / "params")) == before


def test_short_data_gets_short_windows(project):
    shop(200).to_csv(project / "shop.csv", index=False)
    assert run("shop", "--from", "shop.csv").exit_code == 0
    section = config.load("shop", root=project).params["ingest"]
    assert section == {"current": "9h", "test": "1d"}


def test_being_ended_leaves_nothing_behind(project):
    def end():
        with _ends_in_good_order():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)

    with pytest.raises(Interrupted, match="nothing was written"):
        end()
    assert sorted(os.listdir(project / "params")) == ["workflow.yaml"]


def kinds(rows=300):
    """Return tables of the kinds that people have, by name, each with how it is written."""
    rng = np.random.default_rng(2)
    x = rng.normal(10, 3, rows).round(2)
    days = pd.Series(pd.date_range("1951-01-01", periods=rows, freq="D"))
    base = pd.DataFrame(
        {"x": x, "kind": rng.choice(["a", "b", "c"], rows), "y": (x * 2 + rng.normal(0, 2, rows)).round(2)}
    )
    plain = {"index": False}
    return {
        "na": (base.assign(region=rng.choice(["NA", "EU", "APAC"], rows)), plain),
        "mostly na": (base.assign(alley=["NA"] * (rows - 25) + ["Grvl", "Pave"] * 12 + ["NA"]), plain),
        "null": (base.assign(flag=rng.choice(["null", "yes", "no"], rows)), plain),
        "question mark": (
            base.assign(stalk=rng.choice(["?", "b", "c"], rows), size=rng.choice(["?", "1", "2.5"], rows)),
            plain,
        ),
        "dollar": (base.assign(band=rng.choice(["${size}", "$0-$50k", "${HOME}", "US$"], rows)), plain),
        "money": (base.assign(price=[f"${n:,.2f}" for n in 1000 + x * 100]), plain),
        "names of ours": (
            base.assign(prediction=x + 1, probability="p", actual=rng.random(rows), window=days.dt.day),
            plain,
        ),
        "old dates": (base.assign(day=days.dt.strftime("%d/%m/%Y")), plain),
        "far dates": (base.assign(day=days.dt.strftime("%Y-%m-%d").mask(days.index % 50 == 0, "9999-12-31")), plain),
        "cp1252": (base.assign(city=rng.choice(["Zürich", "5 €", "Genève"], rows)), {**plain, "encoding": "cp1252"}),
        "utf-16": (base.assign(city=rng.choice(["Zürich", "5 €"], rows)), {**plain, "encoding": "utf-16", "sep": "\t"}),
        "unnamed index": (base, {}),
        "long name": (base.rename(columns={"x": "long " * 60}), plain),
        "odd names": (base.rename(columns={"x": '"q": {a}', "kind": "é\u2028#"}), plain),
        "no labels": (base.assign(y=base["y"].mask(rng.random(rows) < 0.2)), plain),
        "big numbers": (base.assign(big=[str(2**63 + n % 40) for n in range(rows)]), plain),
        "zeros": (base.assign(code=rng.choice(["007", "012", "123"], rows)), plain),
        "wide": (
            pd.concat([base, pd.DataFrame(rng.random((rows, 60)), columns=[f"c{n}" for n in range(60)])], axis=1),
            plain,
        ),
    }


@pytest.mark.parametrize("kind", kinds(30))
def test_what_is_drafted_holds_for_the_rows_it_was_drafted_from(project, kind):
    rows, options = kinds()[kind]
    rows.to_csv(project / "rows.csv", **options)
    done = run("mine", "--from", "rows.csv", "--target", "y")
    assert done.exit_code == 0, done.exception or done.output
    settings = config.load("mine", root=project)
    snapshot = ingested("mine", project)
    quality = data.validate(snapshot.frames, settings.schema, snapshot.manifest)
    assert quality.verdict != "fail"
    assert quality.files()
    kept = sum(len(snapshot.frames[part]) for part in ("train", "test", "current"))
    assert kept >= 0.75 * len(rows)
    assert max(map(len, done.output[done.output.index("Decided") :].splitlines())) <= 80


def test_parquet_of_every_type_is_drafted(project):
    rng, rows = np.random.default_rng(3), 200
    frame = pd.DataFrame({"x": rng.random(rows), "y": rng.random(rows)})
    frame["tags"] = [["a", "b"]] * rows
    frame["raw"] = [b"abc"] * rows
    frame["record"] = [{"a": 1}] * rows
    frame["took"] = pd.to_timedelta(rng.integers(1, 9, rows), unit="s")
    frame["count"] = rng.integers(1, 99, rows).astype("uint64")
    frame["big"] = rng.integers(2**63, 2**64 - 1, rows, dtype="uint64")
    frame["half"] = rng.random(rows).astype("float32")
    frame["sort"] = pd.Categorical(rng.choice(["a", "b"], rows))
    frame["flag"] = pd.array(rng.choice([True, False, None], rows), dtype="boolean")
    frame.to_parquet(project / "rows")
    assert run("mine", "--from", "rows", "--target", "y").exit_code == 0
    columns = config.load("mine", root=project).schema.columns
    ignored = {name: column.why for name, column in columns.items() if column.role == "ignore"}
    assert set(ignored) == {"tags", "raw", "record", "took"}
    assert all(ignored.values())
    assert len(ingested("mine", project).train) > 0


def test_folders_named_as_partitions_are_a_column(project):
    rng = np.random.default_rng(4)
    for year in (2022, 2023, 2024):
        folder = project / "rows" / f"year={year}" / "place=Bern%20West"
        folder.mkdir(parents=True)
        pd.DataFrame({"x": rng.random(80), "y": rng.random(80)}).to_parquet(folder / "part.parquet")
    assert run("mine", "--from", "rows", "--target", "y").exit_code == 0
    train = ingested("mine", project).train
    assert train["year"].value_counts().index.isin(["2022", "2023", "2024"]).all()
    assert config.load("mine", root=project).schema.columns["place"].why == "constant: always 'Bern West'"


@pytest.mark.parametrize("lines", [True, False])
def test_json_is_read_in_the_run_as_it_was_for_the_draft(project, lines):
    shop().to_json(project / "shop.data", orient="records", lines=lines)
    assert run("shop", "--from", "shop.data").exit_code == 0
    assert config.load("shop", root=project).config.source.kind == "json"
    assert len(ingested("shop", project).train) > 0


def test_a_sqlite_file_is_read_by_its_only_table(project):
    with closing(sqlite3.connect(project / "shop.data")) as connection:
        shop().to_sql("all: orders", connection, index=False)
    assert run("shop", "--from", "shop.data").exit_code == 0
    assert len(ingested("shop", project).train) > 0


def test_a_file_whose_name_looks_like_a_reference_is_found(project):
    (project / "${HOME}").mkdir()
    shop().to_csv(project / "${HOME}" / "shop.csv", index=False)
    assert run("shop", "--from", "${HOME}/shop.csv").exit_code == 0
    assert len(ingested("shop", project).train) > 0


def test_a_file_without_names_has_its_target_by_its_first_value(project):
    rng = np.random.default_rng(5)
    pd.DataFrame({"a": rng.random(90), "b": rng.random(90), "c": rng.integers(5, 30, 90)}).assign(
        c=lambda f: f["c"] + 0.5
    ).to_csv(project / "rows.csv", index=False, header=False)
    first = (project / "rows.csv").read_text().splitlines()[0].split(",")[2]
    assert run("mine", "--from", "rows.csv", "--target", first).exit_code == 0
    assert config.load("mine", root=project).schema.target == "column_3"


def test_of_several_columns_that_begin_with_the_targets_first_value_the_last_is_taken_and_said(project):
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"a": rng.random(90), "b": rng.choice([1, 2], 90), "c": rng.choice([1, 2], 90)})
    frame.loc[0, ["b", "c"]] = 1
    frame.to_csv(project / "rows.csv", index=False, header=False)
    result = run("mine", "--from", "rows.csv", "--target", "1")
    assert "--target '1' can be column_2, column_3: column_3 is taken." in result.output
    assert config.load("mine", root=project).schema.target == "column_3"


def test_what_is_unsure_of_several_columns_is_said_once_and_the_target_comes_first(project):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.choice(["NA", "x", "y"], 300) for name in ("a", "b", "c")})
    frame["kind"] = rng.permutation(["p"] * 270 + ["q"] * 20 + ["r"] * 10)
    frame.to_csv(project / "kinds.csv", index=False)
    result = run("kinds", "--from", "kinds.csv", "--target", "kind")
    assert result.exit_code == 0, result.output
    doubts = result.output[result.output.index("Please confirm") :]
    assert "a and 2 more" in doubts
    assert doubts.count("stands for no value") == 1
    assert doubts.index("2 classes have few rows") < doubts.index("a and 2 more")


@pytest.mark.parametrize("name", ["No", "yes", "on", "OFF", "y", "N", "null", "True", "x"])
def test_names_of_columns_are_texts_to_every_reader_of_yaml(project, name):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.random(100), "sales": rng.random(100)})
    frame.to_csv(project / "t.csv", index=False)
    assert run("t", "--from", "t.csv", "--target", "sales").exit_code == 0
    columns = yaml.safe_load((project / "params" / "t" / "schema.yaml").read_text())["columns"]
    assert list(columns) == [name, "sales"]

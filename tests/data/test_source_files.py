"""CSV folders and S3 objects of many rows, taken in chunks: they give what the same rows give in memory."""

import gzip

import numpy as np
import pandas as pd
import pytest

from quire import artifacts, data
from quire.data import large, source_files
from quire.errors import DataError
from quire.io import frames

SCHEMA = """
task: regression
columns:
  at: {type: datetime, role: timestamp}
  shop: {type: category}
  order: {type: integer, role: key}
  price: {type: number, nullable: true}
  open: {type: boolean}
  sold: {type: integer, role: target}
"""


def text_rows():
    rng = np.random.default_rng(3)
    times = pd.date_range("2024-01-01", periods=1200, freq="h")
    frame = pd.concat([pd.DataFrame({"at": times, "shop": shop}) for shop in ("a", "b")], ignore_index=True)
    frame["price"] = [f"{value:.2f}".replace(".", ",") for value in rng.normal(100, 20, len(frame))]
    frame.loc[::97, "price"] = "n/a"
    frame["open"] = np.where(rng.random(len(frame)) < 0.5, "yes", "no")
    frame["note"] = 'said "well;\nwell"'
    frame["order"] = range(len(frame))
    frame["sold"] = rng.integers(0, 50, len(frame))
    return frame


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three CSV files with decimal commas and line breaks within quotes, one of them compressed."""
    monkeypatch.setattr(frames.ParquetFrame.chunks, "__kwdefaults__", {"rows": 300})
    monkeypatch.setattr("quire.data.delimited.CHUNK_ROWS", 300)
    monkeypatch.setattr(large, "BUNDLE_ROWS", 500)
    folder = tmp_path / "rows"
    folder.mkdir()
    frame = text_rows()
    for number, part in enumerate(np.array_split(np.arange(len(frame)), 3)):
        text = frame.iloc[part].to_csv(index=False, sep=";")
        if number == 1:
            (folder / f"{number}.csv.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / f"{number}.csv").write_text(text)
    return folder


def ingested(use_case, place, memory_rows):
    settings = use_case(f"m{memory_rows}", schema=SCHEMA, config=f"source: {place}\nmemory_rows: {memory_rows}\n")
    made = data.ingest(settings, test="10d")
    run = artifacts.open_stage(settings, f"outputs/runs/{settings.name}/artifacts/ingest")
    made.save(run)
    whole = {name: pd.read_parquet(run.folder / f"{name}.parquet") for name in large.FRAMES}
    assert not list((settings.outputs / "scratch").glob(".staged-*"))
    return made.folder is not None, whole, made.manifest


def agree(use_case, place):
    chunked, expected, manifest = ingested(use_case, place, 1_000_000)
    assert not chunked
    chunked, found, other = ingested(use_case, place, 1000)
    assert chunked
    for name, frame in expected.items():
        pd.testing.assert_frame_equal(found[name], frame)
    for key in ("fingerprint", "rows", "read", "missing", "windows", "source"):
        assert other[key] == manifest[key], key


def test_a_folder_of_csv_files_gives_what_it_gives_in_memory(use_case, folder):
    agree(use_case, f"{{kind: csv, path: {folder}, separator: ';', decimal: ','}}")


def test_parquet_objects_of_a_bucket_give_what_they_give_in_memory(use_case, tmp_path, aws, bucket):
    from quire.io import storage

    frame = text_rows().drop(columns="note").assign(price=lambda rows: pd.to_numeric(rows["price"], errors="coerce"))
    for number, part in enumerate(np.array_split(np.arange(len(frame)), 2)):
        frame.iloc[part].to_parquet(tmp_path / "some.parquet", index=False)
        storage.client("s3", aws).upload_file(str(tmp_path / "some.parquet"), "quire-test", f"in/{number}.parquet")
    agree(use_case, f"{{kind: s3, url: 's3://quire-test/in', endpoint_url: {aws}}}")


def test_csv_objects_of_a_bucket_give_what_they_give_in_memory(use_case, folder, monkeypatch, aws, bucket):
    from quire.io import storage

    for path in sorted(folder.iterdir()):
        storage.client("s3", aws).upload_file(str(path), "quire-test", f"in/{path.name}")
    agree(use_case, f"{{kind: s3, url: 's3://quire-test/in', format: csv, separator: ';', endpoint_url: {aws}}}")


def test_messages_name_the_file_that_was_given_not_its_copy(use_case, folder):
    (folder / "2.csv").write_text("at;shop;price;open;order\n")
    place = f"{{kind: csv, path: {folder}, separator: ';', decimal: ','}}"
    with pytest.raises(DataError, match=r"rows/2\.csv lacks 1 of the columns .*'sold' is not there"):
        ingested(use_case, place, 1000)


def test_few_rows_are_left_to_memory(use_case, folder):
    config = f"source: {{kind: csv, path: {folder}, separator: ';'}}\nmemory_rows: 4900\n"
    with source_files.many_rows(use_case("few", schema=SCHEMA, config=config)) as found:
        assert found is None

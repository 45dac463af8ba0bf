"""Batch predictions: the champion on the rows of the current window, in chunks, kept in the database."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from quire.config import Schema, Settings
from quire.data import SchemaAdapter
from quire.errors import DataError, ModelError
from quire.io import frames
from quire.io.row_keys import RowKeys
from quire.model.own_rows import other_question, stored_schema
from quire.model.predictions import predict
from quire.serve.example import check_example

if TYPE_CHECKING:
    from quire.io.artifacts import Run
    from quire.io.tracking import Registry, Version


@dataclass(frozen=True)
class Champion:
    """The promoted version and its fitted pipeline.

    adapter: gives rows the features that it was trained on; None where schema.yaml is as it was then.
    """

    version: "Version"
    pipeline: Any
    adapter: SchemaAdapter | None = None

    def predict(self, rows: pd.DataFrame, schema: Schema) -> pd.DataFrame:
        """Return what `model.predict` gives for rows of ``schema``; raises ModelError if it cannot be fed with them."""
        if self.adapter is None:
            return predict(self.pipeline, rows, schema)
        try:
            own = self.adapter.rows(rows)
        except DataError as error:
            raise _misfit(self.version, str(error)) from error
        return predict(self.pipeline, own, self.adapter.other)


def load_champion(run: "Run", registry: "Registry") -> Champion:
    """Return the champion of the run's alias; where there is none yet, end the notebook with the reason.

    Raises ModelError unless it predicts what schema.yaml asks for, and gives for its own input example what it gave
    when it was logged.
    """
    version = registry.champion()
    if version is None:
        run.stop(
            f"Model {registry.name!r} has no {run.settings.alias} yet, so nothing is predicted: the gate has not let a "
            "candidate through. The evaluate report says why; `quire promote` makes a person's choice the champion."
        )
        raise AssertionError("run.stop ends the notebook")
    pipeline, folder = registry.load(version), registry.folder(version)
    schema = stored_schema(registry.files(version), run.settings.schema)
    problem = other_question(schema, run.settings.schema)
    if problem:
        raise _misfit(version, problem)
    check_example(pipeline, folder, schema, name=f"Version {version.version} of {version.name}")
    same = schema == run.settings.schema
    return Champion(version, pipeline, None if same else SchemaAdapter(run.settings, schema, run.as_of))


def _misfit(version: "Version", problem: str) -> ModelError:
    name = f"Version {version.version} of {version.name}"
    return ModelError(f"{name} does not fit schema.yaml: {problem} Train a model for this schema: `quire run`.")


def predict_batch(
    champion: Champion, rows: "pd.DataFrame | Path", schema: Schema, *, chunk_rows: int = 50_000
) -> pd.DataFrame:
    """Return a prediction for each row, in its order.

    rows: a snapshot frame or the Parquet file of one, which is then read ``chunk_rows`` at a time.
    Columns: those of the key and the timestamp, what `model.predict` gives (prediction, probability), model_version.
    """
    keep = list(dict.fromkeys([*schema.key, *([schema.timestamp] if schema.timestamp else [])]))
    parts = []
    for chunk in _chunks(rows, chunk_rows):
        predicted = champion.predict(chunk, schema)
        parts.append(pd.concat([chunk[keep], predicted], axis=1))
    return pd.concat(parts, ignore_index=True).assign(model_version=champion.version.version)


def save_batch(
    predictions: pd.DataFrame,
    run: "Run",
    champion: Champion,
    *,
    as_of: str | None,
    now: datetime | None = None,
    keys: RowKeys | None = None,
) -> int | None:
    """Keep the predictions in the run's database; return how many were new, or None where the run keeps none: by hand,
    with ``--no-publish`` or ``--try``.

    as_of: what the manifest says; data without a logical time takes the time at which the run started. keys: where the
    predictions are a part of a batch, the same object for all of its parts.
    """
    if not run.publishes:
        return None
    from quire.io import database

    schema = run.settings.schema
    at = datetime.fromisoformat(as_of) if as_of else run_time(run.run_id)
    store = database.open(run.settings.database_url)
    try:
        return store.save_predictions(
            predictions,
            model_name=champion.version.name,
            model_version=champion.version.version,
            as_of=at,
            key=schema.key,
            timestamp=schema.timestamp,
            run_id=run.run_id,
            now=now,
            keys=keys,
        )
    finally:
        store.close()


def predict_run(
    champion: Champion, run: "Run", *, as_of: str | None, chunk_rows: int = 50_000, now: datetime | None = None
) -> tuple[pd.DataFrame, int | None]:
    """Predict the run's current rows, a chunk at a time, into its artifact ``predictions`` and the database.

    Returns the predictions, a sample of them where they are more than ``memory_rows``, and how many were new in the
    database, None where none is kept. as_of: what the manifest says.
    """
    rows, schema, new = run.scan("current"), run.settings.schema, 0
    keys = RowKeys(schema.key, numbered=schema.keeps_repeats)
    with run.writing("predictions.parquet") as path:
        with frames.writer(path) as out:
            for chunk in rows.chunks(rows=chunk_rows) if len(rows) else [rows.read()]:
                predicted = predict_batch(champion, chunk, schema, chunk_rows=chunk_rows)
                out.write(predicted)
                new += save_batch(predicted, run, champion, as_of=as_of, now=now, keys=keys) or 0
        predictions = frames.ParquetFrame(path).sample(run.settings.config.memory_rows, schema.key)
    return predictions, new if run.publishes else None


def read_history(stored: frames.ParquetFrame, settings: Settings) -> pd.DataFrame:
    """Return target and timestamp (if any) of a snapshot's rows, for comparison; the other columns are not read."""
    schema = settings.schema
    columns = [schema.target, *([schema.timestamp] if schema.timestamp else [])]
    return stored.sample(settings.config.memory_rows, schema.key, columns)


def run_time(run_id: str) -> datetime:
    """Return when a run started, which its id begins with, in UTC."""
    digits = "".join(character for character in run_id[:16] if character.isdigit())
    return datetime.strptime(digits[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _chunks(rows: "pd.DataFrame | Path", size: int) -> Iterator[pd.DataFrame]:
    if isinstance(rows, pd.DataFrame):
        for start in range(0, max(len(rows), 1), size):
            yield rows.iloc[start : start + size]
        return
    from pyarrow import Table
    from pyarrow.parquet import ParquetFile

    with ParquetFile(rows) as file:
        if file.metadata.num_rows == 0:
            yield pd.read_parquet(rows)
        for batch in file.iter_batches(batch_size=size):
            yield Table.from_batches([batch]).to_pandas()

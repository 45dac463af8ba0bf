"""``quire feedback``."""

import click


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--params", default="params/demo", show_default=True)
def feedback(file: str, params: str) -> None:
    """Keep what really happened, from a CSV FILE: the target and either prediction_id or the key columns.

    The file's columns are named as in schema.yaml. Feedback goes to the newest prediction of a key.
    """
    import pandas as pd

    from quire import config
    from quire.errors import DataError, near
    from quire.io import database
    from quire.io.row_keys import row_keys

    settings = config.load(params)
    schema = settings.schema
    frame = pd.read_csv(file, dtype={name: "str" for name in schema.key if schema.columns[name].type == "text"})
    by_id = "prediction_id" in frame.columns
    required_columns = [schema.target, *([] if by_id else schema.key)]
    for name in required_columns:
        if name not in frame.columns:
            raise DataError(
                f"{file} lacks the column {name!r}; it has: {', '.join(frame.columns)}.{near(name, frame.columns)}"
            )
    if not by_id and not schema.key:
        raise DataError(f"{file} lacks the column 'prediction_id', and schema.yaml names no key to go by.")
    frame = frame.dropna(subset=required_columns)
    store = database.open(settings.database_url)
    if by_id:
        ids = frame["prediction_id"].astype(str).tolist()
    else:
        for name in schema.key:
            if schema.columns[name].type == "datetime":
                frame[name] = pd.to_datetime(frame[name], utc=True)
        keys = row_keys(frame, schema.key)
        ids_by_key = store.prediction_ids(settings.model_name, keys)
        ids = [ids_by_key.get(key, "") for key in keys]
    is_number = schema.task == "regression"
    actuals = [float(value) if is_number else value for value in frame[schema.target].tolist()]
    rows = [
        {"prediction_id": prediction_id, "actual": actual} for prediction_id, actual in zip(ids, actuals, strict=True)
    ]
    counts = pd.Series(store.save_feedback(rows, source="file"), dtype="str").value_counts()
    click.echo(", ".join(f"{count} {status}" for status, count in counts.items()) or "The file has no rows.")

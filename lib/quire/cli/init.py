"""``quire init``: a params folder for data of one's own, with a schema inferred from it."""

import csv
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from quire.data.guess import Draft

DEMO = {"kind": "demo", "hours": 17_520, "seed": 0}


@click.command()
@click.argument("name")
@click.option(
    "--from",
    "origin",
    default="",
    metavar="SOURCE",
    help="A CSV or Parquet file, folder or glob; http(s)://...; s3://...; or a database's SQLAlchemy URL with --query.",
)
@click.option("--query", default="", help="The SELECT statement, or the table's name, of a database.")
@click.option("--target", default=None, metavar="COLUMN", help="The column to predict.")
@click.option("--timestamp", default=None, metavar="COLUMN", help="The column that orders the rows in time.")
@click.option("--task", type=click.Choice(["regression", "binary", "multiclass"]), default=None, help="What it is.")
def init(name: str, origin: str, query: str, target: str | None, timestamp: str | None, task: str | None) -> None:
    """Make params/NAME: config.yaml, schema.yaml (guessed from the data) and params.yaml, for you to edit.

    Without --from the source is the simulator, to be replaced by your own.
    """
    from quire import config

    root = config.find_root()
    folder = root / "params" / name
    _check_name(name, folder)
    settings = source_settings(origin, query, root, name)
    draft, rows, where = infer(settings, root, origin, target=target, timestamp=timestamp, task=task)
    write(folder, name, settings, draft, rows)
    config.load(name, root=root, environment={**os.environ, **_secrets(settings, origin)})
    _tell(folder, root, draft, rows, where, settings)


def source_settings(origin: str, query: str, root: Path, name: str) -> dict[str, Any]:
    """Return the settings below ``source`` in config.yaml that read ``origin``; secrets become references."""
    from quire.errors import ConfigError

    if not origin:
        return dict(DEMO)
    scheme = origin.partition("://")[0].lower() if "://" in origin else ""
    form = "parquet" if re.search(r"\.(parquet|pq)$", origin.split("?")[0]) else "csv"
    reference = f"${{{_variable(name)}}}"
    if scheme in ("http", "https"):
        is_secret = "@" in origin or "?" in origin
        return {"kind": "http", "url": reference if is_secret else origin, "format": form}
    if scheme == "s3":
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        return {"kind": "s3", "url": origin, "format": form, **({"endpoint_url": endpoint} if endpoint else {})}
    if scheme:
        if not query:
            raise ConfigError("A database needs --query: a SELECT statement, or the name of a table.")
        statement = query if re.search(r"\s", query.strip()) else f"SELECT * FROM {query.strip()}"
        return {"kind": "sql", "url": reference if "@" in origin else origin, "query": statement}
    return _file_settings(origin, root)


def infer(
    settings: dict[str, Any],
    root: Path,
    origin: str,
    *,
    target: str | None,
    timestamp: str | None,
    task: str | None,
) -> "tuple[Draft, int, str]":
    """Return the schema as guessed from the source, its number of rows, and where it is in words."""
    from pydantic import TypeAdapter

    from quire.config import Config
    from quire.config.yaml import expand
    from quire.data.guess import guess_schema
    from quire.data.source import read_place
    from quire.errors import DataError, near

    values = expand(settings, {**os.environ, **_secrets(settings, origin)}, where="--from")
    raw = read_place(TypeAdapter(Config).validate_python({"source": values}), root, None)
    columns = [str(column) for column in raw.frame.columns]
    if raw.frame.empty:
        raise DataError(f"{raw.where} has no rows: there is nothing to guess a schema from.")
    for option, column in (("--target", target), ("--timestamp", timestamp)):
        if column is not None and column not in columns:
            raise DataError(
                f"{option} {column!r} is no column of {raw.where}; it has: {', '.join(columns)}.{near(column, columns)}"
            )
    draft = guess_schema(raw.frame, target=target, timestamp=timestamp, task=task, decimal=raw.decimal)
    return draft, len(raw.frame), raw.where


def write(folder: Path, name: str, settings: dict[str, Any], draft: "Draft", rows: int) -> None:
    """Write the three files; the folder appears whole or not at all."""
    from quire.cli import draft as texts

    beside = folder.parent / f".{folder.name}.{os.getpid()}.partial"
    beside.mkdir(parents=True)
    try:
        for file, text in (
            ("config.yaml", texts.config_text(name, settings)),
            ("schema.yaml", texts.schema_text(draft, rows)),
            ("params.yaml", texts.params_text(draft)),
        ):
            (beside / file).write_text(text, encoding="utf-8")
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _check_name(name: str, folder: Path) -> None:
    from quire.errors import ConfigError

    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise ConfigError(f"{name!r} is no name for a params folder: write letters, digits, - and _, a letter first.")
    if folder.exists():
        raise ConfigError(f"{folder} is there already, and nothing is overwritten. Choose another name, or remove it.")


def _file_settings(origin: str, root: Path) -> dict[str, Any]:
    """Return settings for files: kind by suffix, separator and encoding by their first lines."""
    from quire.config import CsvSource, ParquetSource
    from quire.io.fingerprint import source_files

    path = Path(origin).expanduser()
    absolute = Path(os.path.abspath(path))
    is_parquet = path.suffix in (".parquet", ".pq") or (absolute.is_dir() and any(absolute.rglob("*.parquet")))
    shown = _shown_path(absolute, root)
    if is_parquet:
        source_files(ParquetSource(kind="parquet", path=str(absolute)), root)
        return {"kind": "parquet", "path": shown}
    first = source_files(CsvSource(kind="csv", path=str(absolute)), root)[0]
    return {"kind": "csv", "path": shown, **_dialect(first)}


def _shown_path(path: Path, root: Path) -> str:
    """Return the path as config.yaml holds it: below the project, below QUIRE_DATA, or absolute."""
    if path.is_relative_to(root):
        return str(path.relative_to(root))
    data = os.environ.get("QUIRE_DATA")
    if data and path.is_relative_to(Path(data).resolve()):
        return "${QUIRE_DATA:-data}/" + str(path.relative_to(Path(data).resolve()))
    return str(path)


def _dialect(path: Path) -> dict[str, Any]:
    """Return separator, decimal mark and encoding of a CSV file where they are not the usual ones."""
    import gzip

    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        sample = file.read(200_000)
    try:
        text, encoding = sample[: sample.rfind(b"\n") + 1 or None].decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        text, encoding = sample.decode("latin-1"), "latin-1"
    lines = text.splitlines()
    try:
        separator = csv.Sniffer().sniff("\n".join(lines[:50]), delimiters=",;\t|").delimiter
    except csv.Error:
        separator = ","
    found: dict[str, Any] = {} if separator == "," else {"separator": separator}
    fields = [field.strip() for line in lines[1:500] for field in line.split(separator)]
    commas, points = (
        sum(bool(re.fullmatch(form, field)) for field in fields) for form in (r"-?\d+,\d+", r"-?\d+\.\d+")
    )
    if separator != "," and commas > points:
        found["decimal"] = ","
    return found if encoding == "utf-8" else {**found, "encoding": encoding}


def _variable(name: str) -> str:
    return "QUIRE_" + re.sub(r"[^A-Z0-9]+", "_", name.upper()) + "_URL"


def _secrets(settings: dict[str, Any], origin: str) -> dict[str, str]:
    """Return the variable that holds the URL, where config.yaml refers to one."""
    match = re.fullmatch(r"\$\{(\w+)\}", str(settings.get("url", "")))
    return {match[1]: origin} if match else {}


def _tell(folder: Path, root: Path, draft: "Draft", rows: int, where: str, settings: dict[str, Any]) -> None:
    """Say what was guessed, what to confirm and what to do next."""
    shown = os.path.relpath(folder, Path.cwd())
    click.echo(f"{shown}/ holds config.yaml, schema.yaml and params.yaml, from {rows:,} rows of {where}.")
    click.echo(f"Please confirm in {shown}/schema.yaml:")
    click.echo(
        f"  task       {draft.task}" + (f", positive is {draft.positive!r}" if draft.positive is not None else "")
    )
    for role in ("target", "timestamp", "key"):
        click.echo(f"  {role:10} {draft.column(role) or 'none'}")
    for guess in draft.columns:
        told = guess.settings.get("why") if guess.settings.get("role") == "ignore" else None
        for remark in [f"not used: {told}"] * bool(told) + [text for text in guess.remarks if "LEAK" in text]:
            click.echo(f"  {guess.name}: {remark}")
    for variable in _secrets(settings, ""):
        click.echo(f"The address can hold a secret: export {variable}=... before each run.")
    click.echo(f"Then: quire run params/{folder.name}")

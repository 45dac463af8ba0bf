"""``quire init``: a params folder for data of one's own, with a schema inferred from it."""

import os
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quire.config.yaml import escape

if TYPE_CHECKING:
    from quire.cli.decisions import Drafted

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

    The draft is checked against the rows before the folder appears. Without --from the source is the simulator, to be
    replaced by your own.
    """
    from quire import config
    from quire.cli.decisions import show

    root = config.find_root()
    folder = root / "params" / name
    _check_name(name, folder)
    with _ends_in_good_order():
        settings = source_settings(origin, query, root, name)
        drafted = infer(settings, root, name, origin, target=target, timestamp=timestamp, task=task)
        write(folder, drafted.texts)
    show(drafted, folder, root, _secrets(settings, ""))


def source_settings(origin: str, query: str, root: Path, name: str) -> dict[str, Any]:
    """Return the settings below ``source`` in config.yaml that read ``origin``; secrets become references."""
    from quire.errors import ConfigError

    if not origin:
        return dict(DEMO)
    scheme = origin.partition("://")[0].lower() if "://" in origin else ""
    reference = f"${{{_variable(name)}}}"
    if scheme in ("http", "https"):
        is_secret = "@" in origin or "?" in origin
        return {"kind": "http", "url": reference if is_secret else origin, **_http_format(origin)}
    if scheme == "s3":
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        place = {"kind": "s3", "url": origin, **({"endpoint_url": endpoint} if endpoint else {})}
        return {**place, **_s3_format(place)}
    if scheme:
        if not query:
            raise ConfigError("A database needs --query: a SELECT statement, or the name of a table.")
        statement = query if re.search(r"\s", query.strip()) else f"SELECT * FROM {query.strip()}"
        return {"kind": "sql", "url": reference if "@" in origin else origin, "query": statement}
    return _file_settings(origin, query, root)


def infer(
    place: dict[str, Any],
    root: Path,
    name: str,
    origin: str,
    *,
    target: str | None,
    timestamp: str | None,
    task: str | None,
) -> "Drafted":
    """Return the files as guessed from the source's rows, and checked against them by what a run checks.

    Raises DataError where the rows give nothing to learn, ConfigError for options that do not fit.
    """
    from quire.cli import draft as texts
    from quire.cli.decisions import Drafted
    from quire.config import Config, Search, parse
    from quire.config.yaml import expand
    from quire.data.guess import guess_schema
    from quire.data.source import read_place
    from quire.data.trial import try_draft
    from quire.data.wrangle import without_blank_rows
    from quire.errors import DataError
    from quire.model.train import check_rows

    environment = {**os.environ, **_secrets(place, origin)}
    values = expand(place, environment, where="--from")
    raw = read_place(Config.of({"source": values}), root, None)
    frame, _ = without_blank_rows(raw.frame)
    if frame.empty:
        raise DataError(f"{raw.where} has no rows: there is nothing to guess a schema from. Bring a file with rows.")
    has_header = values.get("header", True)
    target = _column("--target", target, frame, raw.where, has_header=has_header)
    timestamp = _column("--timestamp", timestamp, frame, raw.where, has_header=has_header)
    draft = guess_schema(frame, target=target, timestamp=timestamp, task=task, decimal=raw.decimal)
    files = {
        "config": texts.config_text(name, place),
        "schema": texts.schema_text(draft, len(frame)),
        "params": texts.params_text(draft),
    }
    settings = parse(name, root, files, environment)
    trial = try_draft(raw, settings)
    check_rows(trial.train, settings.schema, Search.of(settings.params.get("train", {}).get("search", {})))
    return Drafted(draft, files, len(frame), raw.where, trial.warnings)


def _column(option: str, name: str | None, frame: Any, where: str, *, has_header: bool) -> str | None:
    """Return the column that a person means: by its name, or without a line of names by its first value."""
    from quire.errors import DataError, near

    columns = [str(column) for column in frame.columns]
    if name is None or name in columns:
        return name
    matches = [column for column in columns if column.strip() == name.strip()]
    if not has_header:
        matches += [column for column in columns if str(frame[column].iloc[0]).strip() == name.strip()]
    if matches:
        # Where columns have no names, what is predicted comes last by convention.
        column = matches[-1] if option == "--target" else matches[0]
        if len(matches) > 1:
            click.echo(f"{option} {name!r} can be {', '.join(matches)}: {column} is taken.", err=True)
        return column
    listing = ", ".join(column if len(column) <= 40 else f"{column[:39]}…" for column in columns[:40])
    more = f" and {len(columns) - 40} more" if len(columns) > 40 else ""
    hint = "" if has_header else " The file has no line of names; its columns are called by their number."
    raise DataError(
        f"{option} {name!r} is no column of {where}. Name one that it has: {listing}{more}.{near(name, columns)}{hint}"
    )


def write(folder: Path, texts: Mapping[str, str]) -> None:
    """Write the files; the folder appears whole or not at all."""
    temp_folder = folder.parent / f".{folder.name}.{os.getpid()}.partial"
    temp_folder.mkdir(parents=True)
    try:
        for file, text in texts.items():
            (temp_folder / f"{file}.yaml").write_text(text, encoding="utf-8")
        temp_folder.rename(folder)
    finally:
        shutil.rmtree(temp_folder, ignore_errors=True)


@contextmanager
def _ends_in_good_order() -> Iterator[None]:
    """Turn SIGTERM into an exception within the block, so that what it began is cleared away."""
    from quire.errors import Interrupted

    def end(number: int, frame: object) -> None:
        raise Interrupted("quire init was ended; nothing was written.")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _check_name(name: str, folder: Path) -> None:
    from quire.errors import ConfigError

    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise ConfigError(f"{name!r} is no name for a params folder: write letters, digits, - and _, a letter first.")
    if folder.exists():
        raise ConfigError(f"{folder} is there already, and nothing is overwritten. Choose another name, or remove it.")


def _file_settings(origin: str, query: str, root: Path) -> dict[str, Any]:
    """Return settings for files: what they are, and how they are laid out, by their content."""
    from quire.data import formats

    absolute = Path(os.path.abspath(Path(origin).expanduser()))
    first = _first_file(absolute)
    path = _shown_path(absolute, root)
    kind = formats.detect(first)
    if kind == "sqlite":
        return {"kind": "sql", "url": f"sqlite:///{path}", "query": _statement(first, query)}
    return {"kind": kind, "path": path, **(_layout(first) if kind == "csv" else {})}


def _first_file(path: Path) -> Path:
    """Return the file, or the first of a folder or a glob: of the kind that most of its files are named like."""
    from quire.config import CsvSource, JsonSource, ParquetSource
    from quire.errors import DataError
    from quire.io.fingerprint import source_files

    if path.is_file():
        return path
    files: list[Path] = []
    for place in (
        ParquetSource(kind="parquet", path=str(path)),
        CsvSource(kind="csv", path=str(path)),
        JsonSource(kind="json", path=str(path)),
    ):
        try:
            matches = source_files(place, Path("/"))
        except DataError:
            if place.kind == "json" and not files:
                raise
            continue
        files = matches if len(matches) > len(files) else files
    return files[0]


def _statement(database: Path, query: str) -> str:
    """Return the SELECT statement for a SQLite file: of its only table where none is named."""
    from quire.errors import ConfigError
    from quire.io.query import tables

    if not query:
        names = tables(f"sqlite:///{database}")
        if len(names) != 1:
            raise ConfigError(
                f"{database} is a SQLite database with {len(names)} tables; name one by --query: {', '.join(names)}."
            )
        query = '"' + names[0].replace('"', '""').replace(":", "\\:") + '"'
    return query if re.match(r"(?i)\s*(select|with)\s", query) else f"SELECT * FROM {query.strip()}"


def _layout(path: Path) -> dict[str, Any]:
    """Return how a text file holds its table, where that is not the usual way."""
    from quire.data.delimited import detect_layout

    return detect_layout(path).model_dump(exclude_defaults=True)


def _http_format(url: str) -> dict[str, Any]:
    from quire.io import download

    with download.fetched(url) as path:
        return _remote_format(path, download.shown(url))


def _s3_format(place: dict[str, Any]) -> dict[str, Any]:
    """Return format and layout of the first object."""
    from quire.config import S3Source
    from quire.errors import DataError
    from quire.io import objects

    for form in ("parquet", "csv", "json"):
        source = S3Source.of({**place, "format": form})
        try:
            first = objects.listed(source)[0]
        except DataError:
            if form == "json":
                raise
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = objects.fetch(source, first, Path(folder))
            return _remote_format(path, f"s3://{first.path}")
    raise AssertionError("the last format raises")


def _remote_format(path: Path, where: str) -> dict[str, Any]:
    from quire.data import formats
    from quire.errors import DataError

    try:
        kind = formats.detect(path)
    except DataError as error:
        raise DataError(str(error).replace(str(path), where)) from None
    if kind == "sqlite":
        raise DataError(f"{where} is a SQLite database: download it, and give the file.")
    return {"format": kind, **(_layout(path) if kind == "csv" else {})}


def _shown_path(path: Path, root: Path) -> str:
    """Return the path as config.yaml holds it: below the project, below QUIRE_DATA, or absolute."""
    if path.is_relative_to(root):
        return escape(str(path.relative_to(root)))
    data = os.environ.get("QUIRE_DATA")
    if data and path.is_relative_to(Path(data).resolve()):
        return "${QUIRE_DATA:-data}/" + escape(str(path.relative_to(Path(data).resolve())))
    return escape(str(path))


def _variable(name: str) -> str:
    return "QUIRE_" + re.sub(r"[^A-Z0-9]+", "_", name.upper()) + "_URL"


def _secrets(settings: dict[str, Any], origin: str) -> dict[str, str]:
    """Return the variable that holds the URL, where config.yaml refers to one."""
    match = re.fullmatch(r"\$\{(\w+)\}", str(settings.get("url", "")))
    return {match[1]: origin} if match else {}

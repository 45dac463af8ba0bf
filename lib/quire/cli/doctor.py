"""``quire doctor``: is all there that a run needs, does it answer, and is it in step?"""

import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from quire import config
from quire.errors import QuireError
from quire.flow import terminal

if TYPE_CHECKING:
    from quire.config import Settings

MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "bad": ("✕", "red")}
ENOUGH_BYTES = 2 * 1024**3
MOST_STRANGERS = 10


@dataclass(frozen=True)
class Diagnosis:
    """One line of the doctor's report: ok, warn or bad, what was found, and what to do about it."""

    what: str
    status: str
    text: str
    todo: str = ""


@click.command()
@click.argument("params", required=False)
def doctor(params: str | None) -> None:
    """Check versions, folders, sources, tracking, database, archive, and that the champion fits the schema.

    Of all use cases, or of PARAMS. Ends with code 1 if something is bad; warnings do not count.
    """
    root = config.find_root()
    names = [Path(params).name] if params else []
    columns = terminal.width()
    findings = list(examine(root, names or config.use_cases(root), asked=names))
    for finding in findings:
        mark, colour = MARKS[finding.status]
        text = terminal.wrapped(f"{mark} {finding.what:<22} {finding.text}", columns, indent=" " * 25)
        click.echo(text.replace(mark, click.style(mark, fg=colour), 1))
        if finding.todo and finding.status != "ok":
            click.echo(terminal.wrapped(f"  {'':<22} → {finding.todo}", columns, indent=" " * 27))
    bad = sum(finding.status == "bad" for finding in findings)
    warn = sum(finding.status == "warn" for finding in findings)
    click.echo(f"\n{len(findings)} checks: {bad} bad, {warn} to look at.")
    sys.exit(1 if bad else 0)


def examine(root: Path, names: list[str], *, asked: Sequence[str] = ()) -> Iterator[Diagnosis]:
    """Yield what was found of this machine, and then of each use case.

    The shipped use cases have no data in a fresh clone, which is nothing bad: only of those that have run or are
    ``asked`` for by name a source must be there.
    """
    yield _python()
    yield _lock(root)
    outputs = config.outputs_folder(root)
    yield _folders(root, outputs)
    yield _outputs(outputs)
    yield from _strangers(outputs)
    yield _owed(outputs)
    for name in names:
        try:
            settings = config.load(name, root=root)
        except QuireError as error:
            yield Diagnosis(name, "bad", str(error).splitlines()[0], "Mend the file that is named.")
            continue
        yield Diagnosis(name, "ok", f"params/{name}: {len(settings.schema.columns)} columns, {settings.schema.task}")
        for check_name, check in CHECKS.items():
            finding = _guarded(f"{name}: {check_name}", check, settings)
            if check_name == "source" and finding.status == "bad" and name not in asked and _is_optional(settings):
                finding = replace(finding, status="warn")
            yield finding


def _is_optional(settings: "Settings") -> bool:
    """Whether nothing is amiss if the source is not there: it was never used, or stands where a variable says."""
    variables = re.findall(r"\$\{(\w+)", str(settings.raw["config"].get("source", {}).get("path", "")))
    return not _has_run(settings) or any(name not in os.environ for name in variables)


def _has_run(settings: "Settings") -> bool:
    from quire.io import runs

    return next(runs.ended(settings.outputs, settings.name), None) is not None


def _guarded(what: str, check: Callable[["Settings"], tuple[str, ...]], settings: "Settings") -> Diagnosis:
    """Return what a check found; an error that Quire knows is a finding too."""
    try:
        return Diagnosis(what, *check(settings))
    except QuireError as error:
        return Diagnosis(what, "bad", " ".join(str(error).split()))


def _python() -> Diagnosis:
    version = f"Python {sys.version.split()[0]}"
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return Diagnosis("python", "ok", version)
    return Diagnosis("python", "bad", version, "Python 3.11 or 3.12 is needed; `make setup` looks for one.")


def _lock(root: Path) -> Diagnosis:
    """Compare what is installed with requirements.lock."""
    lock = root / "requirements.lock"
    if not lock.is_file():
        return Diagnosis("libraries", "warn", f"{lock} is not there, so versions cannot be compared.")
    pins = dict(
        re.findall(r"^([A-Za-z0-9_.\-]+)(?:\[[^]]*\])?==([^\s;\\]+)(?![^\n]*;)", lock.read_text("utf-8"), re.MULTILINE)
    )
    absent = [name for name in pins if _installed(name) is None]
    other = [
        f"{name} {_installed(name)}, not {version}"
        for name, version in pins.items()
        if _installed(name) not in (None, version)
    ]
    if absent:
        return Diagnosis(
            "libraries", "bad", f"{len(absent)} of {len(pins)} are not installed: {_few(absent)}", "`make setup`"
        )
    if other:
        return Diagnosis(
            "libraries", "warn", f"{len(other)} of {len(pins)} differ from the lock: {_few(other)}", "`make setup`"
        )
    return Diagnosis("libraries", "ok", f"all {len(pins)} as in requirements.lock")


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _few(items: Sequence[str]) -> str:
    return ", ".join(items[:3]) + (f" and {len(items) - 3} more" if len(items) > 3 else "")


def _outputs(folder: Path) -> Diagnosis:
    existing_folder = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing_folder, os.W_OK):
        return Diagnosis("outputs", "bad", f"{folder} cannot be written to", "Change its owner, or set QUIRE_OUTPUTS.")
    free = shutil.disk_usage(existing_folder).free
    text = f"{folder}, {free / 1024**3:.0f} GiB free"
    if free < ENOUGH_BYTES:
        return Diagnosis("outputs", "warn", text, "`quire clean --keep 10` removes old runs.")
    return Diagnosis("outputs", "ok", text)


def _folders(root: Path, outputs: Path) -> Diagnosis:
    problem = config.folder_problem(root, outputs)
    if problem:
        return Diagnosis("folders", "bad", problem)
    return Diagnosis("folders", "ok", f"the names of {root} and {outputs} suit every tool")


def _strangers(outputs: Path) -> Iterator[Diagnosis]:
    """Yield what lies among the runs and cannot be read as one; all commands pass it over."""
    from quire.io import run_folder

    strangers = list(run_folder.strangers(outputs))
    for stranger in strangers[:MOST_STRANGERS]:
        yield Diagnosis("runs", "warn", stranger.reason, f"Move it elsewhere, or remove it: {stranger.path}")
    if len(strangers) > MOST_STRANGERS:
        yield Diagnosis("runs", "warn", f"{len(strangers) - MOST_STRANGERS} more in {outputs / 'runs'} are no runs.")


def _owed(outputs: Path) -> Diagnosis:
    """Say which ended runs are not published yet, and how many alerts a channel has yet to take."""
    from quire.flow import delivery

    runs, alerts = delivery.left(outputs)
    if not (runs or alerts):
        return Diagnosis("owed", "ok", "all runs are published, and all alerts sent")
    texts = [f"runs that are not published: {_few(runs)}"] if runs else []
    texts += [f"alerts that have not reached every channel: {len(alerts)}"] if alerts else []
    return Diagnosis(
        "owed", "warn", "; ".join(texts),
        f"`quire publish` delivers it, as the next run does; to give one up, remove its file in {outputs / '.owed'}",
    )  # fmt: skip


def _source(settings: "Settings") -> tuple[str, ...]:
    from quire.io import fingerprint

    kind = settings.config.source.kind
    if kind in ("sql", "http", "s3"):
        return ("ok", f"{kind}; it is asked when a run starts")
    fingerprint.source(settings)
    return ("ok", kind if kind == "demo" else f"{kind}: {getattr(settings.config.source, 'path', '')}")


def _tracking(settings: "Settings") -> tuple[str, ...]:
    from quire.io import tracking
    from quire.io.tracking_store import hide_password

    registry, address = tracking.open(settings), hide_password(settings.tracking_uri)
    if registry.is_empty:
        return ("warn", f"{address} is not there yet", f"`quire run params/{settings.name}` makes it.")
    champion = registry.champion()
    if champion is None:
        return ("warn", f"{address} answers; no champion yet", f"`quire run params/{settings.name}` trains one.")
    return ("ok", f"{address} answers; champion: version {champion.version} of {champion.created_at:%Y-%m-%d}")


def _model(settings: "Settings") -> tuple[str, ...]:
    """Load the champion, and compare what it was trained on with the schema of today."""
    from quire.config import Schema
    from quire.io import tracking
    from quire.io.model_files import read_signature
    from quire.model.features import input_names

    registry = tracking.open(settings)
    champion = registry.champion()
    if champion is None:
        return ("ok", "none to check")
    retrain = f"`quire run params/{settings.name}` trains one that fits."
    registry.load(champion)
    takes = {column["name"] for column in read_signature(registry.folder(champion))}
    gives = {name for names in input_names(settings.schema) for name in names}
    if takes != gives:
        lacks, more = sorted(takes - gives), sorted(gives - takes)
        needs = [f"it needs {_few(lacks)}"] if lacks else []
        mismatch = "; ".join([*needs, f"it does not know {_few(more)}"] if more else needs)
        return ("bad", f"version {champion.version} does not fit schema.yaml: {mismatch}", retrain)
    schema_file = registry.files(champion) / "schema.json"
    if (
        schema_file.is_file()
        and Schema.model_validate_json(schema_file.read_text("utf-8")).target != settings.schema.target
    ):
        return ("bad", f"version {champion.version} predicts another column than {settings.schema.target}", retrain)
    if not registry.sha256(champion):
        return (
            "warn",
            f"version {champion.version} fits, and was registered before hashes were kept: a change of its file would "
            "not be noticed",
            f"`quire run params/{settings.name} --fresh` trains one whose hash is kept.",
        )
    return ("ok", f"version {champion.version} loads, and takes the {len(takes)} columns that schema.yaml gives")


def _predictions(settings: "Settings") -> tuple[str, ...]:
    """Compare the version that the last run predicted with to the champion of today."""
    from quire.io import artifacts, runs, tracking

    score = f"`quire run params/{settings.name} --workflow score`"
    if not _has_run(settings):
        return ("warn", "no run yet", f"`quire run params/{settings.name}`")
    succeeded_runs = [artifacts.open_ended(settings, run) for run in runs.succeeded(settings.outputs, settings.name)]
    run = next((run for run in succeeded_runs if run.has("predictions")), succeeded_runs[0])
    champion = tracking.open(settings).champion()
    if not run.has("predictions") or champion is None:
        return ("warn", f"run {run.run_id} made none", score)
    versions = sorted(map(str, run.load("predictions")["model_version"].unique()))
    if versions != [champion.version]:
        return (
            "warn",
            f"run {run.run_id} predicted with version {', '.join(versions)}; champion is {champion.version}",
            score,
        )
    return ("ok", f"run {run.run_id} predicted with the champion, version {champion.version}")


def _database(settings: "Settings") -> tuple[str, ...]:
    from quire.io import outside_state
    from quire.io.tracking_store import hide_password, store_path

    address, path = hide_password(settings.database_url), store_path(settings.database_url)
    if path is not None and not path.exists():
        return ("warn", f"{address} is not there yet", "The first prediction makes it.")
    if outside_state.state(settings, "predictions") == "none":
        return ("warn", f"{address} answers; it holds no table yet", "The first prediction makes them.")
    return ("ok", f"{address} answers")


def _archive(settings: "Settings") -> tuple[str, ...]:
    archive = settings.config.archive
    if not archive.url:
        return ("ok", "none is configured; runs stay on this machine")
    from quire.io import run_folder, storage

    store = storage.open(archive.url, archive.endpoint_url)
    archived_runs = {name.rstrip("/").rpartition("/")[2] for name in store.folders("runs/")}
    local_runs = [folder.name for folder, _ in run_folder.records(settings.outputs)]
    absent = sorted(name for name in local_runs if name not in archived_runs)
    if absent:
        return (
            "warn",
            f"{archive.url} answers; {len(absent)} of {len(local_runs)} runs here are not in it: {_few(absent[::-1])}",
        )
    return ("ok", f"{archive.url} answers; it holds {len(archived_runs)} runs")


def _alerts(settings: "Settings") -> tuple[str, ...]:
    alerts = settings.config.alerts
    absent = [
        channel
        for channel, value in (("sns", alerts.sns_topic), ("webhook", alerts.webhook.get_secret_value()))
        if channel in alerts.channels and not value
    ]
    if absent:
        return ("bad", f"channel {_few(absent)} has no address", "config.yaml: alerts.sns_topic, alerts.webhook")
    return ("ok", f"go to: {', '.join(alerts.channels) or 'nowhere'}")


CHECKS: dict[str, Callable[["Settings"], tuple[str, ...]]] = {
    "source": _source,
    "tracking": _tracking,
    "champion": _model,
    "predictions": _predictions,
    "database": _database,
    "archive": _archive,
    "alerts": _alerts,
}

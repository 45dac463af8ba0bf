"""``quire champion``, ``quire promote`` and ``quire rollback``: which model version is used, and since when."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quire import config
from quire.errors import ModelError

if TYPE_CHECKING:
    from quire.config import Settings
    from quire.io.artifacts import Run
    from quire.io.tracking import Event, Registry, Version

SHOWN = 8

use_case = click.argument("params", default="params/demo")
alias_option = click.option("--alias", default="", help="Alias in the registry; default: champion.")


@click.command()
@use_case
@alias_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def champion(params: str, alias: str, as_json: bool) -> None:
    """Show the champion of PARAMS, what it scored, and what was champion before it."""
    from quire.io import tracking

    settings = config.load(params)
    registry = tracking.open(settings)
    current, history = registry.champion(alias or None), registry.history(alias or None)
    if as_json:
        click.echo(json.dumps(_record(settings, current, history), indent=2))
    elif current is None:
        absent = f"Model {settings.model_name} has no {alias or settings.alias} yet."
        click.echo(f"{absent} `quire run params/{settings.name}` makes one.")
    else:
        _print_champion(settings, current, history)
        _print_versions(registry, current)


@click.command()
@use_case
@click.option("--version", "number", default="", metavar="N", help="This version, instead of the waiting candidate.")
@click.option(
    "--run",
    "run_id",
    default="",
    metavar="RUN",
    help="The candidate of this run, also of an experiment (--try); the id may be shortened. Default: the latest run.",
)
@click.option("--reason", default="", help="Kept in the registry's history.")
@click.option("--force", is_flag=True, help="Also a candidate that the gate refused.")
@alias_option
def promote(params: str, number: str, run_id: str, reason: str, force: bool, alias: str) -> None:
    """Make a model the champion of PARAMS: the candidate that waits for approval, or the version given."""
    from quire.io import tracking

    settings = config.load(params)
    registry = tracking.open(settings)
    before = registry.champion(alias or None)
    if number:
        after = registry.promote(
            registry.version(number), reason=reason or "chosen by a person", alias=alias or None,
            by=settings.user, command=_command("promote", settings, version=number, alias=alias),
        )  # fmt: skip
    else:
        run = _run(settings, run_id)
        command = _command("promote", settings, run=run.run_id, alias=alias) + (" --force" if force else "")
        after = _approve(registry, run, reason=reason, force=force, alias=alias or None, command=command)
    _print_move(settings, before, after)


@click.command()
@use_case
@click.option("--reason", default="", help="Kept in the registry's history.")
@alias_option
def rollback(params: str, reason: str, alias: str) -> None:
    """Go back to the champion of PARAMS before this one."""
    from quire.io import tracking

    settings = config.load(params)
    registry = tracking.open(settings)
    before = registry.champion(alias or None)
    command = _command("rollback", settings, alias=alias)
    _print_move(settings, before, registry.rollback(alias or None, reason=reason, by=settings.user, command=command))


def _command(name: str, settings: "Settings", **options: str) -> str:
    """Return the command as the history keeps it, without options that were not given."""
    arguments = [f"--{option} {value}" for option, value in options.items() if value]
    return " ".join(["quire", name, f"params/{settings.name}", *arguments])


def _run(settings: "Settings", run_id: str) -> "Run":
    """Return the run whose candidate is meant, to be read only."""
    from quire.io import artifacts, runs

    folder = runs.find(settings.outputs, run_id, params=settings.name) if run_id else _latest_with_candidate(settings)
    if folder is None:
        raise ModelError(
            f"No run of {settings.name} with a candidate in {settings.outputs / 'runs'}. "
            f"`quire runs` lists them; `quire run params/{settings.name}` makes one."
        )
    if not _holds_candidate(folder):
        record = runs.read(folder)
        raise ModelError(
            f"Run {folder.name} (workflow {record.get('workflow', 'unknown')}, {record.get('status', 'unknown')}) "
            f"holds no candidate that was judged. `quire runs params/{settings.name}` lists others."
        )
    return artifacts.open_ended(settings, folder)


def _latest_with_candidate(settings: "Settings") -> Path | None:
    """Return the newest run with a candidate that is no experiment; those are promoted by their names."""
    from quire.io import runs

    return next((folder for folder in runs.ended(settings.outputs, settings.name) if _holds_candidate(folder)), None)


def _holds_candidate(folder: Path) -> bool:
    return any((folder / "artifacts").glob("*/verdict.json"))


def _approve(
    registry: "Registry", run: "Run", *, reason: str, force: bool, alias: str | None, command: str
) -> "Version":
    verdict, evaluation = run.load("verdict"), run.load("evaluation")
    _refuse_registered(registry, run, verdict, force=force)
    if not (verdict.get("passed") or verdict.get("same")) and not force:
        reasons = "\n".join(f"  - {entry['text']}" for entry in verdict["reasons"] if not entry["holds"])
        raise ModelError(
            f"The gate refused the candidate of run {run.run_id}:\n{reasons}\n--force promotes it all the same."
        )
    metrics = {name: entry["value"] for name, entry in evaluation["candidate"]["test"].items()}
    return registry.promote(
        run.load("candidate"),
        reason=reason or ("approved by a person" if verdict.get("passed") else "forced by a person"),
        run=run,
        alias=alias,
        metrics=metrics,
        files={"evaluation.json": run.path("evaluation")},
        by=registry.settings.user,
        command=command,
    )


def _refuse_registered(registry: "Registry", run: "Run", verdict: Mapping[str, Any], *, force: bool) -> None:
    """Raise ModelError if the registry, not the verdict, holds the candidate already, or knows nothing of it.

    A run that was copied from elsewhere says that it was promoted, or that it is the champion, of another registry.
    """
    name, version = registry.settings.name, registry.registered(run)
    if version is not None:
        if "champion" in version.aliases or registry.settings.alias in version.aliases:
            raise ModelError(
                f"The candidate of run {run.run_id} is the champion already, as version {version.version}."
            )
        raise ModelError(
            f"The candidate of run {run.run_id} is version {version.version} already. "
            f"To make it champion: `quire promote params/{name} --version {version.version}`."
        )
    if not (verdict.get("promoted") or verdict.get("same")):
        return
    damaged = _damaged(run)
    problem = (
        f"The verdict of run {run.run_id} says that its candidate "
        + (f"was promoted, as version {verdict.get('version')}" if verdict.get("promoted") else "is the champion")
        + ", but this registry has no version of it: the run was made with another one."
    )
    if damaged:
        raise ModelError(
            f"{problem} Its files are not as they were when the run ended ({', '.join(damaged)}), so that it cannot "
            f"be registered here. Copy the run again, or make one: `quire run params/{name}`."
        )
    if not force:
        raise ModelError(
            f"{problem} Its model files are whole: `quire promote params/{name} --run {run.run_id} --force` "
            "registers it here and makes it champion, though the gate did not compare it with this registry's champion."
        )


def _damaged(run: "Run") -> list[str]:
    """Return the artifacts that a promotion takes and that are not there, or not as run.json says."""
    from quire.flow.files import hash_item
    from quire.io import runs

    file_names = {"model": "model", "candidate": "candidate.json", "evaluation": "evaluation.json"}
    missing = [name for name in file_names if not run.has(name)]
    hashes = {
        (stage, artifact["name"]): artifact["sha256"]
        for stage, values in runs.read(run.reads or Path()).get("stages", {}).items()
        for artifact in values.get("artifacts", [])
        if artifact["name"] in file_names.values()
    }
    paths = {place: (run.reads or Path()) / "artifacts" / place[0] / place[1] for place in hashes}
    return missing + [
        f"{stage}/{name}"
        for (stage, name), path in paths.items()
        if path.exists() and hash_item(path) != hashes[stage, name]
    ]


def _print_move(settings: "Settings", before: "Version | None", after: "Version") -> None:
    if before is not None and before.version == after.version:
        click.echo(f"Version {after.version} of {settings.model_name} was champion already; nothing changed.")
        return
    replaced = f"; before it: version {before.version}" if before else ""
    click.secho(f"Version {after.version} of {settings.model_name} is champion now{replaced}.", fg="green")
    click.echo(f"Predictions follow with the next `quire run params/{settings.name} --workflow score`.")


def _print_champion(settings: "Settings", current: "Version", history: list["Event"]) -> None:
    since = next((event for event in reversed(history) if event.version == current.version), None)
    click.secho(f"{settings.model_name} version {current.version}", bold=True)
    _line("made", _time(current.created_at))
    if since:
        _line("champion since", f"{_time(since.at)}{f': {since.reason}' if since.reason else ''}")
        _line("made champion by", _who(since))
    _print_metrics(current.metrics)
    _line("run", current.tags.get("quire.run_id", "") or current.run_id)
    _line("model", current.uri)
    if len(history) > 1:
        click.echo("\nBefore it:")
        for event in list(reversed(history))[1:SHOWN]:
            click.echo(f"  {_time(event.at)}  version {event.version:<4} {event.kind:<9} {event.reason}")
            click.echo(f"  {'':20}  {_who(event)}")


def _who(event: "Event") -> str:
    """Return who moved the alias, by which command, and in which run; events of older versions do not say all of it."""
    in_run = f" in run {event.run_id}" if event.run_id and not event.command.startswith("quire promote") else ""
    return f"{event.by or 'not recorded'}{in_run}{f' (`{event.command}`)' if event.command else ''}"


def _print_metrics(metrics: Mapping[str, float]) -> None:
    """Print a line per metric: what the gate judged, and what cross-validation had said before."""
    columns = {"test window": "test_{}", "folds, mean": "{}", "folds, ±": "{}_std"}
    _line("", "".join(f"{title:>13}" for title in columns))
    for name in sorted(name for name in metrics if not name.startswith("test_") and not name.endswith("_std")):
        cells = [metrics.get(key.format(name)) for key in columns.values()]
        _line(name, "".join(f"{'' if cell is None else format(cell, '.4g'):>13}" for cell in cells).rstrip())


def _print_versions(registry: "Registry", current: "Version") -> None:
    others = [version for version in registry.versions() if version.version != current.version]
    if others:
        names = ", ".join(version.version for version in others[:SHOWN])
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        click.echo(
            f"\nOther versions: {names}{more}. `quire promote params/{registry.settings.name} --version N` takes one."
        )


def _record(settings: "Settings", current: "Version | None", history: list["Event"]) -> dict[str, Any]:
    champion = None
    if current is not None:
        champion = {**vars(current), "created_at": current.created_at.isoformat(), "aliases": list(current.aliases)}
    events = [{**vars(event), "at": event.at.isoformat()} for event in history]
    return {"model": settings.model_name, "champion": champion, "history": events}


def _line(label: str, text: str) -> None:
    click.echo(f"  {label:<22} {text}")


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"

"""``quire runs``, ``show``, ``diff`` and ``why``: what happened."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import click

from quire import config
from quire.flow import terminal

_COLOURS = {"succeeded": "green", "reused": "cyan", "skipped": "yellow", "failed": "red", "interrupted": "yellow"}
_WAS = {"succeeded": "ran", "reused": "was reused", "skipped": "was skipped", "interrupted": "was interrupted"}


def _outputs() -> Path:
    return config.outputs_folder(config.find_root())


def _table(rows: list[list[str]]) -> None:
    click.echo(terminal.as_table(rows, terminal.width(), _COLOURS))


@click.command()
@click.argument("params", default="")
@click.option("--count", "-n", default=20, show_default=True, help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
def runs(params: str, count: int, as_json: bool) -> None:
    """List the runs, newest first; only those of PARAMS if given."""
    from quire.io import run_folder

    records = list(islice(run_folder.records(_outputs(), params=Path(params).name if params else ""), count))
    if as_json:
        click.echo(json.dumps([record for _, record in records], indent=2))
        return
    if not records:
        click.echo("There is no run yet. Make one: quire run params/demo")
        return
    rows = [["run", "params", "workflow", "as of", "status", "seconds", "ran", "reused"]]
    for folder, record in records:
        statuses = [stage["status"] for stage in record["stages"].values()]
        rows.append(
            [
                record["run_id"], record["params"], record["workflow"], _date(run_folder.data_as_of(folder, record)),
                record["status"], _seconds(record.get("seconds")), str(statuses.count("succeeded")),
                str(statuses.count("reused")),
            ]
        )  # fmt: skip
    if any(record.get("try") for _, record in records):
        rows = [
            [*row, note]
            for row, note in zip(rows, ["tries", *(record.get("try") or "" for _, record in records)], strict=True)
        ]
    _table(rows)


@click.command()
@click.argument("run_id", default="latest")
@click.option("--json", "as_json", is_flag=True, help="Print run.json.")
def show(run_id: str, as_json: bool) -> None:
    """Show one run: stages, times, why each ran, where things are. RUN_ID may be shortened; default: the latest."""
    from quire.flow import failure, history
    from quire.io import run_folder
    from quire.io.run_folder import read_record

    folder = history.find(_outputs(), run_id)
    record = read_record(folder)
    if as_json:
        click.echo(json.dumps(record, indent=2))
        return
    as_of = _date(run_folder.data_as_of(folder, record))
    date_prefix = f"as of {as_of}, " if as_of else ""
    columns = terminal.width()
    head = f"{record['run_id']}  params/{record['params']}  workflow {record['workflow']}  {record['status']}"
    click.echo(terminal.wrapped(head, columns))
    click.echo(terminal.wrapped(f"{date_prefix}commit {record['commit'][:12] or 'unknown'}\n", columns))
    if record.get("try"):
        click.echo(terminal.wrapped(f"Experiment: {record['try']}\n", columns))
    rows = [["stage", "status", "seconds", "artifacts", "why"]]
    for name, stage in record["stages"].items():
        artifacts = [artifact["name"] for artifact in stage.get("artifacts", []) if artifact["name"][0] != "_"]
        reason = stage.get("stopped") or stage.get("why", "")
        rows.append([name, stage["status"], _seconds(stage.get("seconds")), ", ".join(artifacts), reason])
    _table(rows)
    for name, stage in record["stages"].items():
        if stage["status"] == "failed":
            text = failure.explain(name, stage, params=record["params"], workflow=record["workflow"], folder=folder)
            click.secho(f"\n{terminal.wrapped(text, columns)}", fg="red")
    click.echo(f"\n{folder / 'index.html'}")


@click.command()
@click.argument("old")
@click.argument("new", default="latest")
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
def diff(old: str, new: str, as_json: bool) -> None:
    """Compare two runs: parameters, metrics, times, artifacts. Their ids may be shortened."""
    from quire.flow import history

    outputs = _outputs()
    changes = history.compare(history.find(outputs, old), history.find(outputs, new))
    if as_json:
        click.echo(json.dumps(changes, indent=2))
        return
    for section, rows in changes.items():
        click.secho(f"{section}: {'no difference' if not rows else ''}".strip(), bold=True)
        if rows:
            _table([[f"  {name}", _text(before), "->", _text(after)] for name, (before, after) in rows.items()])


@click.command()
@click.argument("stage")
@click.argument("params", default="params/demo")
@click.option("--workflow", "-w", default="train", show_default=True, help="Which workflow of workflow.yaml.")
@click.option("--all", "-a", "everything", is_flag=True, help="List all that was looked at, by name.")
@click.option("--json", "as_json", is_flag=True, help="Print what changed and what was looked at as JSON.")
def why(stage: str, params: str, workflow: str, everything: bool, as_json: bool) -> None:
    """Say why STAGE ran or was reused last time, what changed since then, and what was looked at."""
    from quire.errors import ConfigError, near
    from quire.flow import history
    from quire.flow.context import Request
    from quire.flow.dry_run import stage_forecasts
    from quire.flow.stage import FIRST_TIME

    settings = config.load(params)
    last = next(history.runs(settings.outputs, params=settings.name), None)
    plan = stage_forecasts(Request(params=params, workflow=workflow))
    if stage not in plan:
        raise ConfigError(f"There is no stage {stage!r}; it has: {', '.join(plan)}.{near(stage, plan)}")
    outlook = plan[stage]
    if as_json:
        click.echo(json.dumps({"now": outlook.reason, "cold": outlook.cold, "looked_at": outlook.looked_at}, indent=2))
        return
    if last and stage in last["stages"]:
        stage_record = last["stages"][stage]
        reason = stage_record.get("why") or stage_record.get("stopped") or ""
        verb = _WAS.get(stage_record["status"], stage_record["status"])
        click.echo(f"In run {last['run_id']} {stage} {verb}" + (f" ({reason})." if reason else "."))
    click.echo(f"Now: {outlook.reason}")
    if outlook.cold:
        click.echo(f"Its kernel {outlook.cold}.")
    if everything or (outlook.looked_at and outlook.reason != FIRST_TIME):
        click.echo("Looked at:")
        for kind, names in outlook.looked_at.items():
            click.echo(f"  {kind:<16}  {_names(names, everything)}")
        if not everything:
            click.echo("All of it by name: add --all. What cannot be seen in code: reads and files in workflow.yaml.")


_FEW = 5


def _names(names: list[str], everything: bool) -> str:
    """Return names as a text; of many only the first, with how many more there are."""
    if everything or len(names) <= _FEW:
        return ", ".join(names)
    return f"{', '.join(names[: _FEW - 1])} and {len(names) - _FEW + 1} more"


def _date(text: str) -> str:
    """Return an ISO 8601 time to the minute, at midnight as its date."""
    return text[:16].replace("T", " ").removesuffix(" 00:00")


def _seconds(value: Any) -> str:
    return "" if value is None else f"{value:.1f}"


def _text(value: Any) -> str:
    return "-" if value is None else (f"{value:.6g}" if isinstance(value, float) else str(value))

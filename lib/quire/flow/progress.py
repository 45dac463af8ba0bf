"""What a person, or a machine, sees of a run while it goes on."""

import json
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quire.flow import terminal
from quire.io.run_folder import read_answers

if TYPE_CHECKING:
    from rich.table import Table

Listen = Callable[[dict[str, Any]], None]

WORDS = {"succeeded": "ran", "reused": "reused", "skipped": "skipped", "failed": "FAILED", "interrupted": "interrupted"}
_printing = threading.Lock()

COLOURS = {"succeeded": "green", "reused": "cyan", "skipped": "yellow", "failed": "bold red", "interrupted": "yellow"}


@contextmanager
def listener(*, quiet: bool = False, as_json: bool = False) -> Iterator[Listen]:
    """Yield what takes the events of a run and shows them: a live view, plain lines off a terminal, JSON or nothing."""
    if as_json:
        yield print_json
    elif quiet:
        yield lambda event: None
    elif sys.stderr.isatty():
        with _live() as listen:
            yield listen
    else:
        yield _print_line


def print_json(event: Mapping[str, Any]) -> None:
    """Print an event as a line of JSON, whole also where several threads print."""
    with _printing:
        print(json.dumps(event), flush=True)


def _print_line(event: dict[str, Any]) -> None:
    line = as_line(event)
    if line:
        with _printing:
            print(line, file=sys.stderr, flush=True)


def as_line(event: Mapping[str, Any]) -> str:
    """Return the line for an event, or an empty text if it has none."""
    kind = event["event"]
    if kind == "run_started":
        return f"run {event['run_id']}: {', '.join(event['stages'])}"
    if kind == "stage_started":
        return f"{event['stage']:<12} starts       ({textwrap.shorten(event['why'], 100, placeholder=' ...')})"
    if kind == "stage_retried":
        return f"{event['stage']:<12} attempt {event['attempt']} failed, tries again: {event['message']}"
    if kind == "stage_ended":
        reason = event.get("stopped") or (event.get("why", "") if event["status"] in ("reused", "skipped") else "")
        return f"{event['stage']:<12} {WORDS[event['status']]:<11} {event['seconds']:6.1f} s" + (
            f"  {reason}" if reason else ""
        )
    if kind == "signal":
        action = f"runs the workflow {event['workflow']}"
        action = f"already answered by run {event['last']}" if event["last"] else action
        return f"signal {event['name']} ({event['reason']}): {action}"
    if kind == "job":
        return f"{event['as_of'][:10]:<10} {event['worker']}: {event['line']}".strip()
    if kind == "note":
        return str(event["message"])
    if kind == "warning":
        return f"warning: {event['message']}"
    if kind == "run_ended":
        return f"{event['status']} in {event['seconds']:.1f} s"
    return ""


MARKS = {"good": ("✓", "green"), "warn": ("!", "yellow"), "bad": ("✕", "red"), "neutral": ("·", "blue")}
"""The statuses of a stage's answer."""


def print_findings(folder: Path, record: Mapping[str, Any]) -> None:
    """Print what each stage of a run found, and where to read on."""
    answers, columns = read_answers(folder), terminal.width(sys.stderr)
    for name in record["stages"]:
        if name in answers:
            answer = answers[name]
            mark, colour = MARKS.get(answer["status"], MARKS["neutral"])
            line = terminal.wrapped(f"{mark} {name:<10} {answer['headline']}", columns, indent=" " * 13)
            click.echo(line.replace(mark, click.style(mark, colour), 1), err=True)
    index = folder / "index.html"
    if index.is_file():
        path = index.relative_to(Path.cwd()) if index.is_relative_to(Path.cwd()) else index
        click.echo(f"\n  report     {path}", err=True)
    if record["status"] == "succeeded":
        click.echo(f"  model      quire champion params/{record['params']}, or make mlflow", err=True)
        click.echo(f"  dashboard  quire dashboard params/{record['params']}", err=True)


class View:
    """What is known of the stages, as a table with the time that each has taken and is expected to take."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: seconds that only grow."""
        self._clock = clock
        self.stages: dict[str, dict[str, Any]] = {}
        self.expected: Mapping[str, float] = {}

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take in an event."""
        kind, stage = event["event"], event.get("stage", "")
        if kind == "run_started":
            self.stages = {name: {"status": "waiting"} for name in event["stages"]}
            self.expected = event["expected_s"]
        elif kind == "stage_started":
            self.stages[stage] |= {"status": "running", "since": self._clock(), "why": event["why"]}
        elif kind == "cell":
            self.stages[stage]["cell"] = f"cell {event['cell']} of {event['of']}"
        elif kind == "stage_ended":
            self.stages[stage] |= dict(event)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return stage, status, time and remark of every stage."""
        return [
            (name, stage["status"], self._time(name, stage), self._remark(stage)) for name, stage in self.stages.items()
        ]

    def _time(self, name: str, stage: Mapping[str, Any]) -> str:
        expected = f" of about {self.expected[name]:.0f} s" if name in self.expected else " s"
        if stage["status"] == "running":
            return f"{self._clock() - stage['since']:.0f}{expected}"
        if stage["status"] == "waiting":
            return expected.removeprefix(" of ") if name in self.expected else ""
        return f"{stage['seconds']:.1f} s"

    def _remark(self, stage: Mapping[str, Any]) -> str:
        if stage["status"] == "running":
            return str(stage.get("cell") or stage["why"])
        return str(stage.get("stopped") or stage.get("why") or "")


@contextmanager
def _live() -> Iterator[Listen]:
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    view = View(time.monotonic)
    with Live(console=console, refresh_per_second=4, get_renderable=lambda: _table(view)) as live:

        def listen(event: dict[str, Any]) -> None:
            view.hear(event)
            if event["event"] in ("run_ended", "note", "warning", "signal", "stage_retried", "job"):
                live.console.print(as_line(event), highlight=False, markup=False)

        yield listen


def _table(view: View) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, status, seconds, remark in view.rows():
        table.add_row(
            name, Text(WORDS.get(status, status), style=COLOURS.get(status, "dim")), seconds, Text(remark, "dim")
        )
    return table

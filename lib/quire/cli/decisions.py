"""What `quire init` decided, and what it is unsure of, as a short table."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from quire.data.draft import Draft

WIDTH = 80
_FIGURE = re.compile(r"\d[\d.,%]*")
MOST_LINES = 12


@dataclass(frozen=True)
class Drafted:
    """What is about to be written: the draft, the texts of the files by name, and the rows they were drafted from.

    warnings: what a run would warn of.
    """

    draft: "Draft"
    texts: Mapping[str, str]
    rows: int
    where: str
    warnings: tuple[str, ...] = ()


def show(drafted: Drafted, folder: Path, root: Path, secrets: Mapping[str, str]) -> None:
    """Print where the files are, what was decided and why, what to confirm, and what to do next."""
    from rich.console import Console

    path, draft = os.path.relpath(folder, Path.cwd()), drafted.draft
    click.echo(
        f"{path}/ holds config.yaml, schema.yaml and params.yaml, from {drafted.rows:,} rows of {drafted.where}."
    )
    console = Console(width=WIDTH, highlight=False, markup=False)
    console.print(_table("Decided", ("What", "Value", "Why"), _decisions(draft)))
    doubts = [*_doubts(draft), *(_warning(text) for text in drafted.warnings)]
    if doubts:
        console.print(_table(f"Please confirm in {path}/schema.yaml", ("Column", "Doubt"), _cut(doubts)))
    for variable in secrets:
        click.echo(f"The address can hold a secret: export {variable}=... before each run.")
    click.echo(f"Then: quire run params/{folder.name}")


def _table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(*head, title=title, title_justify="left", box=box.SIMPLE_HEAD, width=WIDTH, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _decisions(draft: "Draft") -> list[tuple[str, ...]]:
    rows = [("task", draft.task, _task_reason(draft)), ("target", str(draft.column("target")), "")]
    stamp = draft.column("timestamp")
    order = "rows are split by time" if stamp else "no column of dates: rows are split at random"
    rows.append(("timestamp", stamp or "none", order))
    rows.append(("key", ", ".join(draft.key) or stamp or "none", _key_reason(draft, stamp)))
    if stamp:
        rows.append(("windows", f"current {draft.current}, test {draft.test}", "what comes before is train"))
    features = [guess.name for guess in draft.columns if guess.role == "feature" or guess.settings.get("calendar")]
    rows.append(("features", f"{len(features):,}", ", ".join(features[:6]) + (", ..." if len(features) > 6 else "")))
    exclusions = [(guess.name, str(guess.settings["why"])) for guess in draft.columns if guess.role == "ignore"]
    rows += [("not used", name, reason) for name, reason in exclusions[:MOST_LINES]]
    if len(exclusions) > MOST_LINES:
        rows.append(("not used", f"{len(exclusions) - MOST_LINES} more", "see schema.yaml"))
    return [tuple(_short(cell) for cell in row) for row in rows]


def _task_reason(draft: "Draft") -> str:
    if draft.positive is not None:
        return f"two values; {draft.positive!r} is predicted"
    return "numbers" if draft.task == "regression" else "several classes"


def _key_reason(draft: "Draft", stamp: str | None) -> str:
    if draft.on_duplicate == "keep":
        return "nothing tells rows of the same time apart: all are kept"
    if not draft.key:
        return "one row for each time" if stamp else "no column tells the rows apart"
    parts = [guess.name for guess in draft.columns if guess.settings.get("key") and guess.role == "feature"]
    if parts:
        return f"together different in each row; {', '.join(parts)} stay features"
    return "different in each row; no model is given it"


def _doubts(draft: "Draft") -> Iterator[tuple[str, str]]:
    """Yield what is unsure, the target first; columns in which only the figures differ are named together."""
    yield from (("", text) for text in draft.doubts)
    groups: dict[str, list[tuple[str, str]]] = {}
    for guess in sorted(draft.columns, key=lambda guess: guess.role != "target"):
        for text in guess.doubts:
            groups.setdefault(_FIGURE.sub("", text), []).append((guess.name, text))
    for (name, text), *others in groups.values():
        yield f"{name} and {len(others)} more" if others else name, text


def _warning(sentence: str) -> tuple[str, str]:
    column, _, rest = sentence.partition(": ")
    return column, f"a run will warn: {rest}"


def _cut(rows: list[tuple[str, str]]) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = [tuple(_short(cell, 120) for cell in row) for row in rows[:MOST_LINES]]
    more = len(rows) - len(lines)
    return lines + ([("", f"and {more} more: see the remarks in schema.yaml")] if more > 0 else [])


def _short(text: str, most: int = 90) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"

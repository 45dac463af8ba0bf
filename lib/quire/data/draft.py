"""A schema as `quire init` drafts it: the settings of each column, with remarks, and what a person must confirm."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from quire.config import Column
from quire.data import typed


@dataclass(frozen=True)
class ColumnGuess:
    """One column: its settings for schema.yaml in order, remarks for the person who edits it, and doubts to settle."""

    name: str
    settings: Mapping[str, Any]
    remarks: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """The column's type."""
        return str(self.settings["type"])

    @property
    def role(self) -> str:
        """The column's role."""
        return str(self.settings.get("role", "feature"))

    @property
    def source(self) -> str:
        """The column's name in the source."""
        return str(self.settings.get("source", self.name))

    def having(self, remark: str = "", *, doubt: str = "", **settings: Any) -> "ColumnGuess":
        """Return the guess with more settings, and one more remark or doubt; a setting of None is taken away."""
        merged = {name: value for name, value in {**self.settings, **settings}.items() if value is not None}
        return replace(
            self,
            settings=merged,
            remarks=(*self.remarks, remark) if remark else self.remarks,
            doubts=(*self.doubts, doubt) if doubt else self.doubts,
        )

    def left_out(self, why: str) -> "ColumnGuess":
        """Return the column as one that no model is given, with the reason."""
        return ColumnGuess(self.name, {"type": self.type, "role": "ignore", "why": why}, (), self.doubts)

    def column(self) -> Column:
        """Return the column of schema.yaml that the settings make."""
        return Column.of(self.settings)

    def read(self, frame: pd.DataFrame, decimal: str = ".") -> pd.Series:
        """Return the column of the raw ``frame`` typed, by the reader that a run uses."""
        return typed.read(frame[self.source], self.column(), decimal=decimal).values


@dataclass(frozen=True)
class Draft:
    """A schema as guessed, and the windows of params.yaml: lengths such as 7d, empty without a timestamp."""

    task: str
    columns: tuple[ColumnGuess, ...]
    positive: Any = None
    frequency: str | None = None
    on_duplicate: str | None = None
    current: str = ""
    test: str = ""
    doubts: tuple[str, ...] = field(default=())

    def column(self, role: str) -> str | None:
        """Return the first column of a role, or None."""
        return next((guess.name for guess in self.columns if guess.settings.get("role") == role), None)

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row."""
        return tuple(guess.name for guess in self.columns if guess.role == "key" or guess.settings.get("key"))

"""schema.yaml: what the data is."""

from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from quire.config.expectations import expectation_arguments, expectation_types
from quire.config.units import Duration
from quire.config.yaml import Entity, MisplacedError
from quire.errors import near

Value = str | int | float | bool

TAKEN = {
    "prediction": "what the model predicts",
    "probability": "the probability that the model gives the positive class",
    "actual": "what really happened, as monitoring joins it",
    "window": "the part of the snapshot a row is in, as monitoring joins it",
    "model_version": "the version of the model that predicted a row",
}
"""Names of columns that Quire puts beside those of the source, and what they hold."""

ELAPSED = ("elapsed_days",)
"""The calendar parts of a datetime feature that names none."""


class Expectation(Entity):
    """One Great Expectations expectation: its type in snake case, its arguments, and what failing means.

    on: the rows it is about: ``history`` (train and test), ``current``, or both. Without, an expectation on each row's
    values is about both, and one on the whole column or table (a mean, a count) about history.
    """

    type: str
    kwargs: dict[str, Any] = {}
    mostly: float | None = Field(default=None, gt=0, le=1)
    severity: Literal["warn", "fail"] = "fail"
    on: Literal["history", "current", "both"] | None = None
    why: str = ""

    @field_validator("type")
    @classmethod
    def _is_known(cls, name: str) -> str:
        types = expectation_types()
        if types and name not in types:
            raise ValueError(f"Great Expectations has no expectation of this type.{near(name, types)}")
        return name

    @model_validator(mode="after")
    def _takes_its_arguments(self) -> Self:
        arguments = expectation_arguments(self.type)
        for name in self.kwargs:
            if arguments and name not in arguments:
                raise ValueError(
                    f"{self.type} takes no argument {name!r}; it takes: {', '.join(arguments)}.{near(name, arguments)}"
                )
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the arguments name."""
        names = [self.kwargs.get(key) for key in ("column", "column_A", "column_B")]
        several = [name for key in ("column_list", "column_set") for name in self.kwargs.get(key) or ()]
        return tuple(str(name) for name in (*names, *several) if name is not None)


class Column(Entity):
    """One column: its type, its role, what is allowed, and what happens to what is not.

    key: the column is part of what identifies a row, beside its role as a feature or as the timestamp. severity: what
    breaking a rule of the column means; ``warn`` is how `quire init` marks rules that it guessed.
    missing: values that stand for no value here, beside the usual ones. thousands: the mark between groups of digits.
    affixes: texts before or after a number and what each multiplies it with, such as ``{"$": 1, k: 1000}``.
    """

    type: Literal["number", "integer", "category", "boolean", "datetime", "text"]
    role: Literal["feature", "target", "key", "timestamp", "ignore"] = "feature"
    key: bool = False
    severity: Literal["warn", "fail"] = "fail"
    why: str = ""
    source: str | None = None
    unit: str = ""
    description: str = ""
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[Value, ...] = ()
    missing: tuple[Value, ...] = ()
    thousands: Literal["", ",", ".", " ", "'", "_"] = ""
    affixes: dict[str, float] = {}
    format: str | None = None
    add_hours: str | None = None
    calendar: tuple[
        Literal["hour", "weekday", "month", "day_of_year", "is_weekend", "hour_of_week", "elapsed_days"], ...
    ] = ()
    on_unparsable: Literal["missing", "drop", "fail"] = "missing"
    on_missing: Literal["keep", "fill", "drop"] = "keep"
    fill: Value | None = None
    on_out_of_range: Literal["keep", "clip", "missing", "drop"] = "keep"
    on_unknown: Literal["keep", "missing", "drop"] = "keep"
    expectations: tuple[Expectation, ...] = ()

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        numeric = self.type in ("number", "integer")
        if not numeric and (self.minimum is not None or self.maximum is not None):
            raise ValueError(f"minimum and maximum are for numbers, not for type {self.type!r}.")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"an impossible range: minimum {self.minimum:g} is above maximum {self.maximum:g}.")
        if self.categories and self.type not in ("category", "boolean"):
            raise ValueError(f"categories are for type 'category' or 'boolean', not {self.type!r}.")
        if self.type == "boolean" and self.categories and len(self.categories) != 2:
            raise ValueError("a boolean column takes two categories: the value for false, then the value for true.")
        if not numeric and (self.thousands or self.affixes):
            raise ValueError(f"thousands and affixes are for numbers, not for type {self.type!r}.")
        if self.role == "timestamp" and self.type != "datetime":
            raise ValueError(f"the timestamp must be of type 'datetime', not {self.type!r}.")
        if (self.format or self.add_hours or self.calendar) and self.type != "datetime":
            raise ValueError(f"format, add_hours and calendar are for type 'datetime', not {self.type!r}.")
        if (self.on_missing == "fill") != (self.fill is not None):
            raise ValueError("on_missing: fill and fill: VALUE go together.")
        if self.key and self.role in ("target", "ignore"):
            raise ValueError(
                f"key: true is for a feature or the timestamp that is part of a row's key, not for role {self.role!r}."
            )
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """The categories as the snapshot holds them: text."""
        return tuple(label(value) for value in self.categories)


def label(value: Value) -> str:
    """Return a category as the snapshot holds it: ``1``, ``1.0`` and ``"1"`` are one; true, false in lower case."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


class Schema(Entity):
    """What the data is: the task, the columns, and what must hold."""

    task: Literal["regression", "binary", "multiclass"]
    columns: dict[str, Column] = Field(min_length=1)
    positive: Value | None = None
    timezone: str = "UTC"
    frequency: Duration | None = None
    on_duplicate: Literal["last", "first", "keep", "fail"] = "last"
    label_delay: Duration = "0d"
    segments: tuple[str, ...] = ()
    expectations: tuple[Expectation, ...] = ()

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for role in ("target", "timestamp"):
            names = self._named(role)
            if len(names) > 1:
                raise ValueError(f"one column may have the role {role!r}, but {', '.join(names)} have.")
        if not self._named("target"):
            raise ValueError("no column has the role 'target'.")
        if not self.features:
            raise ValueError("no column has the role 'feature'.")
        target = self.columns[self.target]
        if self.task == "regression" and target.type not in ("number", "integer"):
            raise ValueError(f"a regression needs a numeric target; {self.target} is of type {target.type!r}.")
        if self.task == "binary" and target.type not in ("boolean", "category"):
            raise ValueError(f"a binary target is of type 'boolean' or 'category'; {self.target} is {target.type!r}.")
        if self.task == "multiclass" and target.type != "category":
            raise ValueError(f"a multiclass target is of type 'category'; {self.target} is {target.type!r}.")
        if self.task == "binary" and self.positive is None:
            raise ValueError("a binary task needs positive: the value of the target that is predicted, such as 'Yes'.")
        if self.positive is not None and target.labels and label(self.positive) not in target.labels:
            raise ValueError(
                f"positive is {self.positive!r}, which {self.target} cannot be; it has: {', '.join(target.labels)}."
                + near(label(self.positive), target.labels)
            )
        for name, expectation in self._expectations():
            for field in expectation.columns:
                if field not in self.columns:
                    raise ValueError(
                        f"{name}: {expectation.type} names {field!r}, which is no column.{near(field, self.columns)}"
                    )
        for name in self.segments:
            if name not in self.columns:
                raise ValueError(f"segments names {name!r}, which is no column.{near(name, self.columns)}")
        uses = self.taken_names()
        for name, column in self.columns.items():
            if name in uses and (column.role != "ignore" or name in self.segments):
                raise MisplacedError(
                    f"Quire gives this name to {uses[name]}, so no column can have it. Read the column under another "
                    f"name: `source_{name}: {{source: {name}, ...}}`.",
                    "columns",
                    name,
                )
        return self

    def taken_names(self) -> dict[str, str]:
        """Return the names that Quire gives to columns it makes for this schema, and what each of them holds."""
        uses = dict(TAKEN)
        if self.task == "multiclass":
            uses |= {f"probability_{name}": f"the probability of {name!r}" for name in self.columns[self.target].labels}
        for name in self.features:
            column = self.columns[name]
            if column.type == "datetime":
                uses |= {f"{name}_{part}": f"the part {part} of {name}" for part in column.calendar or ELAPSED}
        return uses

    def is_predicted(self, name: str) -> bool:
        """Return whether a column beside those of the source is one that a model gives: prediction, probability, ..."""
        own = self.columns.get(name)  # an ignored column is not in the snapshot, so its name is free
        is_free = own is None or (own.role == "ignore" and name not in self.segments)
        return is_free and (name == "prediction" or name.startswith("probability"))

    def _expectations(self) -> list[tuple[str, Expectation]]:
        pairs = [("expectations", expectation) for expectation in self.expectations]
        return pairs + [
            (f"columns.{name}.expectations", expectation)
            for name, column in self.columns.items()
            for expectation in column.expectations
        ]

    def _named(self, role: str) -> tuple[str, ...]:
        return tuple(name for name, column in self.columns.items() if column.role == role)

    @cached_property
    def target(self) -> str:
        """The column that is predicted."""
        return self._named("target")[0]

    @cached_property
    def timestamp(self) -> str | None:
        """The column that orders the rows in time, or None."""
        return next(iter(self._named("timestamp")), None)

    @cached_property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row: those of role ``key`` or with ``key: true``, else the timestamp, else none.

        A feature with ``key: true`` stays a feature. The timestamp is one of several where it says ``key: true``, as in
        one row per shop and hour.
        """
        keys = tuple(
            name
            for name, column in self.columns.items()
            if column.role == "key" or (column.key and column.role != "timestamp")
        )
        if self.timestamp and (not keys or self.columns[self.timestamp].key):
            return (*keys, self.timestamp)
        return keys

    @cached_property
    def keeps_repeats(self) -> bool:
        """Whether several rows may have one key and time, and are told apart by their order."""
        return self.on_duplicate == "keep" and self.timestamp in self.key

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The columns that a model is given, in the order of the file; a timestamp with ``calendar`` is one of them."""
        return tuple(
            name
            for name, column in self.columns.items()
            if column.role == "feature" or (column.role == "timestamp" and column.calendar)
        )

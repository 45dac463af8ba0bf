"""What a request may hold, made from schema.yaml: parsing, and a refusal that names each field.

A row inside the service is a tuple of its features in the schema's order: a float, a label as text, or an aware
datetime; None where missing. It is what the model is given, what the cache is keyed by, and what is logged.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NotRequired
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.types import StringConstraints
from typing_extensions import TypedDict

from quire.config import Column, Schema, label
from quire.errors import QuireError, near

Row = tuple[Any, ...]

MOST_PROBLEMS = 50
"""More than this many problems of a request are counted, not listed."""

MOST_TEXT = 10_000
YEARS = (1700, 2200)
"""Times outside are refused: pandas holds nanoseconds since 1970 in 64 bits."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a request: in which row (0 is the first), which field, what was sent, what is allowed."""

    row: int | None
    field: str
    sent: Any
    allowed: str


class Rejected(QuireError):
    """A request that is not as the schema says; nothing was predicted."""

    def __init__(self, problems: list[Problem], total: int | None = None) -> None:
        self.problems = problems
        self.total = total or len(problems)
        first = problems[0]
        where = "" if first.row is None else f"Row {first.row}: "
        super().__init__(f"{where}{first.field}: sent {first.sent!r}; allowed: {first.allowed}")


@dataclass(frozen=True)
class Given:
    """A row of a request: its features, the text of its key ("" where it has none), and its timestamp."""

    row: Row
    key: str
    at: datetime | None


class Contract:
    """The rows that a model of this schema takes."""

    def __init__(self, schema: Schema, *, max_rows: int = 1_000) -> None:
        self.schema = schema
        self.max_rows = max_rows
        extra = [*schema.key, *([schema.timestamp] if schema.timestamp else [])]
        self.extra = tuple(name for name in dict.fromkeys(extra) if name not in schema.features)
        self.columns = {name: schema.columns[name] for name in (*schema.features, *self.extra)}
        zone = ZoneInfo(schema.timezone)
        self._convert = [_converter(schema.columns[name], zone) for name in schema.features]
        self._convert_extra = {name: _converter(schema.columns[name], zone) for name in self.extra}
        self._features = schema.features
        # A number that is never filled in is a float already.
        self._to_convert = [
            (place, convert)
            for place, (name, convert) in enumerate(zip(schema.features, self._convert, strict=True))
            if schema.columns[name].type not in ("number", "integer") or schema.columns[name].on_missing == "fill"
        ]
        order = list(self.columns)
        self._key_places = [order.index(name) for name in schema.key]
        self._time_place = order.index(schema.timestamp) if schema.timestamp else None
        row: Any = _row_type("Row", {name: self._type(name) for name in self.columns})
        rows = _row_type("Rows", {"rows": Annotated[list[row], Field(min_length=1, max_length=max_rows)]})
        self._one, self._many = TypeAdapter(row), TypeAdapter(rows)

    def parse(self, body: bytes) -> tuple[list[Given], bool]:
        """Return the rows of a body and whether it held a list of them; raises Rejected naming every problem."""
        many = b'"rows"' in body and "rows" not in self.columns
        try:
            if many:
                return [self._given(sent) for sent in self._many.validate_json(body, strict=True)["rows"]], True
            return [self._given(self._one.validate_json(body, strict=True))], False
        except ValidationError as error:
            raise self._rejected(error, many) from None

    def read(self, values: Mapping[str, Any]) -> Given:
        """Return one row of values as JSON has them, such as those of a form or an example; raises Rejected."""
        try:
            return self._given(self._one.validate_json(json.dumps(values), strict=True))
        except ValidationError as error:
            raise self._rejected(error, many=False) from None

    def row_of(self, values: Mapping[str, Any]) -> Row:
        """Return a row of values that need no check, as the model's reference holds them: times are ISO 8601 text."""
        schema = self.schema
        pairs = zip(schema.features, self._convert, strict=True)
        return tuple(convert(_from_text(values.get(name), schema.columns[name])) for name, convert in pairs)

    def named(self, row: Row) -> dict[str, Any]:
        """Return a row's features by name, as JSON has them."""
        pairs = zip(self.schema.features, row, strict=True)
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in pairs}

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON schema of one row."""
        return self._one.json_schema(ref_template="#/components/schemas/{model}")

    def allowed(self, name: str) -> str:
        """Return in words what a field may hold."""
        column = self.columns.get(name)
        if column is None:
            return f"no such field; there are: {', '.join(self.columns)}.{near(name, self.columns)}"
        return _allowed(column) + (" or null" if self.may_lack(name) else "")

    def may_lack(self, name: str) -> bool:
        """Whether a field may be null or left out."""
        column = self.columns[name]
        return name in self.extra or column.nullable or column.on_missing == "fill"

    def _given(self, sent: Mapping[str, Any]) -> Given:
        values = [sent.get(name) for name in self._features]
        for place, convert in self._to_convert:
            values[place] = convert(values[place])
        for name, convert in self._convert_extra.items():
            values.append(convert(sent.get(name)))
        parts = [values[place] for place in self._key_places]
        key = "|".join(map(_key_text, parts)) if parts and None not in parts else ""
        at = None if self._time_place is None else values[self._time_place]
        return Given(tuple(values[: len(self._features)]), key, at)

    def _type(self, name: str) -> Any:
        kind = _kind(self.columns[name])
        return NotRequired[kind | None] if self.may_lack(name) else kind

    def _rejected(self, error: ValidationError, many: bool) -> Rejected:
        problems: dict[tuple[int | None, str], Problem] = {}
        for one in error.errors(include_url=False, include_context=False):
            place = list(one["loc"])
            if many and place[:1] == ["rows"]:
                place = place[1:]
            row = int(place.pop(0)) if place and isinstance(place[0], int) else (None if many else 0)
            field = str(place[0]) if place else ("rows" if many else "body")
            is_row = bool(place)
            allowed = self.allowed(field) if is_row and field != "rows" else self._allowed_body(one["type"])
            sent = None if one["type"] == "missing" else _short(one["input"])
            problems.setdefault((row, field), Problem(row, field, sent, allowed))
        listed = list(problems.values())
        return Rejected(listed[:MOST_PROBLEMS], len(listed))

    def _allowed_body(self, kind: str) -> str:
        if kind == "json_invalid":
            return "JSON in UTF-8"
        return f'an object with the fields of one row, or {{"rows": [...]}} with 1 to {self.max_rows} of them'


def _row_type(name: str, fields: dict[str, Any]) -> Any:
    make: Any = TypedDict
    made = make(name, fields)
    made.__pydantic_config__ = ConfigDict(extra="forbid")
    return made


def _kind(column: Column) -> Any:
    """Return the type that pydantic checks a field by. TypedDict, because a column may have any name."""
    if column.type in ("number", "integer"):
        limits: dict[str, Any] = {"ge": column.minimum, "le": column.maximum, "allow_inf_nan": False}
        limits = {name: limit for name, limit in limits.items() if limit is not None}
        if column.type == "integer":
            return Annotated[float, Field(multiple_of=1, **limits)]
        return Annotated[float, Field(**limits)]
    if column.type == "datetime":
        return Annotated[datetime, AfterValidator(_checked_time)]
    if column.type == "boolean":
        return bool | Literal[("true", "false", *_spellings(column))]
    if column.categories:
        return Literal[tuple(_spellings(column))]
    return Annotated[str, StringConstraints(min_length=1, max_length=MOST_TEXT, pattern=r"^[^\x00]*$")] | int


def _spellings(column: Column) -> list[Any]:
    """Return the categories as written in the schema and as text."""
    return list(
        dict.fromkeys([*(value for value in column.categories if not isinstance(value, float)), *column.labels])
    )


def _checked_time(at: datetime) -> datetime:
    if not YEARS[0] <= at.year <= YEARS[1]:
        raise ValueError(f"the year is outside {YEARS[0]} to {YEARS[1]}")
    return at


def _converter(column: Column, zone: ZoneInfo) -> Callable[[Any], Any]:
    """Return the function from what was sent to what a row holds."""
    fill = column.fill if column.on_missing == "fill" else None
    if column.type in ("number", "integer"):
        missing = None if fill is None else float(fill)
        return lambda value: missing if value is None else float(value)
    if column.type == "datetime":
        return lambda value: None if value is None else _in_utc(value, zone)
    meaning = _meanings(column)
    missing_label = None if fill is None else label(fill)
    return lambda value: missing_label if value is None else meaning.get((type(value), value)) or label(value)


def _meanings(column: Column) -> dict[tuple[type, Any], str]:
    """Return what the two categories of a boolean stand for."""
    if column.type != "boolean" or not column.categories:
        return {}
    pairs = zip(("false", "true"), column.categories, strict=True)
    return {(type(form), form): name for name, value in pairs for form in (value, label(value))}


def _from_text(value: Any, column: Column) -> Any:
    return datetime.fromisoformat(value) if column.type == "datetime" and value is not None else value


def _in_utc(at: datetime, zone: ZoneInfo) -> datetime:
    """Return ``at`` in UTC; one without a zone is local, as in the source."""
    return (at.replace(tzinfo=zone) if at.tzinfo is None else at).astimezone(UTC)


def _allowed(column: Column) -> str:
    if column.type in ("number", "integer"):
        kind = "a whole number" if column.type == "integer" else "a number"
        low, high = column.minimum, column.maximum
        limits = f" from {low:g} to {high:g}" if low is not None and high is not None else ""
        limits = limits or (f" of at least {low:g}" if low is not None else "")
        limits = limits or (f" of at most {high:g}" if high is not None else "")
        return kind + limits + (f" ({column.unit})" if column.unit else "")
    if column.type == "datetime":
        return f"a time in ISO 8601, such as 2026-03-01T12:00:00Z, from {YEARS[0]} to {YEARS[1]}"
    if column.type == "boolean":
        return ", ".join(dict.fromkeys(["true", "false", *column.labels]))
    if column.categories:
        return ", ".join(column.labels)
    return f"text of 1 to {MOST_TEXT} characters"


def _key_text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return label(value)


def _short(value: Any) -> Any:
    """Return what was sent, cut to what a person reads; numbers that JSON lacks become text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value if not isinstance(value, int) or abs(value) < 2**63 else str(value)[:100]
    text = (
        value.decode("utf-8", "replace")
        if isinstance(value, bytes)
        else value
        if isinstance(value, str)
        else repr(value)
    )
    return text if len(text) <= 100 else text[:99] + "…"

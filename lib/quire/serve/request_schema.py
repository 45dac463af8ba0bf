"""What a request may hold, made from schema.yaml: parsing, and a refusal that names each field.

A row inside the service is a tuple of its features in the schema's order: a float, a label as text, or an aware
datetime; None where missing. It is what the model is given, what the cache is keyed by, and what is logged.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any, Literal, NamedTuple, NotRequired
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.types import FailFast, StringConstraints
from pydantic_core import from_json, to_json
from typing_extensions import TypedDict

from quire.config import Column, Schema, label
from quire.config.units import EPOCHS
from quire.io.row_keys import row_key
from quire.serve.request_errors import MOST_PROBLEMS, InvalidRequest, RequestError, short, unknown_field

Row = tuple[Any, ...]

LIGHT_BYTES = 16_384
"""A body of this length is parsed in a few milliseconds whatever it holds; a longer one in a thread."""

PLAIN_WORK = 400_000
"""Bytes times columns up to which a body goes to the validator whole: for each missing field it copies the row."""

MOST_NESTED = 20_000
"""Lists and objects of a body besides its rows: making more of them takes long, and there is no use for one."""

NEAR_WORK = 1_000
"""Names of a schema that are compared with the unknown ones of a request."""

MOST_TEXT = 10_000
MOST_KEY_BYTES = 1_024
"""Of the text of a row's key in UTF-8: PostgreSQL's index holds 2,700 of key, model, version and time together."""

MOST_NUMBER = 1e35
"""Models compute in 32 bits, where there is nothing above 3e38; a schema may allow more by name."""

MOST_LISTED = 50
"""Categories that a message names; the OpenAPI document names all."""

YEARS = (1700, 2200)
"""Times outside are refused: pandas holds nanoseconds since 1970 in 64 bits."""


class RequestRow(NamedTuple):
    """A row of a request: its features, the text of its key ("" where it has none), and its timestamp."""

    row: Row
    key: str
    at: datetime | None


class RequestSchema:
    """The rows that a model of this schema takes."""

    def __init__(self, schema: Schema, *, max_rows: int = 1_000) -> None:
        self.schema = schema
        self.max_rows = max_rows
        extra = [*schema.key, *([schema.timestamp] if schema.timestamp else [])]
        self.extra = tuple(name for name in dict.fromkeys(extra) if name not in schema.features)
        self.columns = {name: schema.columns[name] for name in (*schema.features, *self.extra)}
        self._plain_bytes = min(LIGHT_BYTES, PLAIN_WORK // len(self.columns))
        zone = ZoneInfo(schema.timezone)
        self._convert = [_converter(schema.columns[name], zone) for name in schema.features]
        self._convert_extra = {name: _converter(schema.columns[name], zone) for name in self.extra}
        self._features = schema.features
        self._times = [name for name in schema.features if schema.columns[name].type == "datetime"]
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
        # FailFast: the first wrong row is enough to know that something is wrong; what it is, `_read_rows` says.
        rows = _row_type("Rows", {"rows": Annotated[list[row], Field(min_length=1, max_length=max_rows), FailFast()]})
        self._one, self._many = TypeAdapter(row), TypeAdapter(rows)

    def parse(self, body: bytes) -> tuple[list[RequestRow], bool]:
        """Return the rows of a body and whether it held a list of them.

        Raises InvalidRequest naming the first problems. Its work is bounded by the rows and columns that there may be
        and by the problems that are named, not by what was sent.
        """
        if self._is_plain(body):
            try:
                if b"[" in body and _ROWS.match(body):
                    return [self._given(row) for row in self._many.validate_json(body, strict=True)["rows"]], True
                return [self._given(self._one.validate_json(body, strict=True))], False
            except (ValidationError, _LongKey):
                pass
        return self._parse_stepwise(body)

    def read(self, values: Mapping[str, Any]) -> RequestRow:
        """Return one row of values as JSON has them, such as those of a form or an example; raises InvalidRequest."""
        return self._read_rows([values], many=False)[0]

    def row_of(self, values: Mapping[str, Any]) -> Row:
        """Return a row of values that need no check, as the model's reference holds them: times are ISO 8601 text."""
        schema = self.schema
        pairs = zip(schema.features, self._convert, strict=True)
        return tuple(convert(_from_text(values.get(name), schema.columns[name])) for name, convert in pairs)

    def named(self, row: Row) -> dict[str, Any]:
        """Return a row's features by name, as JSON has them."""
        fields = dict(zip(self._features, row, strict=True))
        for name in self._times:
            if fields[name] is not None:
                fields[name] = fields[name].isoformat()
        return fields

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON schema of one row."""
        return self._one.json_schema(ref_template="#/components/schemas/{model}")

    def allowed(self, name: str) -> str:
        """Return in words what a field may hold."""
        column = self.columns.get(name)
        if column is None:
            return unknown_field(name, self.columns, search=True)
        return _allowed(column) + (" or null" if self.may_lack(name) else "")

    def may_lack(self, name: str) -> bool:
        """Whether a field may be null or left out."""
        column = self.columns[name]
        return name in self.extra or column.nullable or column.on_missing == "fill"

    def _given(self, sent: Mapping[str, Any]) -> RequestRow:
        values = list(map(sent.get, self._features))
        for place, convert in self._to_convert:
            values[place] = convert(values[place])
        row = tuple(values)
        for name, convert in self._convert_extra.items():
            values.append(convert(sent.get(name)))
        parts = [values[place] for place in self._key_places]
        key = row_key(parts) if parts and None not in parts else ""
        if 4 * len(key) > MOST_KEY_BYTES and len(key.encode()) > MOST_KEY_BYTES:
            raise _LongKey
        at = None if self._time_place is None else values[self._time_place]
        return RequestRow(row, key, at)

    def _type(self, name: str) -> Any:
        kind = _kind(self.columns[name])
        return NotRequired[kind | None] if self.may_lack(name) else kind

    def _is_plain(self, body: bytes) -> bool:
        """Whether the validator may have the body at once: it is short, and no field holds a list or an object."""
        if len(body) > self._plain_bytes:
            return False
        is_flat = body.count(b"{") == 1 and b"[" not in body
        return is_flat or len(_NESTED.findall(body)) <= 1

    def _parse_stepwise(self, body: bytes) -> tuple[list[RequestRow], bool]:
        """Parse as `parse` does: count first, then check row by row until enough is wrong."""
        if is_tangled(body, self.max_rows):
            raise InvalidRequest([RequestError(None, "body", "lists within lists", self._form())])
        try:
            payload: Any = from_json(body)
        except ValueError:
            raise InvalidRequest(
                [RequestError(None, "body", short(body[:200]), f"JSON in UTF-8: {self._form()}")]
            ) from None
        rows = payload.get("rows") if isinstance(payload, dict) else None
        many = isinstance(rows, list) or (rows is not None and "rows" not in self.columns)
        if not many:
            return self._read_rows([payload], many=False), False
        others = [name for name in list(payload)[: MOST_PROBLEMS + 1] if name != "rows"][:MOST_PROBLEMS]
        if others:
            raise InvalidRequest(
                [RequestError(None, short(name), short(payload[name]), self._form()) for name in others]
            )
        if not isinstance(rows, list) or not 1 <= len(rows) <= self.max_rows:
            raise InvalidRequest([RequestError(None, "rows", short(rows), self._form())])
        return self._read_rows(rows, many=True), True

    def _read_rows(self, rows: list[Any], *, many: bool) -> list[RequestRow]:
        problems: list[RequestError] = []
        parsed_rows: list[RequestRow] = []
        for at, row in enumerate(rows):
            if not isinstance(row, Mapping):
                form = "an object with the fields of one row" if many else self._form()
                problems.append(RequestError(at if many else None, "row" if many else "body", short(row), form))
            else:
                self._read_row(row, at, parsed_rows, problems)
            if len(problems) >= MOST_PROBLEMS:
                break
        if problems:
            raise InvalidRequest(problems[:MOST_PROBLEMS])
        return parsed_rows

    def _read_row(self, row: Mapping[str, Any], at: int, made: list[RequestRow], problems: list[RequestError]) -> None:
        """Add the row to ``made``, or what is wrong with it to ``problems``."""
        # No field holds a list or an object; an empty one is refused as a full one is, and costs nothing to refuse.
        fields = {name: [] if isinstance(row[name], list | dict) else row[name] for name in self.columns if name in row}
        unknown = []
        if len(fields) < len(row):
            unknown = list(islice((name for name in row if name not in self.columns), MOST_PROBLEMS))
        wrong: dict[str, Any] = {}
        try:
            parsed_row = self._given(self._one.validate_json(to_json(fields, inf_nan_mode="constants"), strict=True))
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_context=False, include_input=False):
                field = str(detail["loc"][0])
                wrong[field] = None if detail["type"] == "missing" else short(row[field])
        except _LongKey:
            longest = max(self.schema.key, key=lambda name: len(str(fields[name])))
            key_names = " and ".join(self.schema.key)
            allowed = f"text such that the key of the row ({key_names}) has at most {MOST_KEY_BYTES} bytes"
            problems.append(RequestError(at, longest, short(row[longest]), allowed))
        else:
            if not unknown:
                made.append(parsed_row)
        problems += [RequestError(at, field, value, self._known_allowed(field)) for field, value in wrong.items()]
        for name in unknown:
            search = len(problems) * len(self.columns) <= NEAR_WORK
            problems.append(
                RequestError(at, short(name), short(row[name]), unknown_field(name, self.columns, search=search))
            )

    @lru_cache(maxsize=1024)  # noqa: B019 - a contract lives as long as its model is served
    def _known_allowed(self, name: str) -> str:
        return self.allowed(name)

    def _form(self) -> str:
        return f'an object with the fields of one row, or {{"rows": [...]}} with 1 to {self.max_rows} of them'


class _LongKey(Exception):
    """The key of a row is longer than the database's index holds."""


def is_tangled(body: bytes, rows: int) -> bool:
    """Whether a body holds so many lists and objects besides its rows that parsing it would take long."""
    return body.count(b"[") + body.count(b"{") > MOST_NESTED + rows


_ROWS = re.compile(rb'\s*\{\s*"rows"\s*:\s*\[')
_NESTED = re.compile(rb":\s*[\[{]")


def _row_type(name: str, fields: dict[str, Any]) -> Any:
    make: Any = TypedDict
    row_type = make(name, fields)
    row_type.__pydantic_config__ = ConfigDict(extra="forbid")
    return row_type


def _kind(column: Column) -> Any:
    """Return the type that pydantic checks a field by. TypedDict, because a column may have any name."""
    if column.type in ("number", "integer"):
        low, high = _limits(column)
        limits: dict[str, Any] = {"ge": low, "le": high, "allow_inf_nan": False}
        if column.type == "integer":
            return Annotated[float, Field(multiple_of=1, **limits)]
        return Annotated[float, Field(**limits)]
    if column.type == "datetime":
        as_in_source = Annotated[datetime, BeforeValidator(_as_in_source(column))]
        either = Annotated[datetime | as_in_source, Field(union_mode="left_to_right")]
        return Annotated[either, AfterValidator(_checked_time)]
    if column.type == "boolean":
        return bool | Literal[("true", "false", *_spellings(column))]
    if column.categories:
        return Literal[tuple(_spellings(column))]
    return Annotated[str, StringConstraints(min_length=1, max_length=MOST_TEXT, pattern=r"^[^\x00]*$")] | int


def _limits(column: Column) -> tuple[float, float]:
    low, high = column.minimum, column.maximum
    return -MOST_NUMBER if low is None else low, MOST_NUMBER if high is None else high


def _spellings(column: Column) -> list[Any]:
    """Return the categories as written in the schema and as text."""
    return list(
        dict.fromkeys([*(value for value in column.categories if not isinstance(value, float)), *column.labels])
    )


def _as_in_source(column: Column) -> Callable[[Any], Any]:
    """Return the function that reads a time as the source writes it: a date alone, or by the column's format."""
    unit = EPOCHS.get(column.format or "")

    def read(value: Any) -> Any:
        if unit and isinstance(value, int | float) and not isinstance(value, bool):
            return (
                datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value / unit)
                if abs(value) < 1e11 * unit
                else value
            )
        if not isinstance(value, str):
            return value
        for form in (column.format, "%Y-%m-%d"):
            if form and form not in EPOCHS:
                with suppress(ValueError):
                    return datetime.strptime(value.strip(), form)
        return value

    return read


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
    texts = {form: name for (kind, form), name in meaning.items() if kind is str}

    def convert(value: Any) -> str | None:
        if type(value) is str:
            return texts.get(value, value)
        return missing_label if value is None else meaning.get((type(value), value)) or label(value)

    return convert


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
        form = f", or as in the source ({column.format})" if column.format else ""
        return f"a time in ISO 8601, such as 2026-03-01T12:00:00Z, from {YEARS[0]} to {YEARS[1]}{form}"
    if column.type == "boolean":
        return ", ".join(dict.fromkeys(["true", "false", *column.labels]))
    if column.categories:
        more = len(column.labels) - MOST_LISTED
        return ", ".join(column.labels[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
    return f"text of 1 to {MOST_TEXT} characters"

"""The only reader of YAML: strict, with line numbers, ``${NAME}`` from the environment, and messages that help."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from quire.errors import ConfigError, near

T = TypeVar("T")

REFERENCE = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_ESCAPED = "$${"


class MisplacedError(ValueError):
    """What is wrong with a part of an entity that is only seen when all of it is; ``keys`` lead to the part."""

    def __init__(self, message: str, *keys: str) -> None:
        """message: what was found and what was expected. keys: from the entity down."""
        super().__init__(message)
        self.keys = keys


class Entity(BaseModel):
    """A frozen, strict piece of configuration: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the entity that plain values, as a notebook's parameter holds them, make; lists stand for tuples."""
        return cls.model_validate_json(json.dumps(values))


class _Loader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """YAML 1.2's plain values: only true and false are booleans, and dates stay text.

    In YAML 1.1 ``categories: [No, Yes]`` would be two booleans, and 012 would be ten; here it is text, as codes are.
    """


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first) + [""] * (_tag == "null")
    )


class Document:
    """One YAML file: its plain values as written, and the line of every key."""

    def __init__(self, path: Path, text: str) -> None:
        """Parse ``text``; ``path`` is only for messages."""
        self.path = path
        try:
            self._node = yaml.compose(text, Loader=_Loader)
            _refuse_repeats(path, self._node)
            self.raw: dict[str, Any] = yaml.load(text, Loader=_Loader) or {}
        except yaml.YAMLError as error:
            raise ConfigError(f"{path} is not valid YAML: {error}") from error
        if not isinstance(self.raw, dict):
            raise ConfigError(f"{path}: expected keys and values at the top, found {type(self.raw).__name__}.")

    def line(self, keys: tuple[Any, ...]) -> int:
        """Return the line, counted from 1, of the deepest of ``keys`` that is in the file."""
        node, line = self._node, 1
        for key in keys:
            child = _child(node, key)
            if child is None:
                break
            line, node = child
        return line

    def read(self, kind: type[T] | Any, environment: Mapping[str, str] | None = None) -> T:
        """Return the file as ``kind`` (an entity or any annotated type), with references to ``environment`` expanded.

        Without ``environment`` every text stands for itself, as in schema.yaml, which holds values of the data.
        Raises ConfigError naming file, line, key, what was found and what was expected.
        """
        value = self.raw if environment is None else expand(self.raw, environment, where=str(self.path))
        try:
            return TypeAdapter(kind).validate_json(json.dumps(value))
        except ValidationError as error:
            raise ConfigError(self.explain(kind, error)) from None

    def explain(self, kind: Any, error: ValidationError, *, below: tuple[Any, ...] = ()) -> str:
        """Return a line for each mistake: file, line, key, what was found, what was expected.

        ``below``: the keys of the part of the file that was read as ``kind``.
        """
        lines = [self._explain(kind, item, below) for item in error.errors(include_url=False)]
        return "\n".join(dict.fromkeys(lines))

    def _explain(self, kind: Any, item: Any, below: tuple[Any, ...]) -> str:
        error = item.get("ctx", {}).get("error")
        at = error.keys if isinstance(error, MisplacedError) else ()
        keys = _existing(self.raw, (*below, *item["loc"], *at))
        location = f"{self.path}:{self.line(keys)}"
        name = ".".join(str(key) for key in keys) or "the file"
        if item["type"] == "extra_forbidden":
            known_keys = _known_keys(kind, item["loc"][:-1])
            expected = f"; known keys: {', '.join(known_keys)}." if known_keys else "."
            return f"{location}: {name} is not a known key{expected}{near(str(item['loc'][-1]), known_keys)}"
        if item["type"] == "missing":
            parent = ".".join(str(key) for key in keys)
            missing = str(item["loc"][-1])
            return f"{location}: {parent + ': ' if parent else ''}the key {missing!r} is missing."
        if item["type"] == "union_tag_invalid":
            tag, options = item["ctx"]["tag"], re.findall(r"'([^']+)'", item["ctx"]["expected_tags"])
            return f"{location}: {name}.kind is {tag!r}; expected one of {', '.join(options)}.{near(tag, options)}"
        if item["type"] == "value_error" and (at or not keys):
            return f"{location}: {name + ': ' if at else ''}{str(error).rstrip('.')}."
        raw_value = self._at(keys)  # as written: what a reference stands for can be a secret
        message = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        if isinstance(raw_value, str) and REFERENCE.search(raw_value):
            message = message.replace(str(item["input"]), raw_value)
        expected = message if item["type"] == "value_error" else f"expected {message}"
        options = re.findall(r"'([^']+)'", item["msg"]) if item["type"] == "literal_error" else []
        return f"{location}: {name} is {_short(raw_value)}; {expected.rstrip('.')}.{near(str(raw_value), options)}"

    def _at(self, keys: tuple[Any, ...]) -> Any:
        value: Any = self.raw
        for key in keys:
            value = value[key]
        return value


def read_document(path: Path) -> Document:
    """Return the parsed file at ``path``; raises ConfigError if it is not there."""
    if not path.is_file():
        raise ConfigError(f"{path} is not there. Every use case needs it; `quire init NAME` writes one.")
    return Document(path, path.read_text(encoding="utf-8"))


def expand(value: Any, environment: Mapping[str, str], *, where: str) -> Any:
    """Return ``value`` with ``${NAME}`` and ``${NAME:-default}`` in every text replaced from ``environment``.

    ``$${`` stands for the characters ``${``, as in the name of a file; see `escape`.
    """
    if isinstance(value, dict):
        return {key: expand(item, environment, where=where) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item, environment, where=where) for item in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name, default = match.groups()
        value = environment.get(name) or default
        if value is None:
            raise ConfigError(
                f"{where}: ${{{name}}} is not set in the environment. "
                f"Set {name}, or write a default: ${{{name}:-value}}.{near(name, environment)}"
            )
        return value

    return REFERENCE.sub(replace, value).replace(_ESCAPED, "${")


def escape(text: str) -> str:
    """Return ``text`` so that `expand` gives it back: what looks like a reference is none."""
    return text.replace("${", _ESCAPED)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _child(node: Any, key: Any) -> tuple[int, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            if key_node.value == str(key):
                return key_node.start_mark.line + 1, value_node
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key].start_mark.line + 1, node.value[key]
    return None


def _existing(raw: Any, loc: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the keys of a pydantic location that are in the file; the tags of unions are not."""
    keys = []
    for item in loc:
        if (isinstance(raw, dict) and item in raw) or (isinstance(raw, list) and isinstance(item, int)):
            raw = raw[item]
            keys.append(item)
    return tuple(keys)


def _known_keys(kind: Any, loc: tuple[Any, ...]) -> list[str]:
    """Return the field names that an entity nested in ``kind`` at ``loc`` takes, via its JSON schema."""
    schema = TypeAdapter(kind).json_schema()
    definitions = schema.get("$defs", {})

    def resolve(part: dict[str, Any]) -> list[dict[str, Any]]:
        if "$ref" in part:
            return resolve(definitions[part["$ref"].rsplit("/", 1)[1]])
        options = part.get("anyOf") or part.get("oneOf")
        return [variant for option in options for variant in resolve(option)] if options else [part]

    parts = resolve(schema)
    for key in loc:
        children: list[dict[str, Any]] = []
        for part in parts:
            if isinstance(key, int) and "items" in part:
                children += resolve(part["items"])
            elif key in part.get("properties", {}):
                children += resolve(part["properties"][key])
            elif isinstance(part.get("additionalProperties"), dict):
                children += resolve(part["additionalProperties"])
            elif part.get("properties", {}).get("kind", {}).get("const") == key:
                children.append(part)  # the tag of a union
        parts = children or parts
    return sorted({name for part in parts for name in part.get("properties", {})})


def _refuse_repeats(path: Path, node: Any) -> None:
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in lines:
                raise ConfigError(
                    f"{path}:{line}: the key {key.value!r} stands twice, first on line {lines[key.value]}."
                )
            lines[key.value] = line
            _refuse_repeats(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeats(path, item)

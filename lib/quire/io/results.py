"""Results as JSON that gives back what it was given: numbers, texts, lists, dictionaries with any plain keys, arrays.

Plain values are plain JSON. A dictionary with other keys than texts, and an array, are objects with the key
``__quire__``. NaN and the infinities are kept as Python writes them. A tuple comes back as a list, a point in time as
text in ISO 8601, a dataclass as a dictionary; what has no such form is refused, with its place.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from quire.errors import ArtifactError

KIND = "__quire__"

REMEDIES = {
    "set": "write sorted(...)",
    "frozenset": "write sorted(...)",
    "bytes": "write them to a file with run.writing(...)",
    "Decimal": "write float(...) or str(...)",
    "PosixPath": "write str(...)",
    "WindowsPath": "write str(...)",
    "complex": "write the real and the imaginary part",
    "timedelta": "write .total_seconds()",
    "NaTType": "write None",
    "NAType": "write None",
    "DataFrame": "save it under a name of its own",
    "Series": "save it under a name of its own, or write .to_dict()",
    "Index": "write .tolist()",
}
DEFAULT_REMEDY = "save numbers, texts, lists, dictionaries and arrays"


def dumps(value: Any, *, name: str) -> str:
    """Return ``value`` as JSON; raises ArtifactError with the place of what cannot be kept. name: the artifact's."""
    try:
        return json.dumps(_encode(value, f"artifact {name!r}"), indent=2)
    except RecursionError:
        raise ArtifactError(f"artifact {name!r} holds itself, or is nested too deeply to be kept as JSON.") from None


def loads(text: str) -> Any:
    """Return the value of which `dumps` made ``text``, or what any other JSON says."""
    return json.loads(text, object_hook=_decode)


def _encode(value: Any, place: str) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return _plain(value)
    if isinstance(value, Mapping):
        return _encode_mapping(value, place)
    if isinstance(value, list | tuple):
        return [_encode(item, f"{place}[{position}]") for position, item in enumerate(value)]
    if hasattr(value, "model_dump"):
        return _encode(value.model_dump(mode="json"), place)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _encode(getattr(value, field.name), f"{place}.{field.name}") for field in fields(value)}
    if type(value).__module__ == "numpy":
        return _encode_numpy(value, place)
    if hasattr(value, "isoformat") and value == value:  # NaT is not itself
        return value.isoformat()
    raise _refusal(value, place)


def _plain(value: Any) -> Any:
    """Return a plain value without its subclass: numbers of NumPy and members of enumerations are such."""
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value.value if hasattr(value, "value") and isinstance(value.value, kind) else value)
    return value


def _encode_mapping(value: Mapping[Any, Any], place: str) -> dict[str, Any]:
    items = [(_encode_key(key, place), _encode(item, f"{place}[{key!r}]")) for key, item in value.items()]
    if all(isinstance(key, str) for key, _ in items) and KIND not in value:
        return dict(items)
    return {KIND: "dict", "items": [list(item) for item in items]}


def _encode_key(key: Any, place: str) -> Any:
    if type(key) is float and math.isnan(key):
        raise ArtifactError(f"{place}: a key is NaN, which cannot be looked up; give it a name.")
    return _encode(key, f"{place}, the key {key!r}")


def _encode_numpy(value: Any, place: str) -> Any:
    """Return a scalar of NumPy as Python has it, an array with its type; raises ArtifactError for other kinds."""
    kind = value.dtype.kind
    if value.ndim == 0 and not hasattr(value, "setflags"):
        value = value[()]
    is_array = hasattr(value, "tolist") and hasattr(value, "astype") and type(value).__name__ == "ndarray"
    if not is_array:
        if kind in "biufU":
            return _plain(value.item())
        if kind == "M" and value == value:
            return str(value)
        raise _refusal(value, place)
    if kind not in "biufUMm":
        raise ArtifactError(
            f"{place} is an array of type {value.dtype}, which cannot be kept; make it one of numbers or texts, "
            "or write .tolist()."
        )
    values = value.view("int64") if kind in "Mm" else value
    return {KIND: "array", "dtype": value.dtype.str, "shape": list(value.shape), "values": values.ravel().tolist()}


def _decode(content: dict[str, Any]) -> Any:
    kind = content.get(KIND)
    if kind == "dict":
        return {tuple(key) if isinstance(key, list) else key: item for key, item in content["items"]}
    if kind == "array":
        import numpy as np

        return (
            np.array(content["values"], _stored_type(content["dtype"])).view(content["dtype"]).reshape(content["shape"])
        )
    return content


def _stored_type(dtype: str) -> str:
    return "int64" if dtype[1] in "Mm" else dtype


def _refusal(value: Any, place: str) -> ArtifactError:
    kind = type(value).__name__
    remedy = REMEDIES.get(kind, REMEDIES.get(kind.rstrip("0123456789"), DEFAULT_REMEDY))
    return ArtifactError(f"{place} is a {kind}, which has no form in JSON; {remedy}.")

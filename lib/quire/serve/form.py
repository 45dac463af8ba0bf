"""The page: a form made from the schema, the prediction with what moved it, and a way to say what really happened."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from quire import page as pages
from quire.config import Column, label
from quire.serve.explain import Effect
from quire.serve.loaded_model import LoadedModel
from quire.serve.log import Unavailable
from quire.serve.request_errors import InvalidRequest, RequestError

if TYPE_CHECKING:
    from quire.serve.service import Service

KEY_FIELD = "~key"
ID_FIELD, ACTUAL_FIELD = "~prediction", "~actual"
PREFIX = "f."
MOST_EFFECTS = 8
LEAST_EFFECT = 0.005
"""An effect that is a smaller share of the largest is not shown."""


@dataclass(frozen=True)
class Field:
    """One input of the form."""

    name: str
    kind: str
    value: str
    hint: str
    required: bool
    options: tuple[tuple[str, str], ...] = ()
    minimum: str = ""
    maximum: str = ""
    step: str = ""
    error: str = ""


def read(body: bytes, columns: int) -> dict[str, str]:
    """Return the fields of a sent form; the last of several with one name. columns: the fields of a row.

    Raises InvalidRequest if there are many more fields than the page has.
    """
    try:
        fields = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=columns + 10)
    except ValueError:
        raise InvalidRequest([RequestError(None, "body", None, "the fields of the form on this page")]) from None
    return dict(fields)


def page(
    service: "Service",
    sent: Mapping[str, str] | None = None,
    *,
    needs_key: bool = False,
    error: str = "",
    errors: Mapping[str, str] | None = None,
    result: Mapping[str, Any] | None = None,
) -> str:
    """Return the page: filled with what was ``sent``, else with what is usual in training.

    needs_key: the page asks for the key, and shows nothing of the data before it has it. errors: what is wrong by
    field. result: what the template shows of a prediction, or of feedback.
    """
    settings, model = service.settings, service.models.current
    window = model.reference.get("window") if model and not needs_key else None
    return pages.render(
        "service",
        title=settings.config.title or settings.name,
        description=settings.config.description,
        fields=fields(model, sent or {}, errors or {}) if model and not needs_key else [],
        served=model,
        window={"rows": None, "end": None} | (window or {}),
        problem=service.models.problem,
        needs_key=needs_key,
        error=error,
        result=result,
    )


async def predict(service: "Service", sent: Mapping[str, str], request_id: str) -> tuple[int, str]:
    """Return status and page with the prediction of a sent form."""
    model = service.served()
    try:
        row = model.contract.read(values(model, sent))
        answers, effects = await service.predict(model, [row], request_id=request_id, explain=True)
    except InvalidRequest as rejected:
        errors = {problem.field: f"Allowed: {problem.allowed}" for problem in rejected.problems}
        return 422, page(
            service, sent, error="Some fields are not as they may be; nothing was predicted.", errors=errors
        )
    except Unavailable as unavailable:
        return 503, page(service, sent, error=str(unavailable))
    return 200, page(service, sent, result=result(model, answers[0], effects[0]))


async def keep_feedback(service: "Service", sent: Mapping[str, str]) -> tuple[int, str]:
    """Return status and page with what became of the feedback of a sent form."""
    actual: Any = sent.get(ACTUAL_FIELD, "")
    if service.settings.schema.task == "regression":
        actual = _number(actual)
    row = {"prediction_id": sent.get(ID_FIELD, ""), "actual": actual}
    try:
        status = (await service.keep_feedback([row], source="page"))[0]
    except InvalidRequest as rejected:
        return 422, page(service, sent, error=f"What really happened can be {rejected.problems[0].allowed}.")
    except Unavailable as unavailable:
        return 503, page(service, sent, error=str(unavailable))
    if status == "unknown":
        return 404, page(service, sent, error="This prediction is not known here any more, so nothing was kept.")
    return 200, page(service, sent, result={"kept": status, "actual": sent.get(ACTUAL_FIELD, "")})


def values(served: LoadedModel, sent: Mapping[str, str]) -> dict[str, Any]:
    """Return what a sent form holds, as JSON would: numbers as numbers, empty fields left out."""
    row: dict[str, Any] = {}
    for name, column in served.contract.columns.items():
        text = sent.get(PREFIX + name, "").strip()
        if text:
            row[name] = _number(text) if column.type in ("number", "integer") else text
    return row


def _number(text: str) -> Any:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return text


def fields(served: LoadedModel, sent: Mapping[str, str], errors: Mapping[str, str]) -> list[Field]:
    """Return the inputs, filled with what was sent, else with medians and modes of the training data."""
    example = served.reference.get("values") or {}
    return [
        _field(name, column, served, sent.get(PREFIX + name, _shown(example.get(name), column)), errors.get(name, ""))
        for name, column in served.contract.columns.items()
    ]


def _field(name: str, column: Column, served: LoadedModel, value: str, error: str) -> Field:
    lacking = served.contract.may_lack(name)
    hint = " · ".join(text for text in (column.description, column.unit, "may be empty" if lacking else "") if text)
    common: dict[str, Any] = {"name": name, "value": value, "hint": hint, "required": not lacking, "error": error}
    if column.type in ("number", "integer"):
        low, high = ("" if limit is None else f"{limit:g}" for limit in (column.minimum, column.maximum))
        step = "1" if column.type == "integer" else "any"
        return Field(kind="number", minimum=low, maximum=high, step=step, **common)
    if column.type == "datetime":
        return Field(kind="datetime-local", step="1", **common)
    if column.type == "boolean":
        names = [label(option) for option in column.categories] or ["no", "yes"]
        return Field(kind="select", options=(("false", names[0]), ("true", names[1])), **common)
    options = column.labels or tuple(served.reference.get("seen", {}).get(name, ()))
    if column.labels and options:
        return Field(kind="select", options=tuple((option, option) for option in options), **common)
    return Field(kind="text", options=tuple((option, option) for option in options), **common)


def _shown(value: Any, column: Column) -> str:
    if value is None:
        return ""
    if column.type == "datetime":
        return str(value)[:19]
    return f"{value:g}" if isinstance(value, float) else str(value)


def result(served: LoadedModel, answer: Mapping[str, Any], effects: list[Effect]) -> dict[str, Any]:
    """Return what is shown of a prediction, in the words and numbers of the page."""
    target = served.schema.columns[served.schema.target]
    largest = max((abs(effect.effect) for effect in effects), default=1.0)
    effect_rows = [
        {
            "feature": effect.feature,
            "value": _told(effect.value),
            "normal": _told(effect.normal),
            "text": _signed(f"{effect.effect:+.3g}" if not served.classes else f"{effect.effect * 100:+.1f} points"),
            "share": round(100 * abs(effect.effect) / largest, 1),
            "up": effect.effect > 0,
        }
        for effect in effects[:MOST_EFFECTS]
        if abs(effect.effect) >= LEAST_EFFECT * largest
    ]
    return {
        "id": answer["prediction_id"],
        "prediction": answer["prediction"],
        "probability": answer.get("probability"),
        "probabilities": answer.get("probabilities"),
        "warnings": answer["warnings"],
        "target": served.schema.target,
        "unit": target.unit,
        "meaning": _meaning(served, answer),
        "effects": effect_rows,
        "explained": bool(served.reference),
        "classes": served.classes,
    }


def _meaning(served: LoadedModel, answer: Mapping[str, Any]) -> str:
    """Return the prediction in a sentence."""
    if not served.classes:
        usual = served.metric("mae")
        return f"On rows it had not seen, such a prediction was off by {usual:.3g} on average." if usual else ""
    share = answer["probability"]
    if served.schema.task == "binary":
        event = f"{served.schema.target} = {label(served.schema.positive or '')}"
        return f"The probability of {event} is {share:.0%}; from {served.threshold:.0%} on it is predicted."
    return f"The model gives it a probability of {share:.0%}; the others follow."


def _signed(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def _told(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, str) and len(value) >= 19 and value[10] == "T":
        return value[:16].replace("T", " ") + " UTC"
    return f"{value:.4g}" if isinstance(value, float) else str(value)

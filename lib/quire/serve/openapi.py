"""The OpenAPI document, whose request is that of the served model's schema, with an example of usual values."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from quire.serve.request_errors import MOST_PROBLEMS
from quire.serve.request_schema import RequestSchema

if TYPE_CHECKING:
    from fastapi import FastAPI

    from quire.serve.service import Service

TEXT: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "number"}
FINITE = NUMBER | {"exclusiveMinimum": -1e300, "exclusiveMaximum": 1e300}
ERROR: dict[str, Any] = {"type": "object", "required": ["error"], "properties": {"error": TEXT, "request_id": TEXT}}
PROBLEM = {
    "type": "object",
    "required": ["row", "field", "sent", "allowed"],
    "properties": {"row": {"type": ["integer", "null"]}, "field": TEXT, "sent": {}, "allowed": TEXT},
}
REJECTED = {
    "type": "object",
    "required": ["error", "problems", "errors"],
    "properties": {
        **ERROR["properties"],
        "problems": {"type": "integer", "maximum": MOST_PROBLEMS},
        "errors": {"type": "array", "items": PROBLEM},
    },
}
EFFECT = {
    "type": "object",
    "required": ["feature", "value", "normal", "effect"],
    "properties": {"feature": TEXT, "value": {}, "normal": {}, "effect": NUMBER},
}
ABOUT = {"model_name": TEXT, "model_version": TEXT, "request_id": TEXT}
RECEIPT = {
    "type": "object",
    "required": ["prediction_id", "status"],
    "properties": {
        "prediction_id": TEXT,
        "status": {"enum": ["recorded", "repeated", "changed", "unknown"]},
        "error": TEXT,
        "request_id": TEXT,
    },
}


def document(app: "FastAPI", service: "Service") -> dict[str, Any]:
    """Return the document for the schema of the use case."""
    schema = service.settings.schema
    model = service.models.current
    contract = model.contract if model else RequestSchema(schema)
    example = _example(contract, model.reference if model else {})
    row = contract.json_schema() | ({"examples": [example]} if example else {})
    names = {"Row": row, "Prediction": _prediction(schema.task), "Error": ERROR, "InvalidRequest": REJECTED}
    keyed = bool(app.state.keys)
    return {
        "openapi": "3.1.0",
        "info": {"title": app.title, "version": version("quire"), "description": service.settings.config.description},
        "paths": _paths(contract, keyed),
        "components": {
            "schemas": names,
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}} if keyed else {},
        },
    }


def _example(contract: RequestSchema, reference: Any) -> dict[str, Any]:
    """Return medians and modes: an example that is no row of the data, because everybody may read the document."""
    return {name: value for name, value in reference.get("values", {}).items() if name in contract.columns}


def _prediction(task: str) -> dict[str, Any]:
    outcome: dict[str, Any] = {"prediction_id": TEXT, "prediction": NUMBER if task == "regression" else TEXT}
    if task != "regression":
        outcome["probability"] = {"type": "number", "minimum": 0, "maximum": 1}
    if task == "multiclass":
        outcome["probabilities"] = {"type": "object", "additionalProperties": NUMBER}
    warnings = {"warnings": {"type": "array", "items": TEXT}}
    required = [*outcome, "warnings"]
    effects = {"effects": {"type": "array", "items": EFFECT}}
    return {"type": "object", "required": required, "properties": {**outcome, **warnings, **effects}}


def _paths(contract: RequestSchema, keyed: bool) -> dict[str, Any]:
    prediction = {"allOf": [_ref("Prediction"), {"type": "object", "required": list(ABOUT), "properties": ABOUT}]}
    several = {
        "type": "object",
        "required": ["predictions", *ABOUT],
        "properties": {"predictions": {"type": "array", "items": _ref("Prediction")}, **ABOUT},
    }
    rows = {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {"rows": {"type": "array", "minItems": 1, "maxItems": contract.max_rows, "items": _ref("Row")}},
    }
    record = {
        "type": "object",
        "required": ["prediction_id", "actual"],
        "additionalProperties": False,
        "properties": {
            "prediction_id": {"type": "string", "minLength": 1, "maxLength": 36, "pattern": "^[0-9A-Za-z]+$"},
            "actual": FINITE if contract.schema.task == "regression" else {"type": ["string", "boolean", "number"]},
        },
    }
    feedback = {
        "type": "object",
        "required": ["feedback"],
        "additionalProperties": False,
        "properties": {"feedback": {"type": "array", "minItems": 1, "maxItems": contract.max_rows, "items": record}},
    }
    receipts = {
        "type": "object",
        "required": ["results"],
        "properties": {"results": {"type": "array", "items": RECEIPT}},
    }
    explain = {
        "name": "explain",
        "in": "query",
        "description": "Also return what moved each prediction: the effect of each feature against its normal value.",
        "schema": {"type": "boolean", "default": False},
    }
    answered = {"404": _response("No such prediction", {"anyOf": [RECEIPT, receipts]})}
    return {
        "/predict": {
            "post": {
                "summary": "Predict one row or many",
                "parameters": [explain],
                **_asks({"anyOf": [_ref("Row"), rows]}),
                **_answers({"anyOf": [prediction, several]}, keyed, body=True),
            }
        },
        "/feedback": {
            "post": {
                "summary": "Say what really happened",
                **_asks({"anyOf": [record, feedback]}),
                **_answers({"anyOf": [RECEIPT, receipts]}, keyed, body=True, more=answered),
            }
        },
        "/health": {"get": {"summary": "How model and log are", **_answers({"type": "object"}, False)}},
        "/health/live": {"get": {"summary": "Whether the process runs", **_answers({"type": "object"}, False)}},
        "/health/ready": {
            "get": {"summary": "Whether predictions can be answered", **_answers({"type": "object"}, False)}
        },
        "/model": {"get": {"summary": "The served version", **_answers({"type": "object"}, keyed)}},
    }


def _asks(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _answers(
    schema: dict[str, Any], keyed: bool, *, body: bool = False, more: dict[str, Any] | None = None
) -> dict[str, Any]:
    responses = {"200": _response("Done", schema), "503": _response("Not now; see Retry-After", {"type": "object"})}
    responses["429"] = _response("Too many requests", _ref("Error"))
    if body:
        responses["413"] = _response("Too large", _ref("Error"))
        responses["422"] = _response("Not as the schema says", _ref("InvalidRequest"))
    if keyed:
        responses["401"] = _response("No known API key", _ref("Error"))
    return {"responses": responses | (more or {}), **({"security": [{"key": []}]} if keyed else {})}


def _response(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}

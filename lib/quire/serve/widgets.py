"""The service's form for people who live in notebooks: the same checks, the same prediction, the same explanation."""

from html import escape
from typing import TYPE_CHECKING, Any

from quire.config import Settings
from quire.serve import loaded_model
from quire.serve.explain import effects, variants
from quire.serve.form import PREFIX, Field, fields, result, values
from quire.serve.request_errors import InvalidRequest

if TYPE_CHECKING:
    from quire.serve.predict import Champion

WIDTH = "20rem"


def prediction_form(champion: "Champion", settings: Settings) -> Any:
    """Return a widget with an input per feature and a button; below it the prediction with what moved it appears."""
    import ipywidgets as widgets

    from quire.io import tracking

    serve = settings.config.serve
    model = loaded_model.load(
        tracking.open(settings), champion.version, settings.schema, max_rows=serve.max_rows, cache_rows=0
    )
    inputs = {
        field.name: _input(field, widgets) for field in fields(model, {}, {}) if field.name in model.schema.features
    }
    output, button = widgets.HTML(), widgets.Button(description="Predict", button_style="primary")

    def predict(_: Any) -> None:
        form_data = {PREFIX + name: str(widget.value) for name, widget in inputs.items() if widget.value is not None}
        output.value = _answer(model, form_data)

    button.on_click(predict)
    predict(button)
    flow = widgets.Layout(display="flex", flex_flow="row wrap", grid_gap=".25rem 1rem")
    form = [widgets.Box(list(inputs.values()), layout=flow), button, output]
    return widgets.VBox(form, layout=widgets.Layout(grid_gap=".75rem"))


def _input(field: Field, widgets: Any) -> Any:
    layout, style = widgets.Layout(width=WIDTH), {"description_width": "8rem"}
    common = {"description": field.name, "layout": layout, "style": style, "tooltip": field.hint}
    if field.kind == "select":
        options = [(text, value) for value, text in field.options]
        options = options if field.required else [("", ""), *options]
        return widgets.Dropdown(options=options, value=field.value or options[0][1], **common)
    return widgets.Text(value=field.value, **common)


def _answer(model: loaded_model.LoadedModel, sent: dict[str, str]) -> str:
    """Return the prediction of what was filled in as HTML, or what is wrong with it."""
    try:
        row = model.contract.read(values(model, sent)).row
    except InvalidRequest as rejected:
        wrong = "".join(f"<li><b>{escape(p.field)}</b>: {escape(p.allowed)}</li>" for p in rejected.problems)
        return f'<div role="alert"><p>Nothing was predicted. These fields may be:</p><ul>{wrong}</ul></div>'
    rows = variants(model, row)
    outcomes = model.score(rows or [row])
    answer: dict[str, Any] = {
        "prediction_id": "",
        "prediction": outcomes[0].prediction,
        "warnings": model.warnings(row),
    }
    answer |= {"probability": outcomes[0].probability, "probabilities": outcomes[0].probabilities}
    summary = result(model, answer, effects(model, row, outcomes if rows else []))
    effect_rows = "".join(
        f"<tr><td><b>{escape(effect['feature'])}</b> {escape(effect['value'])}</td>"
        f"<td>normal: {escape(effect['normal'])}</td>"
        f"<td style='text-align:right'>{escape(effect['text'])}</td></tr>"
        for effect in summary["effects"]
    )
    warnings = "".join(f"<p>{escape(text)} The prediction is less sure.</p>" for text in summary["warnings"])
    prediction = summary["prediction"] if model.classes else f"{summary['prediction']:,.4g}"
    return (
        f"<h3>{escape(summary['target'])} is predicted to be {escape(str(prediction))} {escape(summary['unit'])}</h3>"
        f"<p>{escape(summary['meaning'])}</p>{warnings}<h4>What moved it most</h4><table>{effect_rows}</table>"
    )

"""The form in a notebook: a widget per feature, and the prediction with what moved it after a click."""

import pytest

from quire import tracking
from quire.io import database
from quire.serve.predict import Champion
from quire.serve.widgets import prediction_form

widgets = pytest.importorskip("ipywidgets", reason="The notebook's form needs ipywidgets: pip install ipywidgets.")


@pytest.fixture
def shown(settings, promote, pipelines):
    """The form as a notebook shows it: its inputs by name, its button, and where the answer appears."""
    promote(pipelines["hist_gradient_boosting"])
    registry = tracking.open(settings)
    version = registry.champion()
    made = prediction_form(Champion(version, registry.load(version)), settings)
    box, button, answer = made.children
    return {one.description: one for one in box.children}, button, answer


def test_it_has_an_input_per_feature_and_predicts_the_example_at_once(shown, settings):
    inputs, _, answer = shown
    assert list(inputs) == list(settings.schema.features)
    assert isinstance(inputs["season"], widgets.Dropdown)
    assert "cnt is predicted to be" in answer.value
    assert "What moved it most" in answer.value


def test_a_click_predicts_what_was_filled_in(shown):
    inputs, button, answer = shown
    before = answer.value
    inputs["hr"].value = "3" if inputs["hr"].value != "3" else "17"
    button.click()
    assert "is predicted to be" in answer.value
    assert answer.value != before


def test_what_may_not_be_is_named_with_what_may_and_shown_as_text(shown):
    inputs, button, answer = shown
    inputs["temp"].value = "<b>warm</b>"
    button.click()
    assert "Nothing was predicted" in answer.value
    assert "a number from 0 to 1" in answer.value
    assert "<b>warm</b>" not in answer.value


def test_nothing_that_is_tried_out_is_kept(shown, settings):
    shown[1].click()
    assert database.open(settings.database_url).predictions("demo").empty

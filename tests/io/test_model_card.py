"""The model card that a candidate is logged with."""

import json
from pathlib import Path

import pandas as pd
import pytest

from quire import config, data
from quire.io.model_card import model_card

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def settings():
    return config.load("demo", root=ROOT, environment={})


@pytest.fixture(scope="module")
def card(settings):
    manifest = json.loads(json.dumps(data.ingest(settings).manifest))
    card = model_card(
        settings, {"estimator": "linear", "alpha": 1.0}, {"r2": 0.81234, "mae": float("nan")}, manifest, ["temp", "hum"]
    )
    return card, manifest


def test_it_says_what_the_model_is_for_and_made_of(card):
    lines = card[0].splitlines()
    assert lines[0] == "# Hourly bike rentals (simulated)"
    assert "Predicts `cnt` (regression, in rentals per hour). demand" in lines
    assert [line for line in lines if line.startswith("## ")] == [
        "## Use", "## Model", "## Features", "## Training data",
        "## Metrics (cross-validation on the training data)",
    ]  # fmt: skip
    assert {"- estimator: `linear`", "- alpha: `1.0`", "`temp`, `hum`", "- r2: 0.8123"} <= set(lines)


def test_it_says_which_columns_were_left_out_and_why(card):
    assert "Left out: `casual` (casual + registered = cnt: it would give the answer away)" in card[0]


def test_it_says_which_rows_of_which_source_the_model_learned_from(card):
    text, manifest = card
    train = manifest["windows"]["train"]
    assert f"- rows: {train['rows']}\n- start: {train['start']}\n- end: {train['end']}\n" in text
    assert f"- source: {manifest['source']['where']}\n" in text
    assert f"- fingerprint: `{manifest['fingerprint']}`\n" in text


def test_a_metric_that_is_not_known_is_left_out(card):
    assert "mae" not in card[0]


def test_a_card_without_a_dataset_is_one_too(settings):
    text = model_card(settings, {}, {}, {}, pd.Index(["temp"]))
    assert "`temp`" in text
    assert "fingerprint" not in text

"""What must hold on the real files: accuracy, no leakage, and the same figures each time."""

import os
from pathlib import Path

import numpy as np
import pytest

from quire import config, data, model

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("QUIRE_DATA", ROOT / "data"))


def settings_of(name, file):
    if not (FOLDER / file).is_file():
        pytest.skip(f"{FOLDER / file} is not there; the README says where to get it. Set QUIRE_DATA to its folder.")
    return config.load(name, root=ROOT, environment={"QUIRE_DATA": str(FOLDER)})


@pytest.mark.slow
def test_bikes_are_predicted_well_and_nothing_leaks():
    settings = settings_of("bikes", "bike_sharing_hour.csv")
    parts = data.ingest(settings, config.moment("2012-12-01"), current="7d", test="56d")
    search = config.Search(**settings.params["train"]["search"] | {"trials": 2})
    candidate = model.fit_candidate(parts.train, settings.schema, search=search)
    assert not any(name.startswith(("casual", "registered", "cnt", "instant")) for name in candidate.features)
    found = model.evaluate(candidate.pipeline, None, parts.train, parts.test, settings.schema, resamples=100)
    assert found.candidate.test["r2"].value >= 0.90
    assert found.over_baseline["r2"].low > 0.05
    assert model.judge(found, config.Gate(**settings.params["evaluate"]["gate"])).promote


@pytest.mark.slow
def test_churn_is_predicted_well_on_average_over_seeds():
    settings = settings_of("churn", "telco_churn.csv")
    scores = []
    for seed in range(5):
        parts = data.ingest(settings, None, test_share=0.2, current_share=0.01, seed=seed)
        candidate = model.fit_candidate(
            parts.train, settings.schema, search=config.Search(trials=1, folds=3), seed=seed
        )
        assert "customerID" not in candidate.features
        scores.append(model.measure(model.outcomes(candidate.pipeline, parts.test, settings.schema))["roc_auc"])
    assert np.mean(scores) >= 0.845

"""Runs of the demo as monitoring finds them: ingested, with a champion, predicted. Made from real parts, once."""

import json
import shutil
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from quire import config, data
from quire.io import artifacts, tracking
from quire.model import input_names, model_input, predict, target_values

ROOT = Path(__file__).parents[2]
HOURS = 24 * 7 * 60


def make_project(root, *, name="demo", hours=HOURS, start="2023-05-08", source=""):
    """Copy params/``name`` to ``root``; the demo gets ``hours`` from ``start`` on and what ``source`` adds."""
    shutil.copytree(ROOT / "params", root / "params")
    if name == "demo":
        (root / "params" / "demo" / "config.yaml").write_text(
            f"title: Rentals\nsource: {{kind: demo, start: {start}, hours: {hours}, seed: 7{source}}}\n", "utf-8"
        )
    return root


def fit_pipeline(train, schema, estimator=None):
    """Return a small pipeline fitted on ``train``."""
    _, texts = input_names(schema)
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer((encode, texts), remainder="passthrough", verbose_feature_names_out=False)
    pipeline = make_pipeline(columns, estimator or HistGradientBoostingRegressor(max_iter=80, random_state=0))
    return pipeline.fit(model_input(train, schema), target_values(train, schema))


def make_run(settings, run_id, as_of, *, train=True, estimator=None):
    """Ingest as of ``as_of``; with ``train`` fit and promote a champion; predict. Returns the stage monitor's run."""
    folder = settings.outputs / "runs" / run_id
    folder.mkdir(parents=True)
    made = data.ingest(settings, config.moment(as_of) if as_of else None)
    ingest = artifacts.open_stage(settings, str(folder / "artifacts" / "ingest"), as_of)
    for name, frame in made.frames.items():
        ingest.save(name, frame)
    ingest.save("manifest", made.manifest)
    registry = tracking.open(settings)
    if train:
        _promote(settings, folder, made, registry, as_of, estimator)
    champion = registry.champion()
    predicted = predict(registry.load(champion), made.current, settings.schema)
    key = [name for name in dict.fromkeys((*settings.schema.key, settings.schema.timestamp)) if name]
    rows = pd.concat([made.current[key], predicted], axis=1).assign(model_version=champion.version)
    artifacts.open_stage(settings, str(folder / "artifacts" / "predict"), as_of).save("predictions", rows)
    (folder / "run.json").write_text(json.dumps({"params": settings.name, "status": "succeeded"}), "utf-8")
    return artifacts.open_stage(settings, str(folder / "artifacts" / "monitor"), as_of)


def _promote(settings, folder, made, registry, as_of, estimator):
    stage = artifacts.open_stage(settings, str(folder / "artifacts" / "train"), as_of)
    pipeline = fit_pipeline(made.train, settings.schema, estimator)
    fitted = predict(pipeline, made.train, settings.schema)
    profiles = data.profile_periods(made.train.assign(**fitted), settings.schema)
    with stage.writing("profiles.bin") as path:
        profiles.write(path)
    candidate = registry.log_candidate(
        stage,
        pipeline,
        params={},
        metrics={},
        input_example=model_input(made.train.head(3), settings.schema),
        files={"profiles.bin": stage.path("profiles.bin")},
    )
    registry.promote(candidate, reason="the first", run=stage)


def rules_of(settings):
    """Return what params.yaml says to `monitor.monitor_run`."""
    section = settings.params.get("monitor", {})
    return {
        "period": section.get("period", "7d"),
        "drift": config.Drift.of(section.get("drift", {})),
        "checks": config.Checks.of(section.get("checks", {})),
        "performance": config.Performance.of(section.get("performance", {})),
    }


def weeks_later(as_of, weeks):
    return (config.moment(as_of) + timedelta(weeks=weeks)).date().isoformat()


@pytest.fixture(scope="session", autouse=True)
def plain_environment():
    """Keep the settings of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("QUIRE_OUTPUTS", "QUIRE_ALIAS", "QUIRE_LIVE", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def runs():
    """The functions above, for tests that make runs of their own."""
    return SimpleNamespace(
        make_project=make_project, make_run=make_run, rules_of=rules_of, weeks_later=weeks_later, fit=fit_pipeline
    )


@pytest.fixture(scope="session")
def quiet(tmp_path_factory):
    """A project whose demo ran once, with nothing wrong; ``settings`` and the stage's ``run``."""
    root = make_project(tmp_path_factory.mktemp("quiet"))
    settings = config.load("demo", root=root, environment={})
    return make_run(settings, "20260101T000000-aaaa", weeks_later("2023-05-08", 59))

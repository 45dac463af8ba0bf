"""A model as a folder: every estimator we offer comes back the same, and nothing untrusted is loaded."""

import importlib
import io
import zipfile

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, SplineTransformer, StandardScaler

from quire.errors import ModelError
from quire.io import model_files


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"temp": rng.normal(size=120), "kind": rng.choice(["a", "b", "c"], 120).astype(object)})
    frame.loc[3, "temp"] = np.nan
    frame.loc[4, "kind"] = np.nan
    return frame


def trees():
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    return ColumnTransformer([("number", "passthrough", ["temp"]), ("text", encode, ["kind"])])


def lines():
    number = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler(), SplineTransformer(n_knots=4))
    text = make_pipeline(SimpleImputer(strategy="constant", fill_value="none"), OneHotEncoder(handle_unknown="ignore"))
    return ColumnTransformer([("number", number, ["temp"]), ("text", text, ["kind"])])


REGRESSORS = [
    make_pipeline(trees(), HistGradientBoostingRegressor(max_iter=5)),
    make_pipeline(trees(), HistGradientBoostingRegressor(max_iter=5, categorical_features=[1])),
    make_pipeline(trees(), HistGradientBoostingRegressor(max_iter=5, loss="poisson")),
    make_pipeline(lines(), RandomForestRegressor(4)),
    make_pipeline(lines(), Ridge()),
    make_pipeline(lines(), DummyRegressor()),
]
CLASSIFIERS = [
    make_pipeline(trees(), HistGradientBoostingClassifier(max_iter=5)),
    make_pipeline(lines(), RandomForestClassifier(4)),
    make_pipeline(lines(), LogisticRegression()),
]


def saved(folder, pipeline, X, **files):
    model_files.save_model(folder, pipeline, input_example=X.head(3), files=files, metadata={"quire.params": "demo"})
    return folder


@pytest.mark.parametrize("pipeline", REGRESSORS, ids=lambda one: str(one[-1]))
def test_a_regressor_comes_back_with_the_same_predictions(pipeline, X, tmp_path):
    pipeline.fit(X, np.abs(X["temp"].fillna(0)) + 1)
    loaded = model_files.load_model(saved(tmp_path / "model", pipeline, X))
    np.testing.assert_array_equal(loaded.predict(X), pipeline.predict(X))
    assert model_files.read_example_output(tmp_path / "model") == pipeline.predict(X.head(3)).tolist()


@pytest.mark.parametrize("pipeline", CLASSIFIERS, ids=lambda one: str(one[-1]))
@pytest.mark.parametrize("classes", [["no", "yes"], ["a", "b", "c"]], ids=["binary", "multiclass"])
def test_a_classifier_comes_back_with_the_same_probabilities(pipeline, classes, X, tmp_path):
    pipeline.fit(X, np.resize(np.array(classes, dtype=object), len(X)))
    loaded = model_files.load_model(saved(tmp_path / "model", pipeline, X))
    np.testing.assert_array_equal(loaded.predict_proba(X), pipeline.predict_proba(X))
    assert list(loaded.classes_) == classes
    assert model_files.read_example_output(tmp_path / "model") == pipeline.predict_proba(X.head(3)).tolist()


def test_mlflow_itself_loads_the_folder_and_knows_its_signature(X, tmp_path):
    import mlflow.pyfunc

    pipeline = make_pipeline(trees(), HistGradientBoostingRegressor(max_iter=5)).fit(X, X["temp"].fillna(0))
    folder = saved(tmp_path / "model", pipeline, X)
    np.testing.assert_array_equal(mlflow.pyfunc.load_model(str(folder)).predict(X), pipeline.predict(X))
    assert [column["name"] for column in model_files.read_signature(folder)] == ["temp", "kind"]


class Reaching(BaseEstimator):
    """An estimator of a type that nobody vouched for."""

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        return np.zeros(len(X))


def test_a_pipeline_with_an_unknown_type_is_not_saved(X, tmp_path):
    with pytest.raises(ModelError, match=r"not trusted: .*Reaching.*TRUSTED"):
        saved(tmp_path / "model", make_pipeline(trees(), Reaching()).fit(X), X)
    assert not (tmp_path / "model").exists()


def test_a_file_that_trusts_itself_is_not_loaded(X, tmp_path):
    """MLflow takes the list of trusted types from the model's own folder; we do not."""
    folder = saved(tmp_path / "model", make_pipeline(trees(), DummyRegressor()).fit(X, X.index), X)
    (folder / model_files.PIPELINE).write_bytes(skops.io.dumps(Reaching()))
    described = (folder / "MLmodel").read_text().replace("skops_trusted_types:", "skops_trusted_types:\n    - Reaching")
    (folder / "MLmodel").write_text(described)
    with pytest.raises(ModelError, match="not trusted"):
        model_files.load_model(folder)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"holds no model\.skops"):
        model_files.load_model(tmp_path)


def test_a_cut_file_does_not_load_as_a_model(X, tmp_path):
    folder = saved(tmp_path / "model", make_pipeline(trees(), DummyRegressor()).fit(X, X.index), X)
    path = folder / model_files.PIPELINE
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ModelError, match="not whole"):
        model_files.load_model(folder)


def test_files_are_kept_beside_the_model(X, tmp_path):
    (tmp_path / "profiles.bin").write_bytes(b"\0profiles")
    pipeline = make_pipeline(trees(), DummyRegressor()).fit(X, X.index)
    folder = saved(tmp_path / "model", pipeline, X, **{"profiles.bin": tmp_path / "profiles.bin"})
    assert (folder / "files" / "profiles.bin").read_bytes() == b"\0profiles"
    assert zipfile.is_zipfile(io.BytesIO((folder / model_files.PIPELINE).read_bytes()))


def installed(folder, name, *, local=False):
    """Put a module with an estimator of its own, and the distribution that it came with, on a folder of the path."""
    (folder / f"{name}.py").write_text("from sklearn.dummy import DummyRegressor\nclass Boosted(DummyRegressor): ...\n")
    about = folder / f"{name}_wheel-4.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-wheel\nVersion: 4.2\n")
    (about / "top_level.txt").write_text(f"{name}\n")
    if local:
        (about / "direct_url.json").write_text('{"url": "file:///somewhere", "dir_info": {"editable": true}}')


@pytest.mark.parametrize("inside", ["alone", "in a pipeline", "in a meta-estimator"])
def test_the_requirements_name_what_the_types_come_from(X, tmp_path, monkeypatch, inside):
    from sklearn.compose import TransformedTargetRegressor

    name = f"boosting_{inside.replace(' ', '_').replace('-', '_')}"
    installed(tmp_path, name)
    monkeypatch.syspath_prepend(tmp_path)
    own = importlib.import_module(name).Boosted()
    model = {"alone": own, "in a pipeline": make_pipeline(trees(), own), "in a meta-estimator": None}[inside]
    model = model or make_pipeline(trees(), TransformedTargetRegressor(own))
    assert model_files._requirements(model.fit(X, X.index)) == sorted({*model_files.REQUIREMENTS, f"{name}-wheel"})


def test_what_is_installed_from_a_folder_is_no_requirement(tmp_path, monkeypatch):
    installed(tmp_path, "own_models", local=True)
    monkeypatch.syspath_prepend(tmp_path)
    own = importlib.import_module("own_models").Boosted().fit([[1.0]], [1.0])
    assert model_files._requirements(own) == sorted(model_files.REQUIREMENTS)

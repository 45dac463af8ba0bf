"""What a model hands to native code stays inside of it: a tampered tree is a ModelError and never ends the process."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.tree._tree import NODE_DTYPE

from quire.errors import ModelError
from quire.io import model_arrays, model_files
from quire.io.model_arrays import OutOfBounds, check_model, check_tree

RNG = np.random.default_rng(0)
X = np.column_stack([RNG.normal(size=80), RNG.integers(0, 6, 80), RNG.normal(size=80)])
Y = X[:, 0] + X[:, 1] % 2
CLASSES = (X[:, 1] % 3).astype(int)
TREES = [
    DecisionTreeRegressor(max_leaf_nodes=9, random_state=0).fit(X, Y),
    DecisionTreeClassifier(ccp_alpha=0.01, random_state=0).fit(X, CLASSES),
    RandomForestRegressor(3, random_state=0).fit(X, Y),
    RandomForestClassifier(3, random_state=0).fit(X, CLASSES),
    ExtraTreesRegressor(3, random_state=0).fit(X, np.column_stack([Y, X[:, 0]])),
    IsolationForest(n_estimators=3, random_state=0).fit(X),
    GradientBoostingRegressor(n_estimators=3, random_state=0).fit(X, Y),
    GradientBoostingClassifier(n_estimators=3, random_state=0).fit(X, CLASSES),
]
BOOSTINGS = [
    HistGradientBoostingRegressor(max_iter=3, categorical_features=[1], min_samples_leaf=2).fit(X, Y),
    HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=2, max_features=0.5).fit(X, CLASSES),
]
SPLINES = [make_pipeline(SplineTransformer(n_knots=4), Ridge()).fit(X, Y)]


def name_of(model):
    return type(model[0] if hasattr(model, "steps") else model).__name__


@pytest.mark.parametrize("model", [*TREES, *BOOSTINGS, *SPLINES], ids=name_of)
def test_a_model_as_it_was_fitted_is_within_its_bounds(model, tmp_path):
    model_files.write_pipeline(tmp_path, model)
    np.testing.assert_array_equal(model_files.load_model(tmp_path).predict(X), model.predict(X))


def stored(model):
    content = skops.io.dumps(model)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(folder, members):
    with zipfile.ZipFile(folder / model_files.PIPELINE, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def change_nodes(members, change, dtype=None):
    """Apply ``change`` to the nodes of the first tree among the members."""
    for name, content in members.items():
        if name.endswith(".npy"):
            array = np.load(io.BytesIO(content))
            if array.dtype.names and (dtype is None or array.dtype == dtype) and len(array) > 2:
                change(array)
                out = io.BytesIO()
                np.save(out, array)
                members[name] = out.getvalue()
                return


def set_all(**fields):
    def change(nodes):
        for name, number in fields.items():
            nodes[name] = number

    return change


def set_at(name, at, number):
    def change(nodes):
        nodes[name][at] = number

    return change


TAMPERED_TREES = {
    "children far outside": set_all(left_child=2**40, right_child=2**40),
    "a child one too far": lambda nodes: set_at("right_child", 0, len(nodes))(nodes),
    "a child that is its parent": set_at("left_child", 0, 0),
    "a child below zero": set_at("left_child", 0, -2),
    "one child": set_at("right_child", 0, -1),
    "a child of two": lambda nodes: set_at("right_child", 0, nodes["left_child"][0])(nodes),
    "a feature far outside": set_all(feature=10**8),
    "a feature one too far": set_at("feature", 0, 3),
    "a feature below zero": set_at("feature", 0, -3),
}


@pytest.mark.parametrize("change", TAMPERED_TREES)
@pytest.mark.parametrize("model", TREES, ids=name_of)
def test_a_tampered_decision_tree_is_refused(model, change, tmp_path):
    members = stored(model)
    change_nodes(members, TAMPERED_TREES[change], NODE_DTYPE)
    write(tmp_path, members)
    with pytest.raises(ModelError, match=r"tampered with or damaged: .*tree"):
        model_files.load_model(tmp_path)


TAMPERED_PREDICTORS = {
    "children far outside": set_all(left=2**31, right=2**31),
    "a child that is its parent": set_at("left", 0, 0),
    "a child one too far": lambda nodes: set_at("right", 0, len(nodes))(nodes),
    "a feature far outside": set_all(feature_idx=2**30),
    "a feature one too far": set_at("feature_idx", 0, 3),
    "no leaf": set_all(is_leaf=0),
    "a leaf flag that is none": set_all(is_leaf=2),
    "categories that are not there": set_all(is_categorical=1, bitset_idx=10**6),
}


@pytest.mark.parametrize("change", TAMPERED_PREDICTORS)
@pytest.mark.parametrize("model", BOOSTINGS, ids=name_of)
def test_a_tampered_boosted_tree_is_refused(model, change, tmp_path):
    members = stored(model)
    change_nodes(members, TAMPERED_PREDICTORS[change])
    write(tmp_path, members)
    with pytest.raises(ModelError, match=r"does not load: OutOfBounds: "):
        model_files.load_model(tmp_path)


def changed(model, tmp_path, change):
    """Return the error that loading the model gives after ``change``, which skops writes as it is."""
    loaded = skops.io.loads(skops.io.dumps(model), trusted=skops.io.get_untrusted_types(data=skops.io.dumps(model)))
    change(loaded)
    (tmp_path / model_files.PIPELINE).write_bytes(skops.io.dumps(loaded))
    with pytest.raises(ModelError) as error:
        model_files.load_model(tmp_path)
    return str(error.value)


def set_part(path, value):
    def change(model):
        *way, last = path.split(".")
        for name in way:
            model = model[int(name)] if name.isdigit() else getattr(model, name)
        if last.isdigit():
            model[int(last)] = value
        else:
            setattr(model, last, value)

    return change


OWNERS = {
    "a forest that takes fewer columns": (TREES[2], set_part("n_features_in_", 1)),
    "a tree of a forest that takes fewer columns": (TREES[2], set_part("estimators_.0.n_features_in_", 1)),
    "a tree that takes fewer columns": (TREES[0], set_part("n_features_in_", 1)),
    "a forest of something else": (TREES[2], set_part("estimators_.0", Ridge())),
    "a tree that is none": (TREES[0], set_part("tree_", Ridge())),
    "a boosting that takes fewer columns": (BOOSTINGS[0], set_part("n_features_in_", 1)),
    "fewer bins than columns": (BOOSTINGS[0], set_part("_bin_mapper.is_categorical_", np.zeros(1, bool))),
    "thresholds of objects": (BOOSTINGS[0], set_part("_bin_mapper.bin_thresholds_.0", np.array([{}, None], object))),
    "a category above all bits": (BOOSTINGS[0], set_part("_bin_mapper.bin_thresholds_.0", np.array([1e9]))),
    "bitsets of another width": (
        BOOSTINGS[0],
        set_part("_predictors.0.0.raw_left_cat_bitsets", np.zeros((9, 1), np.uint32)),
    ),
    "more trees in an iteration": (BOOSTINGS[0], set_part("n_trees_per_iteration_", 2)),
    "a wider boosting": (TREES[7], set_part("n_trees_per_iteration_", 2)),
    "a boosting that starts narrower": (TREES[7], set_part("init_", TREES[0])),
    "a spline of fewer coefficients": (SPLINES[0], set_part("0.bsplines_.0.c", np.zeros((1, 1)))),
    "a spline of a huge degree": (SPLINES[0], set_part("0.bsplines_.0.k", 10**6)),
}


@pytest.mark.parametrize("case", OWNERS)
def test_a_tree_or_spline_that_does_not_belong_to_its_owner_is_refused(case, tmp_path):
    model, change = OWNERS[case]
    assert "tampered with or damaged" in changed(model, tmp_path, change)


@pytest.mark.parametrize("wrong", ["outputs", "count", "classes", "values", "dtype"])
def test_a_tree_is_not_made_of_arrays_of_other_sizes(wrong):
    tree = TREES[0].tree_
    state = tree.__getstate__()
    nodes, values, classes = state["nodes"], state["values"], tree.n_classes
    sizes = {"features": 3, "outputs": 1, "count": len(nodes)}
    check_tree(nodes, values, classes, **sizes)
    wrongs = {
        "outputs": lambda: check_tree(nodes, values, classes, **{**sizes, "outputs": 10**9}),
        "count": lambda: check_tree(nodes, values, classes, **{**sizes, "count": len(nodes) + 1}),
        "classes": lambda: check_tree(nodes, values, np.array([10**9]), **sizes),
        "values": lambda: check_tree(nodes, values[:-1], classes, **sizes),
        "dtype": lambda: check_tree(nodes[["left_child", "right_child"]], values, classes, **sizes),
    }
    with pytest.raises(OutOfBounds):
        wrongs[wrong]()


def test_a_vectorizer_that_reads_the_files_that_a_client_names_is_refused():
    check_model(make_pipeline(CountVectorizer(), Ridge()))
    with pytest.raises(OutOfBounds, match="reads files"):
        check_model(make_pipeline(CountVectorizer(input="filename"), Ridge()))


def test_each_class_that_is_checked_is_there_in_this_version_of_the_library():
    import importlib

    for name in model_arrays.CHECKS:
        module, _, cls = name.rpartition(".")
        assert isinstance(getattr(importlib.import_module(module), cls), type)


STORED = [stored(model) for model in (*TREES, *BOOSTINGS, *SPLINES)]
EXTREMES = st.sampled_from([-(2**31), -3, -2, -1, 0, 1, 2, 3, 5, 255, 256, 2**31 - 1, 2**40, 2**62])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_an_array_the_process_lives(tmp_path, data):
    """The prediction is made in this process: one that reads outside would end it."""
    members = STORED[data.draw(st.integers(0, len(STORED) - 1))]
    name = data.draw(st.sampled_from(sorted(name for name in members if name.endswith(".npy"))))
    array = np.load(io.BytesIO(members[name]))
    flat = array.reshape(-1)
    if array.dtype.names:
        flat = flat[data.draw(st.sampled_from(array.dtype.names))]
    if not flat.size or flat.dtype.kind not in "iufb":
        return
    with np.errstate(all="ignore"):
        number = np.array(data.draw(EXTREMES)).astype(flat.dtype)
    flat[data.draw(st.integers(0, flat.size - 1))] = number
    out = io.BytesIO()
    np.save(out, array)
    write(Path(tmp_path), {**members, name: out.getvalue()})
    try:
        loaded = model_files.load_model(Path(tmp_path))
    except ModelError:
        return
    try:
        loaded.predict(X[:5])
    except (ValueError, IndexError, TypeError, OverflowError):
        return


def test_the_number_of_a_size_in_the_schema_is_checked_too(tmp_path):
    members = stored(TREES[0])
    schema = json.loads(members["schema.json"])
    text = json.dumps(schema)
    count = len(TREES[0].tree_.__getstate__()["nodes"])
    assert f'"content": "{count}"' in text
    members["schema.json"] = text.replace(f'"content": "{count}"', f'"content": "{10**9}"').encode()
    write(tmp_path, members)
    with pytest.raises(ModelError, match="tampered with or damaged"):
        model_files.load_model(tmp_path)

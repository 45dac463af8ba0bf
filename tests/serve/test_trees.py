"""Ensembles of trees on plain arrays give what scikit-learn gives, at the thresholds and beyond them too."""

import numpy as np
import pytest
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from quire.serve import trees


@pytest.fixture(scope="module")
def rows():
    """Features of which one has missing values, one is a whole number and one is constant; and a target."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=600), rng.integers(0, 5, 600), rng.random(600), np.ones(600)]).astype(float)
    X[::6, 2] = np.nan
    y = X[:, 0] * X[:, 1] + np.nan_to_num(X[:, 2], nan=3) + rng.normal(scale=0.1, size=600)
    return X, y


def hostile(X, model):
    """The rows, their features at each threshold of the first trees, and values that training did not have."""
    nodes = np.concatenate([tree.nodes for (tree, *_) in model._predictors[:3]])
    splits = nodes[nodes["is_leaf"] == 0]
    at_thresholds = np.repeat(X[:1], len(splits), axis=0)
    at_thresholds[np.arange(len(splits)), splits["feature_idx"]] = splits["num_threshold"]
    odd = np.full((4, X.shape[1]), [[np.nan], [np.inf], [-np.inf], [-0.0]])
    return np.vstack([X, at_thresholds, np.nextafter(at_thresholds, np.inf), odd])


@pytest.mark.parametrize(("leaves", "bits"), [(2, 8), (8, 8), (9, 16), (31, 32), (64, 64)])
def test_boosted_trees_of_any_size_give_the_same(rows, leaves, bits):
    X, y = rows
    options = {"max_leaf_nodes": leaves, "min_samples_leaf": 2, "max_iter": 20}
    model = HistGradientBoostingRegressor(**options).fit(X, y)
    grown = max(int(tree.nodes["is_leaf"].sum()) for (tree,) in model._predictors)
    assert bits / 2 < grown <= bits or leaves == grown
    X = hostile(X, model)
    values = trees.leaf_values([tree for (tree,) in model._predictors], X.shape[1])(X)
    known, places = model._bin_mapper.make_known_categories_bitsets()
    assert np.array_equal(values.T, [tree.predict(X, known, places, 1) for (tree,) in model._predictors])
    assert np.allclose(trees.boosting(model, classify=False)(X), model.predict(X), rtol=1e-12, atol=0)


@pytest.mark.parametrize("count", [1, 7, 600])
@pytest.mark.parametrize("classes", [2, 3])
def test_classes_get_the_same_probabilities(rows, classes, count):
    X, y = rows
    labels = np.digitize(y, np.quantile(y, np.arange(1, classes) / classes))
    model = HistGradientBoostingClassifier(max_iter=15).fit(X, labels)
    found = trees.boosting(model, classify=True)(X[:count])
    assert np.allclose(found, model.predict_proba(X[:count]), rtol=1e-12, atol=0)


def test_trees_that_never_split_give_the_same(rows):
    X, _ = rows
    model = HistGradientBoostingRegressor(max_iter=3).fit(X, np.full(len(X), 5.0))
    assert trees.boosting(model, classify=False)(X[:4]) == pytest.approx(model.predict(X[:4]))


def test_larger_trees_and_splits_by_category_are_called_one_by_one(rows, monkeypatch):
    X, y = rows
    large = HistGradientBoostingRegressor(max_leaf_nodes=None, min_samples_leaf=1, max_iter=3).fit(X, y)
    categories = HistGradientBoostingRegressor(categorical_features=[1], max_iter=5).fit(X, y)
    small = HistGradientBoostingRegressor(max_iter=5).fit(X, y)
    for model in (large, categories):
        assert trees.leaf_values([tree for (tree,) in model._predictors], X.shape[1]) is None
    assert trees.leaf_values([tree for (tree,) in small._predictors], X.shape[1]) is not None
    monkeypatch.setattr(trees, "MOST_BYTES", 1000)
    assert trees.leaf_values([tree for (tree,) in small._predictors], X.shape[1]) is None
    for model, given in ((large, X), (categories, categories._preprocessor.transform(X)), (small, X)):
        assert np.allclose(trees.boosting(model, classify=False)(given), model.predict(X), rtol=1e-12, atol=0)


def test_forests_give_the_same(rows):
    X, y = np.nan_to_num(rows[0]), rows[1]
    options = {"n_estimators": 12, "max_depth": 6, "random_state": 0}
    regressor = RandomForestRegressor(**options).fit(X, y)
    classifier = RandomForestClassifier(**options).fit(X, y > 0)
    assert np.allclose(trees.forest(regressor, classify=False)(X), regressor.predict(X), rtol=1e-12)
    assert np.allclose(trees.forest(classifier, classify=True)(X), classifier.predict_proba(X), rtol=1e-12)


@pytest.mark.parametrize("kind", [RandomForestRegressor, HistGradientBoostingRegressor])
def test_rows_of_another_width_are_not_read_beyond_their_end(rows, kind):
    X, y = np.nan_to_num(rows[0]), rows[1]
    evaluate = trees.forest if kind is RandomForestRegressor else trees.boosting
    estimate = evaluate(kind().fit(X, y), classify=False)
    for narrow in (X[:1, :2], X[:0, :0], X[:1, :3]):
        with pytest.raises(ValueError, match="takes 4 features"):
            estimate(narrow)

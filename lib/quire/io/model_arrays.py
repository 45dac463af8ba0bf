"""Bounds of the arrays that a model hands to native code, which does not check them: trees and splines.

scikit-learn follows the child and feature numbers of a tree without looking. One that points outside of the tree or of
the row reads memory that is not the model's, or ends the process.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np


class OutOfBounds(Exception):
    """An array of a model points outside of what it belongs to."""


def check_tree(
    nodes: np.ndarray, values: np.ndarray, classes: np.ndarray, *, features: int, outputs: int, count: int
) -> None:
    """Check a decision tree before it is made of these arrays.

    nodes: shape (count,), of scikit-learn's NODE_DTYPE; values: shape (count, outputs, most classes); classes: the
    number of classes of each output, shape (outputs,). Raises OutOfBounds.
    """
    from sklearn.tree._tree import NODE_DTYPE

    if nodes.dtype != NODE_DTYPE or nodes.ndim != 1 or not 1 <= len(nodes) == count:
        raise OutOfBounds(f"a tree of {count} nodes has {nodes.shape} of them")
    if classes.dtype.kind not in "iu" or classes.shape != (outputs,) or outputs < 1 or (classes < 1).any():
        raise OutOfBounds(f"a tree of {outputs} outputs names the classes of {classes.shape}")
    if values.dtype != np.float64 or values.shape != (count, outputs, int(classes.max())):
        raise OutOfBounds(f"a tree of {count} nodes and {outputs} outputs has values of shape {values.shape}")
    left, right = nodes["left_child"], nodes["right_child"]
    leaves = left == -1
    if (leaves != (right == -1)).any():
        raise OutOfBounds("a node of a tree has one child")
    _check_nodes(left, right, nodes["feature"], leaves, features)


def check_model(model: Any) -> None:
    """Check the arrays of a loaded model and of all that it is made of; raises OutOfBounds."""
    for part in _parts(model):
        for kind in type(part).__mro__:
            learnt, check = CHECKS.get(f"{kind.__module__}.{kind.__qualname__}", ("", None))
            if check and (not learnt or hasattr(part, learnt)):
                check(part)


def _check_nodes(left: np.ndarray, right: np.ndarray, feature: np.ndarray, leaves: np.ndarray, features: int) -> None:
    """Check that the nodes are one tree: each but the first is the child of one that stands before it."""
    count = len(leaves)
    splits = np.flatnonzero(~leaves)
    for children in (left[splits].astype(np.int64), right[splits].astype(np.int64)):
        if ((children <= splits) | (children >= count)).any():
            raise OutOfBounds(f"a child of a tree's node is not among the {count} nodes after it")
    children = np.concatenate([left[splits], right[splits]])
    if len(children) != count - 1 or len(np.unique(children)) != count - 1:
        raise OutOfBounds("the nodes of a tree are not one tree")
    split_features = feature[splits].astype(np.int64)
    if ((split_features < 0) | (split_features >= features)).any():
        raise OutOfBounds(f"a tree splits by feature {split_features.max()}, and there are {features}")


def _check_predictor(predictor: Any, features: int) -> None:
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    nodes = predictor.nodes
    if not _is_array(nodes, PREDICTOR_RECORD_DTYPE, 1) or not len(nodes):
        raise OutOfBounds("a tree of a boosting has no nodes of the known kind")
    for name in ("is_leaf", "is_categorical", "missing_go_to_left"):
        if (nodes[name] > 1).any():
            raise OutOfBounds(f"{name} of a tree's node is neither 0 nor 1")
    leaves = nodes["is_leaf"] == 1
    _check_nodes(nodes["left"], nodes["right"], nodes["feature_idx"], leaves, features)
    bitsets = (predictor.raw_left_cat_bitsets, predictor.binned_left_cat_bitsets)
    if any(not _is_array(bits, np.dtype(np.uint32), 2) or bits.shape[1] != 8 for bits in bitsets):
        raise OutOfBounds("the categories of a tree's splits are not the known kind of sets")
    by_category = nodes[~leaves & (nodes["is_categorical"] == 1)]["bitset_idx"]
    if len(by_category) and by_category.max() >= min(len(bits) for bits in bitsets):
        raise OutOfBounds("a tree splits by categories that it does not have")


def _check_boosting(model: Any) -> None:
    """Check the trees of a HistGradientBoosting model, and its bins: the categories are known by their thresholds."""
    features = _count(model, "n_features_in_")
    bins = model._bin_mapper
    categorical = bins.is_categorical_
    thresholds = bins.bin_thresholds_
    if not (_is_array(categorical, None, 1) and categorical.dtype.kind in "bu") or len(categorical) != features:
        raise OutOfBounds(f"a boosting of {features} features bins another number of them")
    if not isinstance(thresholds, list | np.ndarray) or len(thresholds) != features:
        raise OutOfBounds(f"a boosting of {features} features has thresholds of another number of them")
    for values, by_category in zip(thresholds, categorical, strict=True):
        if not _is_array(values, None, 1) or values.dtype.kind not in "fiu" or len(values) > 256:
            raise OutOfBounds("the thresholds of a boosting's bins are not at most 256 numbers")
        if by_category and not ((values >= 0) & (values < 256)).all():
            raise OutOfBounds("a category of a boosting's bins is not below 256")
    width = _count(model, "n_trees_per_iteration_")
    for iteration in model._predictors:
        if len(iteration) != width:
            raise OutOfBounds(f"an iteration of a boosting has {len(iteration)} trees, and not {width}")
        for predictor in iteration:
            _check_predictor(predictor, features)


def _check_decision_tree(model: Any) -> None:
    from sklearn.tree._tree import Tree

    tree, features = model.tree_, _count(model, "n_features_in_")
    if type(tree) is not Tree or tree.n_features != features:
        raise OutOfBounds(f"a decision tree of {features} features holds a tree of others")
    if tree.n_outputs != _count(model, "n_outputs_"):
        raise OutOfBounds("a decision tree holds a tree of another number of outputs")


def _check_forest(model: Any) -> None:
    from sklearn.tree import BaseDecisionTree

    features, trees = _count(model, "n_features_in_"), model.estimators_
    if not isinstance(trees, list) or not trees or not all(isinstance(tree, BaseDecisionTree) for tree in trees):
        raise OutOfBounds("a forest holds something else than decision trees")
    shapes = {tree.tree_.value.shape[1:] for tree in trees if hasattr(tree, "tree_")}
    if any(_count(tree, "n_features_in_") != features for tree in trees) or len(shapes) != 1:
        raise OutOfBounds(f"a forest of {features} features has trees of others")


def _check_gradient_boosting(model: Any) -> None:
    from sklearn.tree import DecisionTreeRegressor

    features, width, trees = _count(model, "n_features_in_"), _count(model, "n_trees_per_iteration_"), model.estimators_
    if not isinstance(trees, np.ndarray) or trees.ndim != 2 or trees.shape[1] != width:
        raise OutOfBounds(f"a boosting of {width} trees an iteration has others")
    for tree in trees.flat:
        if type(tree) is not DecisionTreeRegressor or tree.tree_.value.shape[1:] != (1, 1):
            raise OutOfBounds("a boosting holds something else than regression trees")
        if _count(tree, "n_features_in_") != features:
            raise OutOfBounds(f"a boosting of {features} features has trees of others")
    if model._raw_predict_init(np.zeros((1, features))).shape != (1, width):
        raise OutOfBounds("a boosting starts from another number of values than it adds to")


def _check_spline(spline: Any) -> None:
    """Check knots, coefficients and degree, which SciPy's evaluation trusts.

    SciPy's constructor, which loading goes past, also refuses equal knots; scikit-learn makes such splines of a column
    that is constant in the training data.
    """
    for array in (spline.t, spline.c):
        if not _is_array(array, np.dtype(np.float64)):
            raise OutOfBounds("a spline's knots or coefficients are no array of numbers")
    degree = spline.k
    if isinstance(degree, bool) or not isinstance(degree, int | np.integer) or degree < 0:
        raise OutOfBounds(f"a spline is of degree {str(degree)[:40]!r}")
    count = len(spline.t) - degree - 1
    if spline.t.ndim != 1 or not np.isfinite(spline.t).all() or (np.diff(spline.t) < 0).any():
        raise OutOfBounds("a spline's knots do not ascend")
    if count < degree + 1 or spline.c.ndim < 1 or spline.c.shape[0] < count:
        raise OutOfBounds("a spline has too few knots or coefficients for its degree")


def _check_texts(vectorizer: Any) -> None:
    if getattr(vectorizer, "input", "content") != "content":
        raise OutOfBounds("it reads files that are named in the data")


def _check_random_state(state: Any) -> None:
    if not 0 <= state.get_state(legacy=False)["state"]["pos"] <= 624:
        raise OutOfBounds("a random state is not within its buffer")


def _is_array(value: Any, dtype: np.dtype | None, dimensions: int | None = None) -> bool:
    """Whether the value is an array as native code takes it: of the type and dimensions, in one piece."""
    return (
        type(value) is np.ndarray
        and (dtype is None or value.dtype == dtype)
        and (dimensions is None or value.ndim == dimensions)
        and value.flags.c_contiguous
    )


def _count(model: Any, name: str) -> int:
    value = getattr(model, name, None)
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise OutOfBounds(f"{name} of a {type(model).__name__} is {str(value)[:40]!r}")
    return int(value)


def _parts(model: Any) -> Iterator[Any]:
    """Yield the model and all objects that it is made of, each once."""
    waiting, visited_ids = [model], set()
    while waiting:
        part = waiting.pop()
        if id(part) in visited_ids or isinstance(part, str | bytes | int | float | type | None):
            continue
        visited_ids.add(id(part))
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list | tuple | set):
            waiting += part
        elif isinstance(part, np.ndarray):
            waiting += part.ravel().tolist() if part.dtype == object else []
        else:
            yield part
            waiting += getattr(part, "__dict__", {}).values()


CHECKS = {
    "numpy.random.mtrand.RandomState": ("", _check_random_state),
    "scipy.interpolate._bsplines.BSpline": ("", _check_spline),
    "sklearn.ensemble._forest.BaseForest": ("estimators_", _check_forest),
    "sklearn.ensemble._gb.BaseGradientBoosting": ("estimators_", _check_gradient_boosting),
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.BaseHistGradientBoosting": (
        "_predictors",
        _check_boosting,
    ),
    "sklearn.feature_extraction.text._VectorizerMixin": ("", _check_texts),
    "sklearn.tree._classes.BaseDecisionTree": ("tree_", _check_decision_tree),
}
"""By the name of a class, or of one that it is derived from: the attribute that it has once it is fitted, and the check
of its arrays."""

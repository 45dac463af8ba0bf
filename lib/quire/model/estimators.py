"""Estimators to choose from: how each takes the features, its defaults, and the values that a search tries.

Every pipeline is a ColumnTransformer of scikit-learn's transformers (``numbers``, ``categories``, ...) and a final
estimator (``model``), so that it can be saved with a short list of trusted types and evaluated on plain arrays.
"""

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, SplineTransformer, StandardScaler, TargetEncoder

from quire.config import Estimator, Schema
from quire.errors import ConfigError, near
from quire.model.features import FAR_BELOW, input_names

BEST = "best"
NAMES = tuple(name for name in get_args(Estimator) if name != BEST)

MANY_CATEGORIES = 100
"""A column with more categories is encoded by the mean of the target: a column for each would be too wide."""

LEVELS = ("hour", "weekday", "month", "is_weekend", "hour_of_week")
"""Calendar parts with few values, each of which a linear estimator gives a term of its own."""

DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "linear": {"regression": {"alpha": 1.0}, "count": {"alpha": 1e-3}, "classification": {"C": 1.0}},
    "random_forest": {
        "regression": {"min_samples_leaf": 2, "max_features": 0.7},
        "count": {"min_samples_leaf": 2, "max_features": 0.7},
        "classification": {"min_samples_leaf": 5, "max_features": "sqrt"},
    },
    "hist_gradient_boosting": {
        "regression": {"max_leaf_nodes": 8, "max_iter": 600, "learning_rate": 0.1, "l2_regularization": 1.0},
        "count": {
            "loss": "poisson",
            "max_leaf_nodes": 8,
            "max_iter": 600,
            "learning_rate": 0.1,
            "l2_regularization": 1.0,
        },
        "classification": {
            "max_iter": 120,
            "learning_rate": 0.05,
            "max_leaf_nodes": 7,
            "min_samples_leaf": 40,
            "max_features": 0.5,
            "l2_regularization": 1.0,
        },
    },
}
"""The first trial of every search, by estimator and kind of target; found on the data sets that Quire ships with."""

SPACES: dict[str, dict[str, dict[str, list[Any]]]] = {
    "linear": {
        "regression": {"alpha": [0.01, 0.1, 1.0, 10.0, 100.0]},
        "count": {"alpha": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]},
        "classification": {"C": [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]},
    },
    "random_forest": {
        "regression": {"min_samples_leaf": [1, 2, 5, 10, 20], "max_features": ["sqrt", 0.3, 0.5, 0.7, 1.0]},
        "classification": {"min_samples_leaf": [1, 2, 5, 10, 20], "max_features": ["sqrt", 0.3, 0.5, 0.7, 1.0]},
    },
    "hist_gradient_boosting": {
        "regression": {
            "max_leaf_nodes": [4, 8, 12, 20, 31],
            "max_iter": [300, 600, 900],
            "learning_rate": [0.05, 0.1],
            "min_samples_leaf": [10, 20, 40],
            "max_features": [0.3, 0.5, 1.0],
            "l2_regularization": [0.1, 1.0, 10.0],
        },
        "classification": {
            "max_iter": [80, 120, 200],
            "learning_rate": [0.03, 0.05, 0.08],
            "max_leaf_nodes": [5, 7, 15, 31],
            "min_samples_leaf": [20, 40, 80],
            "max_features": [0.3, 0.5, 0.8],
            "l2_regularization": [0.1, 1.0, 10.0],
        },
    },
}
"""Values that the other trials are drawn from; ``search.space`` in params.yaml replaces them by name."""

for _spaces in (SPACES["random_forest"], SPACES["hist_gradient_boosting"]):
    _spaces["count"] = _spaces["regression"]


def build_pipeline(
    name: str,
    schema: Schema,
    categories: Mapping[str, list[str]],
    *,
    kind: str,
    gaps: tuple[str, ...] = (),
    seed: int = 0,
) -> Pipeline:
    """Return an unfitted pipeline with the estimator's defaults.

    name: one of `NAMES`. categories: those of each column that is not numeric, in order. kind: of the target, as
    `target_kind` says. gaps: columns in which values are missing. Raises ConfigError for an unknown name.
    """
    check_name(name)
    numbers = input_names(schema)[0]
    if name == "linear":
        columns = _prepare_linear(numbers, categories, schema, seed)
    else:
        columns = _prepare_trees(numbers, gaps, categories, schema, seed)
    transformer = ColumnTransformer(columns, remainder="drop", verbose_feature_names_out=False)
    return Pipeline([("features", transformer), ("model", _estimator(name, kind, seed))])


def target_kind(schema: Schema, y: np.ndarray) -> str:
    """Return ``classification``, ``count`` for a number that the schema says is never negative, or ``regression``.

    A count (or any amount) is fitted on a log scale by a Poisson loss, which suits what is seasonal by factors.
    """
    if schema.task != "regression":
        return "classification"
    minimum = schema.columns[schema.target].minimum
    return "count" if minimum is not None and minimum >= 0 and y.min() >= 0 and y.sum() > 0 else "regression"


def search_space(name: str, kind: str, own: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Return the values to try by parameter: the estimator's, with those that params.yaml gives in their place."""
    return {**SPACES[name][kind], **own}


def check_space(names: tuple[str, ...], kind: str, own: Mapping[str, list[Any]]) -> None:
    """Raise ConfigError if ``search.space`` has a parameter that no estimator takes, or one without values."""
    parameters = sorted({parameter for name in names for parameter in _estimator(name, kind, 0).get_params()})
    for parameter, values in own.items():
        if parameter not in parameters:
            raise ConfigError(
                f"params.yaml: train.search.space has {parameter!r}, which {' and '.join(names)} do not take; "
                f"known: {', '.join(parameters)}.{near(parameter, parameters)}"
            )
        if not values:
            raise ConfigError(f"params.yaml: train.search.space.{parameter} is an empty list; give values to try.")


def check_name(name: str) -> None:
    """Raise ConfigError unless ``name`` is an estimator to choose from."""
    names = (*NAMES, BEST)
    if name not in names:
        raise ConfigError(f"params.yaml: train.estimator is {name!r}; known: {', '.join(names)}.{near(name, names)}")


def _estimator(name: str, kind: str, seed: int) -> Any:
    options = DEFAULTS[name][kind]
    classify = kind == "classification"
    if name == "linear":
        if classify:
            return LogisticRegression(max_iter=2000, **options)
        return PoissonRegressor(solver="newton-cholesky", **options) if kind == "count" else Ridge(**options)
    if name == "random_forest":
        # One job: the sum over trees in several threads has no fixed order, so the last digit would change.
        forest = RandomForestClassifier if classify else RandomForestRegressor
        return forest(n_estimators=150, random_state=seed, n_jobs=1, **options)
    boosting = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor
    # Early stopping would hold out rows at random, which for rows in time order tells nothing.
    return boosting(random_state=seed, early_stopping=False, **options)


def _prepare_trees(
    numbers: list[str], gaps: tuple[str, ...], categories: Mapping[str, list[str]], schema: Schema, seed: int
) -> list[Any]:
    few, many = _by_size(categories)
    whole, partial = ([name for name in few if (name in gaps) is has_gaps] for has_gaps in (False, True))
    # Trees take NaN, but gradient boosting fails on a fold where a column has no value at all (scikit-learn 1.9).
    low = SimpleImputer(strategy="constant", fill_value=FAR_BELOW, keep_empty_features=True)
    return _present(
        ("numbers", "passthrough", [name for name in numbers if name not in gaps]),
        ("gaps", low, [name for name in numbers if name in gaps]),
        ("categories", _codes(whole, categories, unknown=np.nan), whole),
        ("category_gaps", _codes(partial, categories, unknown=-1), partial),
        _encode_many(many, schema, seed),
    )


def _codes(names: list[str], categories: Mapping[str, list[str]], *, unknown: float) -> OrdinalEncoder:
    """Return codes in the schema's order: trees cut an order where it means something, and isolate few categories.

    unknown: the code of what is missing or not among the categories.
    """
    return OrdinalEncoder(
        categories=[categories[name] for name in names],
        handle_unknown="use_encoded_value",
        unknown_value=unknown,
        encoded_missing_value=np.nan,
    )


def _prepare_linear(numbers: list[str], categories: Mapping[str, list[str]], schema: Schema, seed: int) -> list[Any]:
    few, many = _by_size(categories)
    # Linear in a spline's terms: an additive model that follows a bend, such as demand over temperature.
    curves = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True), SplineTransformer(n_knots=5), StandardScaler()
    )
    parts = _calendar_parts(schema)
    levels = [name for name in numbers if parts.get(name) in LEVELS]
    trends = [name for name in numbers if parts.get(name) == "elapsed_days"]
    # A spline is flat beyond what it has seen; time goes on.
    straight = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    dummies = OneHotEncoder(handle_unknown="ignore")
    return _present(
        ("numbers", curves, [name for name in numbers if name not in (*levels, *trends)]),
        ("trend", straight, trends),
        ("categories", dummies, few),
        ("calendar", dummies, levels),
        _encode_many(many, schema, seed),
    )


def _encode_many(many: list[str], schema: Schema, seed: int) -> tuple[str, Any, list[str]]:
    target_type = "continuous" if schema.task == "regression" else schema.task
    encoder = TargetEncoder(target_type=target_type, random_state=seed)
    return "many", make_pipeline(encoder, StandardScaler()), many


def _by_size(categories: Mapping[str, list[str]]) -> tuple[list[str], list[str]]:
    few = [name for name, values in categories.items() if len(values) <= MANY_CATEGORIES]
    return few, [name for name in categories if name not in few]


def _calendar_parts(schema: Schema) -> dict[str, str]:
    return {
        f"{name}_{part}": part
        for name, column in schema.columns.items()
        if column.type == "datetime"
        for part in column.calendar or ("elapsed_days",)
    }


def _present(*columns: tuple[str, Any, list[str]]) -> list[Any]:
    return [column for column in columns if column[2]]

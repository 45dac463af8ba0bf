"""params.yaml: how each notebook works. The values that are more than a number are entities, read by their name."""

from typing import Any, Literal

from pydantic import Field

from quire.config.yaml import Entity

Estimator = Literal["linear", "random_forest", "hist_gradient_boosting", "best"]
"""What is fitted; ``best`` searches all of the others and takes the one with the best score in cross-validation."""


class Search(Entity):
    """Hyperparameter search: how many candidates, how many folds, and which values.

    scoring: the metric that is searched for, as scikit-learn names it, such as ``mae``; by default that of the task.
    space: values to try instead of the estimator's own, by the name of its parameter.
    """

    trials: int = Field(default=8, ge=1)
    folds: int = Field(default=4, ge=2)
    scoring: str | None = None
    space: dict[str, list[Any]] = {}


class Decision(Entity):
    """From which probability on a binary model predicts the positive class; found on out-of-fold predictions.

    rule: ``f1`` and ``youden`` (sensitivity + specificity - 1) take the threshold with the highest value, ``cost``
    that with the lowest cost of errors, ``fixed`` takes ``threshold``.
    """

    rule: Literal["fixed", "f1", "youden", "cost"] = "f1"
    threshold: float = Field(default=0.5, gt=0, lt=1)
    false_positive_cost: float = Field(default=1.0, gt=0)
    false_negative_cost: float = Field(default=1.0, gt=0)


class Gate(Entity):
    """What a candidate must show before it may replace the champion, on the same test data.

    The rules about the evidence come first: where the test rows are too few, or the data breaks its own rules, nothing
    is promoted, with or without a champion, whatever the metrics say.
    """

    metric: str = Field(default="", description="What decides; empty: r2, roc_auc or log_loss, by the task.")
    min_test_rows: int = Field(
        default=20,
        ge=1,
        description="Test rows below which nothing is promoted. With fewer than 20 rows the ends of a 95 % bootstrap "
        "interval, each the fortieth part of the draws, are set by one or two rows, and cover the truth too seldom.",
    )
    min_positives: int = Field(
        default=10,
        ge=1,
        description="Test rows that each of the two classes of a binary task must have. Of 10 positives a recall is "
        "known to within 31 points either way (1.96 times the root of 0.25/10), of 5 to within 44, of 1 not at all.",
    )
    min_class_rows: int = Field(
        default=5,
        ge=0,
        description="Test rows that each class of a multiclass task must have. A class of 5 rows is missing from fewer "
        "than 1 in 100 draws of the bootstrap (e to the power of -5). 0: rare classes are not counted.",
    )
    max_rule_breaks: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of the rows of train and test that may break a rule of schema.yaml. Beyond it validation "
        "can only have warned, and the model learned from, and was judged on, data that is not what it should be. "
        "Twice the share that validation tolerates of any rule (validate.tolerance); 1 promotes all the same.",
    )
    min_gain: float = Field(default=0.0, description="By how much it must beat the champion, in the metric's unit.")
    undecided: Literal["keep", "promote"] = Field(
        default="keep",
        description="What stands when it does not beat the champion, but the difference is within chance: keep, the "
        "champion; promote, the newer model. Two models that predict the same are one: nothing is promoted.",
    )
    incomparable: Literal["ask", "keep", "promote"] = Field(
        default="ask",
        description="What happens when the champion cannot be judged on the test rows, since a column that it needs "
        "is gone from the source, or the task or the target is another. ask: a candidate that passes all other rules "
        "waits for `quire promote`; keep: it is refused; promote: it replaces the champion unseen.",
    )
    max_segment_loss: float | None = Field(
        default=0.1,
        ge=0,
        description="Share by which its error may exceed the champion's in a segment; null: any.",
    )
    min_segment_rows: int = Field(default=100, ge=1, description="Test rows below which a segment is not judged.")
    floor: dict[str, float] = Field(default={}, description="By metric, what it must reach.")
    ceiling: dict[str, float] = Field(default={}, description="By metric, what it may not exceed.")
    approval: Literal["automatic", "manual"] = Field(
        default="automatic", description="manual: a candidate that passes waits for `quire promote`."
    )


Reference = Literal["training", "same_season", "previous"]


class ColumnDrift(Entity):
    """Drift of one column, where it differs from the others."""

    reference: Reference | None = None
    alert: float | None = Field(default=None, gt=0)
    warn: float | None = Field(default=None, gt=0)
    ignore: bool = False


class Drift(Entity):
    """When a column's difference from the reference is large, sure and unusual.

    alert, warn: PSI above which a difference is large. false_alarms: share of weeks in which independent rows may give
    a false alarm. unusual: share of weeks that may be beyond what the reference's windows show. min_windows: windows of
    the reference that must be known before what is usual is. ignore: columns that change by themselves, such as the
    year. season_days: how far the same season reaches, either side. previous: periods that are the reference of that
    name. zero_share: share of zeros from which on it is watched by itself.
    """

    alert: float = Field(default=0.10, gt=0)
    warn: float = Field(default=0.02, gt=0)
    reference: Reference = "training"
    ignore: tuple[str, ...] = Field(default=(), strict=False)  # a list, as YAML and notebooks have it
    columns: dict[str, ColumnDrift] = {}
    bins: int = Field(default=10, ge=2, le=50)
    categories: int = Field(default=20, ge=1)
    false_alarms: float = Field(default=0.001, gt=0, lt=1)
    unusual: float = Field(default=0.01, gt=0, lt=1)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    min_windows: int = Field(default=20, ge=3)
    season_days: float = Field(default=28.0, gt=0)
    previous: int = Field(default=8, ge=1)
    zero_share: float = Field(default=0.05, gt=0, lt=1)


class Checks(Entity):
    """When the data of a period is itself in question, whatever its distribution.

    missing: points of missing values above the reference that alert. rows: shares of the usual number of rows below
    and above which the count alerts. late: how long the last row may be older than as_of; empty for one period.
    """

    missing: float = Field(default=0.05, gt=0, le=1)
    out_of_range: float = Field(default=0.0, ge=0, le=1)
    new_categories: float = Field(default=0.0, ge=0, le=1)
    rows: tuple[float, float] = Field(default=(0.5, 2.0), strict=False)
    late: str = ""


class Performance(Entity):
    """When the model has become worse than it was on its test window.

    metric: what the verdict goes by; empty for mean absolute error or log loss. loss: relative worsening that is
    large. bias: mean of actual less predicted, as a share of the level, that is large. confidence: of intervals and
    bounds. min_windows: windows of the test that must be known before what is usual is. min_labelled: labelled rows
    below which nothing is judged. min_segment_rows: rows below which a segment is not shown.
    """

    metric: str = ""
    loss: float = Field(default=0.2, gt=0)
    bias: float = Field(default=0.1, gt=0)
    confidence: float = Field(default=0.99, gt=0, lt=1)
    min_windows: int = Field(default=4, ge=3)
    min_labelled: int = Field(default=50, ge=1)
    min_segment_rows: int = Field(default=30, ge=1)
    retrain: bool = True


Params = dict[str, dict[str, Any]]
"""A section per notebook, whose keys are the names in the notebook's ``parameters`` cell."""

ENTITIES: dict[str, type[Entity]] = {
    "search": Search,
    "decision": Decision,
    "gate": Gate,
    "drift": Drift,
    "checks": Checks,
    "performance": Performance,
}
"""Parameters with these names are dictionaries of a known form, checked when params.yaml is read."""

"""What moved a prediction: each feature in turn is set to its normal value, and the difference is its effect."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from quire.serve.loaded_model import LoadedModel, Prediction
from quire.serve.request_schema import Row


@dataclass(frozen=True)
class Effect:
    """How much a prediction would change back if one feature were normal.

    effect: prediction minus the one with ``normal`` in place of ``value``; for classes of the probability, in [-1, 1].
    """

    feature: str
    value: Any
    normal: Any
    effect: float


def variants(served: LoadedModel, row: Row) -> list[Row]:
    """Return the row, then the row with each feature set to its normal value; empty if the model knows none."""
    normal = normal_row(served)
    if normal is None:
        return []
    return [row, *((*row[:place], value, *row[place + 1 :]) for place, value in enumerate(normal))]


def normal_row(served: LoadedModel) -> Row | None:
    """Return the row of training medians and modes, or None where the model has none."""
    values = served.reference.get("values")
    return served.contract.row_of(values) if values else None


def effects(served: LoadedModel, row: Row, outcomes: Sequence[Prediction]) -> list[Effect]:
    """Return the effect of each feature, the largest first; those that change nothing are left out.

    outcomes: of `variants`, in their order.
    """
    normal = normal_row(served)
    if normal is None or not outcomes:
        return []
    base, *others = (_level(outcome, outcomes[0]) for outcome in outcomes)
    features = zip(served.schema.features, row, normal, others, strict=True)
    all_effects = [Effect(name, _plain(value), _plain(usual), base - other) for name, value, usual, other in features]
    return sorted((effect for effect in all_effects if effect.effect), key=lambda effect: -abs(effect.effect))


def _level(outcome: Prediction, first: Prediction) -> float:
    """Return the number to compare: the value, or the probability of what the first outcome predicts or of positive."""
    if outcome.probabilities is not None:
        return outcome.probabilities[str(first.prediction)]
    return outcome.probability if outcome.probability is not None else float(outcome.prediction)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value

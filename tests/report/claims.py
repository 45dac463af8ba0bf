"""What the sentences over the charts claim, computed again from the frame that each chart carries.

Each claim takes a chart's message and frame, and asserts that the one is true of the other. They compute in their own
way: from rows and plain Python numbers, not by the functions that word the sentence.
"""

from .claims_data import (
    change,
    classes,
    correlations,
    coverage,
    gaps,
    grid,
    lacking,
    missing,
    outliers,
    parts,
    relations,
    rhythm,
    shapes,
    strength,
    target,
)
from .claims_model import (
    calibration,
    confusion,
    contenders,
    distribution_of_errors,
    evaluated_segments,
    fit,
    importance,
    ranked,
    size,
    threshold,
    trials,
    worst,
)
from .claims_monitor import (
    course,
    details,
    history,
    overview,
    performance,
    predicted_classes,
    predicted_distribution,
    probability,
    segments,
    service,
    signed,
    spread,
)

BY_COLUMNS = (
    ({"before", "after"}, missing),
    ({"window", "steps"}, gaps),
    ({"window", "rows"}, parts),
    ({"year_before"}, change),
    ({"commonest"}, shapes),
    ({"feature", "strength"}, strength),
    ({"feature", "value", "mean"}, relations),
    ({"feature", "share"}, outliers),
    ({"feature", "importance"}, importance),
    ({"a", "b", "correlation"}, correlations),
    ({"chosen", "trial"}, trials),
    ({"contender"}, contenders),
    ({"loss_low"}, evaluated_segments),
    ({"observed"}, calibration),
    ({"at", "error"}, worst),
    ({"at", "low", "high", "value"}, course),
    ({"at", "rows"}, coverage),
    ({"left_out"}, history),
    ({"bin", "reference"}, details),
    ({"psi", "share"}, overview),
    ({"now", "test"}, spread),
    ({"now", "training"}, predicted_classes),
    ({"bias", "share"}, signed),
    ({"segment", "change"}, segments),
    ({"metric", "labelled"}, performance),
    ({"requests"}, service),
    ({"predicted", "actual", "rows"}, size),
    ({"predicted", "actual", "probability"}, ranked),
    ({"predicted", "actual"}, fit),
    ({"of", "value"}, predicted_distribution),
    ({"probability", "positive"}, None),
    ({"class", "share"}, classes),
    ({"column", "share"}, lacking),
    ({"error"}, distribution_of_errors),
    ({"value"}, target),
)


def check(message, frame):
    """Assert that ``message`` is true of ``frame``; returns the name of the claim that was checked."""
    columns = set(map(str, frame.columns))
    claim = next((claim for wanted, claim in BY_COLUMNS if wanted <= columns), "none")
    if claim == "none":
        claim = (
            rhythm
            if "peaks on" in message or "of the week" in message
            else grid
            if "check" in message or "rule" in message
            else confusion
        )
    if claim is None:
        claim = threshold if message.startswith("From") else probability
    claim(message, frame)
    return claim.__name__

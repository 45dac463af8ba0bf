"""Tests of the choice of a threshold."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from quire.config import Decision
from quire.model.metrics import Outcomes
from quire.model.threshold import choose_threshold, threshold_curve


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(0)
    score = rng.beta(2, 4, 3000)
    truth = (rng.random(3000) < score).astype(int)
    return Outcomes("binary", truth, (score >= 0.5).astype(int), np.column_stack([1 - score, score]), ("no", "yes"))


def test_the_curve_is_what_scikit_learn_computes(found):
    curve = threshold_curve(found, Decision())
    assert len(curve) <= 200
    for row in curve.iloc[::40].itertuples():
        said = found.score >= row.threshold
        assert row.flagged == pytest.approx(said.mean())
        assert row.precision == pytest.approx(precision_score(found.truth, said))
        assert row.recall == pytest.approx(recall_score(found.truth, said))
        assert row.f1 == pytest.approx(f1_score(found.truth, said))


def test_costs_move_the_threshold_to_where_theory_puts_it(found):
    for false_positive, false_negative in ((1, 1), (1, 4), (2, 1)):
        decision = Decision(rule="cost", false_positive_cost=false_positive, false_negative_cost=false_negative)
        # With probabilities that mean what they say the best threshold is this share; Elkan (2001).
        expected = false_positive / (false_positive + false_negative)
        assert choose_threshold(found, decision) == pytest.approx(expected, abs=0.1)


def test_each_rule_takes_its_own_best(found):
    curve = threshold_curve(found, Decision())
    for rule in ("f1", "youden"):
        best = curve.loc[curve[rule].idxmax(), "threshold"]
        assert choose_threshold(found, Decision(rule=rule)) == best
    assert choose_threshold(found, Decision(rule="fixed", threshold=0.7)) == 0.7

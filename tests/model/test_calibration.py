"""Tests of calibration."""

from statistics import NormalDist

import numpy as np
import pytest

from quire.model.calibration import calibration_curve, calibration_error
from quire.model.metrics import Outcomes


def binary(score, truth):
    return Outcomes("binary", truth, (score >= 0.5).astype(int), np.column_stack([1 - score, score]), ("no", "yes"))


def test_honest_probabilities_have_a_small_error_and_exaggerated_ones_a_large():
    rng = np.random.default_rng(0)
    score = rng.random(20_000)
    truth = (rng.random(20_000) < score).astype(int)
    honest, exaggerated = binary(score, truth), binary(np.where(score > 0.5, 0.99, 0.01), truth)
    assert calibration_error(honest) < 0.02
    assert calibration_error(exaggerated) == pytest.approx(0.24, abs=0.02)
    curve = calibration_curve(honest)
    assert curve["rows"].tolist() == [2000] * 10
    assert ((curve["low"] <= curve["predicted"]) & (curve["predicted"] <= curve["high"])).sum() >= 8


def test_the_interval_is_wilsons():
    curve = calibration_curve(binary(np.full(50, 0.2), np.r_[np.ones(10, int), np.zeros(40, int)]), bins=1)
    z, share, rows = NormalDist().inv_cdf(0.975), 0.2, 50
    ends = np.roots([1 + z**2 / rows, -(2 * share + z**2 / rows), share**2])
    assert sorted(ends) == pytest.approx([curve["low"].item(), curve["high"].item()], abs=1e-6)


def test_fewer_rows_than_bins_do_no_harm():
    assert len(calibration_curve(binary(np.array([0.1, 0.6, 0.9]), np.array([0, 1, 1])))) == 3

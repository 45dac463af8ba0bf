from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from quire.monitor import reference_bounds

WEEKS = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(weeks=week) for week in range(104)]


def test_a_window_is_compared_with_all_others_but_itself():
    mask = reference_bounds.reference_mask("training", WEEKS[:4], WEEKS[:4])
    assert mask.tolist() == (1 - np.eye(4)).tolist()


def test_a_later_period_is_compared_with_all_of_the_reference():
    assert reference_bounds.reference_mask("training", WEEKS[60:61], WEEKS[:52]).sum() == 52


def test_same_season_is_the_time_of_the_year_in_every_year():
    mask = reference_bounds.reference_mask("same_season", [WEEKS[0] + timedelta(days=2 * 365)], WEEKS, season_days=15)
    near = np.flatnonzero(mask[0])
    assert near.tolist() == [0, 1, 2, 50, 51, 52, 53, 54, 103]


def test_previous_are_the_periods_just_before():
    mask = reference_bounds.reference_mask("previous", [WEEKS[9]], WEEKS[:20], previous=3)
    assert np.flatnonzero(mask[0]).tolist() == [6, 7, 8]


def test_without_times_everything_is_the_reference():
    assert reference_bounds.reference_mask("same_season", [None], [None]).tolist() == [[1.0]]


def test_with_few_windows_what_is_usual_is_not_yet_known():
    assert np.isnan(reference_bounds.tolerance_bound(np.ones(19), tests=1))
    assert np.isnan(reference_bounds.usual_level(np.ones(19)))


def test_an_unknown_window_does_not_count():
    values = np.concatenate([np.ones(19), [np.nan] * 5])
    assert np.isnan(reference_bounds.tolerance_bound(values, tests=1))


def test_the_tolerance_factor_is_that_of_the_tables():
    # Krishnamoorthy and Mathew (2009), table B1: n = 20, 95% content, 95% confidence.
    assert reference_bounds.tolerance_factor(20, 0.05, 0.95) == pytest.approx(2.396, abs=0.002)


def test_the_bound_holds_what_it_promises_for_shifts_that_are_normal():
    rng = np.random.default_rng(0)
    beyond = []
    for _ in range(400):
        bound = reference_bounds.tolerance_bound(
            np.abs(rng.normal(1, 0.3, 52)) ** 2, tests=1, false_alarms=0.05, confidence=0.95
        )
        beyond.append(np.mean(np.abs(rng.normal(1, 0.3, 2_000)) ** 2 > bound))
    assert np.mean(np.array(beyond) <= 0.05) > 0.93


def test_the_bound_is_never_below_a_window_that_was_seen():
    values = np.concatenate([np.full(30, 0.01), [5.0]])
    assert reference_bounds.tolerance_bound(values, tests=1, false_alarms=0.4, confidence=0.5) >= 5.0


def test_fewer_windows_and_more_columns_widen_the_bound():
    values = np.random.default_rng(1).chisquare(3, 60)
    wide = reference_bounds.tolerance_bound(values[:25], tests=40) / values[:25].mean()
    assert wide > reference_bounds.tolerance_bound(values[:25], tests=2) / values[:25].mean()
    assert reference_bounds.tolerance_factor(25, 0.001, 0.95) > reference_bounds.tolerance_factor(60, 0.001, 0.95)


def test_the_level_is_median_and_four_deviations():
    values = np.arange(21, dtype=float)
    assert reference_bounds.usual_level(values) == 10 + 4 * 5

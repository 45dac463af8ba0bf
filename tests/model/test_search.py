"""Tests of the hyperparameter search."""

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from quire.model.search import choose, draw_settings

RIDGE = Pipeline([("model", Ridge(alpha=2.0))])


def test_the_default_is_tried_first_and_no_setting_twice():
    space = {"alpha": [1.0, 2.0, 3.0], "fit_intercept": [True, False]}
    settings = draw_settings(RIDGE, space, 50, seed=0)
    assert settings[0] == {"alpha": 2.0, "fit_intercept": True}
    assert len(settings) == len({tuple(sorted(one.items())) for one in settings}) == 6


def test_the_number_of_trials_is_kept():
    assert len(draw_settings(RIDGE, {"alpha": [1.0, 2.0, 3.0]}, 2, seed=0)) == 2
    assert draw_settings(RIDGE, {}, 3, seed=0) == [{}]


def test_a_default_that_the_space_leaves_out_is_not_tried():
    assert {one["alpha"] for one in draw_settings(RIDGE, {"alpha": [5.0, 7.0]}, 9, seed=0)} == {5.0, 7.0}


def test_values_for_another_estimator_are_left_to_it():
    assert draw_settings(RIDGE, {"alpha": [2.0], "max_iter_of_trees": [1]}, 4, seed=0) == [{"alpha": 2.0}]


def test_the_default_stays_unless_it_is_beaten_beyond_chance():
    default = np.array([0.80, 0.70, 0.90, 0.85])
    lucky = default + np.array([0.08, -0.05, 0.04, -0.03])
    better = default + np.array([0.02, 0.03, 0.02, 0.03])
    assert choose(np.array([default, lucky])) == 0
    assert choose(np.array([default, lucky, better])) == 2
    assert choose(np.array([default, default])) == 0

"""The house style of charts."""

import itertools

import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.colors import to_rgb

from quire import report

# Machado, Oliveira and Fernandes (2009): linear RGB as people without one kind of cone see it.
DEFICIENCIES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


def seen(colour, matrix):
    return np.clip(np.array(matrix) @ np.array(to_rgb(colour)) ** 2.2, 0, 1) ** (1 / 2.2)


def test_the_first_colours_of_a_series_can_be_told_apart_with_colour_blindness():
    for matrix in DEFICIENCIES.values():
        for one, two in itertools.combinations(report.PALETTE[:3], 2):
            assert np.linalg.norm(seen(one, matrix) - seen(two, matrix)) > 0.2, (one, two)


def test_good_and_bad_can_be_told_apart_with_colour_blindness():
    for matrix in DEFICIENCIES.values():
        assert np.linalg.norm(seen(report.GOOD, matrix) - seen(report.BAD, matrix)) > 0.2


def test_a_figure_is_known_to_nobody_who_would_show_it():
    before = pyplot.get_fignums()
    fig, axes = report.figure(2, 3, height=4)
    assert axes.shape == (2, 3)
    assert fig.get_size_inches().tolist() == [8.0, 4.0]
    assert pyplot.get_fignums() == before


def test_the_style_holds_for_every_chart_that_follows():
    with matplotlib.rc_context():
        report.style()
        assert matplotlib.rcParams["svg.fonttype"] == "none"
        assert matplotlib.rcParams["axes.prop_cycle"].by_key()["color"][0] == to_rgb(report.ACCENT)

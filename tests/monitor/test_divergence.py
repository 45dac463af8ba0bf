import numpy as np
import pytest
from scipy import stats

from quire.monitor import divergence

EQUAL = np.full(10, 100.0)


def test_equal_histograms_have_no_divergence():
    assert divergence.psi(EQUAL, EQUAL) == pytest.approx(0)


def test_psi_is_the_formula_of_the_books():
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.3, 0.3])
    expected = ((q - p) * np.log(q / p)).sum()
    assert divergence.psi(p * 1e7, q * 1e7) == pytest.approx(expected, rel=1e-5)


def test_psi_is_symmetric_and_an_empty_bin_is_finite():
    a, b = np.array([10.0, 0.0, 90.0]), np.array([0.0, 30.0, 70.0])
    assert np.isfinite(divergence.psi(a, b))
    assert divergence.psi(a, b) == pytest.approx(divergence.psi(b, a))


def test_psi_of_many_windows_is_that_of_each():
    windows = np.random.default_rng(0).poisson(20, (5, 10)).astype(float)
    assert divergence.psi(EQUAL, windows) == pytest.approx([divergence.psi(EQUAL, one) for one in windows])


def test_psi_without_rows_is_unknown():
    assert np.isnan(divergence.psi(EQUAL, np.zeros(10)))


def test_independent_rows_exceed_the_noise_as_often_as_is_asked():
    rng = np.random.default_rng(1)
    share = np.full(10, 0.1)
    psi = divergence.psi(rng.multinomial(20_000, share, 20_000), rng.multinomial(1_000, share, 20_000))
    noise = divergence.noise(20_000, 1_000, 10, tests=1, false_alarms=0.01)
    assert 0.006 < np.mean(psi > noise) < 0.014


def test_expected_psi_is_its_mean_for_independent_rows():
    rng = np.random.default_rng(2)
    share = np.full(10, 0.1)
    psi = divergence.psi(rng.multinomial(20_000, share, 5_000), rng.multinomial(2_000, share, 5_000))
    assert psi.mean() == pytest.approx(divergence.expected(20_000, 2_000, 10), rel=0.05)


def test_p_values_of_independent_rows_are_uniform():
    rng = np.random.default_rng(3)
    share = np.full(6, 1 / 6)
    psi = divergence.psi(rng.multinomial(50_000, share, 2_000), rng.multinomial(5_000, share, 2_000))
    p = divergence.p_value(psi, np.full(2_000, 50_000), np.full(2_000, 5_000), 6)
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_holm_corrects_as_by_hand_and_leaves_what_is_unknown():
    corrected = divergence.holm(np.array([0.01, np.nan, 0.04, 0.03]))
    assert corrected == pytest.approx([0.03, np.nan, 0.06, 0.06], nan_ok=True)


def test_ks_is_the_largest_distance_of_the_cumulated_shares():
    assert divergence.ks(np.array([50.0, 50.0]), np.array([80.0, 20.0])) == pytest.approx(0.3)


def test_wasserstein_of_a_shift_is_the_shift():
    quantiles = np.linspace(0, 1, 50)
    assert divergence.wasserstein(quantiles, quantiles + 0.4) == pytest.approx(0.4)

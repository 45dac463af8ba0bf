import numpy as np
import pytest

from quire.data.histogram import histogram_edges


@pytest.mark.parametrize(
    "values",
    [
        [0.0, 1.0, 5.0],
        [3.0],
        [0.0, 0.0],
        [1e17, 1e17],
        [1e17, 1e17 + 16],
        [0.1, 0.1 + 1e-17],
        [0.3, np.nextafter(0.3, 1)],
        [-1e-300, 1e-300],
        [-3e38, 3e38],
        [],
    ],
    ids=str,
)
def test_a_histogram_has_bins_for_values_as_close_as_they_come(values):
    edges = histogram_edges(np.array(values, float), 20)
    assert len(edges) == 21
    assert (np.diff(edges) > 0).all()
    assert np.histogram(values, edges)[0].sum() == len(values)

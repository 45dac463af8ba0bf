"""Tests of the search on a Dask cluster of processes."""

import sys

import pandas as pd
import pytest

from quire.config import Search
from quire.errors import ConfigError, ServiceError
from quire.model import workers
from quire.model.train import fit_candidate

distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install -e '.[dask]'")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    from quire.flow.cluster import local

    with local(2, tmp_path_factory.mktemp("cluster")) as running:
        running.wait_for_workers(2, timeout=60)
        yield running


@pytest.fixture(scope="module")
def client(cluster):
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as opened:
        yield opened


def done_by(client):
    """How many tasks of joblib the workers have done."""
    logs = client.run(lambda dask_worker: [str(entry) for entry in dask_worker.state.log])
    return {worker: sum("batch_of" in entry for entry in entries) for worker, entries in logs.items()}


@pytest.mark.parametrize("estimator", ["hist_gradient_boosting", "linear"])
def test_a_search_on_two_workers_gives_what_it_gives_here_to_the_last_digit(
    client, cluster, hourly_parts, hourly_schema, estimator
):
    space = {"max_iter": [20, 30]} if estimator == "hist_gradient_boosting" else {}
    search, before = Search(trials=2, folds=3, space=space), done_by(client)
    here = fit_candidate(hourly_parts[0], hourly_schema, estimator, search)
    there = fit_candidate(hourly_parts[0], hourly_schema, estimator, search, cluster=cluster.scheduler_address)
    shown = [name for name in here.trials if name != "seconds"]
    pd.testing.assert_frame_equal(there.trials[shown], here.trials[shown], check_exact=True)
    assert there.metrics == here.metrics
    assert there.fingerprint == here.fingerprint
    assert all(done_by(client)[worker] > number for worker, number in before.items())


def test_a_pipeline_learned_on_many_rows_does_not_depend_on_the_worker_s_threads(cluster, hourly_parts, hourly_schema):
    rows = hourly_parts[0]
    problem = hourly_schema, "linear", Search(trials=1, folds=2)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("quire.model.search.SMALL", 100)  # so that all threads of this machine are used
        here = fit_candidate(rows, *problem)
        there = fit_candidate(rows, *problem, cluster=cluster.scheduler_address)
    assert there.metrics == here.metrics


def test_workers_with_other_code_are_left_out_with_a_warning(client, cluster, hourly_parts, hourly_schema):
    before, search = done_by(client), Search(trials=1, folds=2, space={"max_iter": [20]})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(workers.np, "__version__", "1.0")
        with pytest.warns(UserWarning, match="The search is done here: tcp://.* have other code"):
            fit_candidate(hourly_parts[0], hourly_schema, search=search, cluster=cluster.scheduler_address)
    assert done_by(client) == before


def test_what_a_search_on_a_cluster_needs_is_said(monkeypatch):
    monkeypatch.setattr(workers, "CONNECT_WITHIN_S", 1)
    with (
        pytest.raises(ServiceError, match="No Dask scheduler answers"),
        workers.on_workers("tcp://127.0.0.1:1"),
    ):
        pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ConfigError, match=r"Dask is not installed: pip install -e '\.\[dask\]'"),
        workers.on_workers("tcp://127.0.0.1:1"),
    ):
        pass

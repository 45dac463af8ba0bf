"""Figures for Prometheus: of one worker, and of several together."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

from quire.serve.metrics import Metrics

LOG = SimpleNamespace(rows=7, state="up")


def text(metrics, log=LOG):
    return metrics.text(log).decode()


def test_requests_are_counted_by_path_and_status_and_timed_by_path():
    metrics = Metrics()
    for status, seconds in ((200, 0.003), (200, 0.004), (422, 0.001)):
        metrics.request("/predict", status, seconds)
    shown = text(metrics)
    assert 'quire_requests_total{path="/predict",status="200"} 2.0' in shown
    assert 'quire_requests_total{path="/predict",status="422"} 1.0' in shown
    assert 'quire_request_seconds_bucket{le="0.002",path="/predict"} 1.0' in shown
    assert 'quire_request_seconds_count{path="/predict"} 3.0' in shown


def test_a_swap_moves_the_served_version_and_is_counted():
    metrics = Metrics()
    for number in ("1", "2"):
        version = SimpleNamespace(name="demo", version=number, created_at=datetime.now(UTC))
        metrics.serves(SimpleNamespace(version=version, number=number))
    shown = text(metrics)
    assert 'quire_model{name="demo",version="1"} 0.0' in shown
    assert 'quire_model{name="demo",version="2"} 1.0' in shown
    assert "quire_model_swaps_total 1.0" in shown


def test_the_log_is_shown_as_it_is_now():
    metrics = Metrics()
    metrics.commit(5, 0.004)
    shown = text(metrics, SimpleNamespace(rows=3, state="it is down"))
    assert "quire_log_queued_rows 3.0" in shown
    assert "quire_log_up 0.0" in shown
    assert "quire_log_rows_total 5.0" in shown
    assert "quire_log_commit_seconds_count 1.0" in shown


def test_the_figures_of_several_workers_are_added_up(tmp_path):
    code = (
        "from types import SimpleNamespace; from quire.serve.metrics import Metrics; made = Metrics();"
        "made.predicted('1', 'service', 5); log = SimpleNamespace(rows=2, state='up'); print(made.text(log).decode())"
    )
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for worker in (1, 2):
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert f'quire_predictions_total{{source="service",version="1"}} {5 * worker}.0' in done.stdout

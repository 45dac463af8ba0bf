"""The registry keeps what a model's file hashed to, and every door to the model compares it."""

import logging

import numpy as np
import pytest
import skops.io
from tests.io.conftest import fitted, log, run_of

from quire.errors import ModelError
from quire.io import model_files, tracking

ANOTHER = r"model\.skops hashes to [0-9a-f]{12}, and the registry keeps [0-9a-f]{12}"


@pytest.fixture
def version(registry):
    run = run_of(registry.settings)
    return registry.promote(log(registry, run=run), run=run, reason="first")


def replace(folder, slope=9.0):
    """Put another model, of the same kind, in the place of the one in ``folder``."""
    (folder / model_files.PIPELINE).write_bytes(skops.io.dumps(fitted(slope)[0]))


def test_a_version_keeps_the_hash_of_what_was_trained(registry, version):
    kept = model_files.pipeline_sha256(registry.folder(version))
    assert version.tags[model_files.SHA256_TAG] == kept == registry.sha256(version)
    assert registry.sha256("models:/demo/1") == kept


@pytest.mark.parametrize("name", ["version", "uri"])
def test_a_version_whose_file_was_replaced_is_not_loaded(registry, version, name):
    replace(registry.folder(version))
    with pytest.raises(ModelError, match=ANOTHER):
        registry.load(version if name == "version" else f"models:/{version.name}/{version.version}")


def test_a_candidate_whose_file_was_replaced_is_not_loaded(registry):
    candidate = log(registry)
    replace(registry.folder(candidate))
    with pytest.raises(ModelError, match=ANOTHER):
        registry.load(candidate)


def test_a_candidate_that_was_replaced_in_the_run_is_not_registered(registry):
    run = run_of(registry.settings)
    candidate = log(registry, run=run)
    replace(run.path("model"))
    with pytest.raises(ModelError, match=ANOTHER):
        registry.promote(candidate, run=run, reason="first")
    assert registry.versions() == []


def test_no_alias_moves_to_a_version_whose_file_was_replaced(registry, version):
    second = registry.promote(log(registry, 2.0, run=None), reason="second")
    replace(registry.folder(version))
    with pytest.raises(ModelError, match=ANOTHER):
        registry.rollback()
    with pytest.raises(ModelError, match=ANOTHER):
        registry.promote(registry.version(version.version), reason="chosen by a person")
    assert registry.champion().version == second.version


def test_a_version_of_before_hashes_were_kept_loads_and_the_log_says_so_once(registry, version, caplog, monkeypatch):
    monkeypatch.setattr(tracking, "_UNSIGNED", set())
    registry.client.delete_model_version_tag(version.name, version.version, model_files.SHA256_TAG)
    old = registry.version(version.version)
    with caplog.at_level(logging.WARNING, "quire.models"):
        pipeline, X = fitted()
        for _ in range(3):
            np.testing.assert_array_equal(registry.load(old).predict(X), pipeline.predict(X))
    assert [record.message for record in caplog.records if "before hashes were kept" in record.message] == [
        "Version 1 of demo was registered before hashes were kept, so a changed file would not be noticed. "
        "The next version that is trained has one."
    ]

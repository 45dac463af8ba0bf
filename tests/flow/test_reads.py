"""Outside state that a stage reads: a result is reused only while that is as it was."""

import pytest

from quire import config
from quire.io.tracking_store import connect


@pytest.mark.slow
def test_after_a_change_of_champion_its_reader_runs_again_and_after_a_rollback_the_old_result_is_back(project):
    project.stage("a").stage("b", 'run.save("n", 1)', needs=["a"], reads=["champion"])
    settings = config.load("x", root=project.root)
    client = connect(settings)
    client.create_registered_model(settings.model_name)
    for _ in range(2):
        client.create_model_version(settings.model_name, source=str(project.root / "model"))

    client.set_registered_model_alias(settings.model_name, settings.alias, "1")
    first = project.run()
    assert project.statuses(first) == {"a": "succeeded", "b": "succeeded"}
    assert project.statuses(project.run()) == {"a": "reused", "b": "reused"}

    client.set_registered_model_alias(settings.model_name, settings.alias, "2")
    changed = project.run()
    assert project.statuses(changed) == {"a": "reused", "b": "succeeded"}
    assert changed.record["stages"]["b"]["why"] == "champion changed"

    client.set_registered_model_alias(settings.model_name, settings.alias, "1")
    back = project.run()
    assert project.statuses(back) == {"a": "reused", "b": "reused"}
    assert back.record["stages"]["b"]["made_by"] == first.record["run_id"]

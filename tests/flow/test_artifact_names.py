import pytest

from quire.errors import ConfigError


def test_two_stages_that_save_one_name_are_found_before_anything_starts(project):
    project.stage("a", 'run.save("same", 1)')
    project.stage("b", 'if True:\n    run.save("same", 2)', needs=["a"])
    with pytest.raises(ConfigError, match=r"a \(a.ipynb\) and b \(b.ipynb\) both save 'same'.*rename"):
        project.run()
    assert not (project.outputs / "runs").exists()


def test_parts_of_a_fan_out_and_hidden_names_may_repeat_and_what_is_no_python_is_passed_over(project):
    project.stage("part", 'run.save("size", 1)', parameters='region = ""', for_each={"region": ["north", "west"]})
    project.stage("a", "%time 1", 'run.save("_answer", 1)').stage("b", 'run.save("_answer", 2)')
    from quire import config
    from quire.flow.artifact_names import refuse_repeats, saved_names
    from quire.flow.graph import build

    graph = build(config.load("x", root=project.root), "train")
    refuse_repeats(graph)
    assert [saved_names(task) for task in graph.values()] == [["size"], ["size"], [], []]

import json
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire import config
from quire.errors import ConfigError
from quire.flow.context import Request
from quire.flow.graph import above, as_text, below, build, part_names
from quire.flow.run import prepare


@pytest.fixture
def diamond(project):
    project.stage("c", needs=["a"])
    project.stage("a").stage("b", needs=["a"]).stage("d", needs=["b", "c"])
    return config.load("x", root=project.root)


def test_stages_come_after_their_needs(diamond):
    assert list(build(diamond, "train")) == ["a", "c", "b", "d"]


def test_only_the_wanted_stages_and_what_they_need(diamond):
    assert list(build(diamond, "train", ["b"])) == ["a", "b"]


def test_above_and_below_are_transitive(diamond):
    graph = build(diamond, "train")
    assert above(graph, "d") == {"a", "b", "c"}
    assert below(graph, "a") == {"b", "c", "d"}


def test_an_unknown_stage_or_workflow_is_named_with_the_near_one(diamond):
    with pytest.raises(ConfigError, match=r"'trian'.*Did you mean 'train'"):
        build(diamond, "trian")
    with pytest.raises(ConfigError, match="--stages names 'e'"):
        build(diamond, "train", ["e"])


def test_a_missing_notebook_is_named(project):
    project.stage("first")
    (project.root / "notebooks" / "first.ipynb").rename(project.root / "notebooks" / "fist.ipynb")
    with pytest.raises(ConfigError, match=r"first.ipynb is not there.*Did you mean 'fist'"):
        build(config.load("x", root=project.root), "train")


def test_a_circle_and_an_unknown_need_are_mistakes(project):
    project.stage("a", needs=["b"]).stage("b", needs=["a"])
    with pytest.raises(ConfigError, match="circle: a -> b -> a"):
        config.load("x", root=project.root)
    project.stage("b", needs=["aa"])
    with pytest.raises(ConfigError, match="needs 'aa'"):
        config.load("x", root=project.root)


def test_a_fan_out_has_a_task_for_every_combination(project):
    project.stage("a", for_each={"region": ["n/s", "w"], "size": [1, 2]}, parameters='region = ""\nsize = 0')
    project.stage("b", needs=["a"])
    graph = build(config.load("x", root=project.root), "train")
    assert list(graph)[:4] == ["a.region-n_s.size-1", "a.region-n_s.size-2", "a.region-w.size-1", "a.region-w.size-2"]
    assert graph["a.region-w.size-2"].part == {"region": "w", "size": 2}
    assert graph["b"].needs == tuple(list(graph)[:4])


def test_the_text_shows_what_each_stage_needs(diamond):
    assert as_text(build(diamond, "train")).splitlines() == ["a", "c  <- a", "b  <- a", "d  <- c, b"]


def test_stages_side_by_side_share_the_cores_and_one_at_a_time_has_all(diamond, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    loaded = config.load("x", root=diamond.root)
    for jobs, threads in ((0, "4"), (1, "8")):
        request = Request(params="x", jobs=jobs)
        context = prepare(loaded, request, datetime.now(UTC), print)
        assert context.environment["OMP_NUM_THREADS"] == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "OMP_NUM_THREADS" not in context.environment


def test_a_stage_has_all_cores_but_those_of_what_can_still_run_beside_it(diamond, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    context = prepare(config.load("x", root=diamond.root), Request(params="x"), datetime.now(UTC), print)
    assert {name: context.threads(task) for name, task in context.graph.items()} == {"a": 8, "c": 4, "b": 4, "d": 8}
    context.record.content["stages"]["c"]["status"] = "reused"
    assert context.threads(context.graph["b"]) == 8
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert context.threads(context.graph["b"]) == 0


def parts(project, *values):
    project.stage("a", for_each={"region": list(values)}, parameters='region = ""')
    return {name: task.part["region"] for name, task in build(config.load("x", root=project.root), "train").items()}


@pytest.mark.parametrize(
    "values",
    [
        ["A B", "A/B"],
        ["A B", "A/B", "C+", "C#", "é", "e\u0301", "A_B"],
        [1, "1", 1.0, True, "True", None, "None"],
        ["a", "A"],
        ["x" * 300, "x" * 299 + "y"],
        ["", "_", " ", "."],
        [[1, 2], "[1, 2]", {"a": 1}, "{'a': 1}"],
        ["日" * 100, "日" * 101],
    ],
)
def test_parts_with_different_values_never_share_a_name_on_any_file_system(project, values):
    named = parts(project, *values)
    assert [json.dumps(value) for value in named.values()] == [json.dumps(value) for value in values]
    assert len({unicodedata.normalize("NFD", name).casefold() for name in named}) == len(values)
    assert all(len(name.encode()) < 200 and "/" not in name for name in named)
    assert parts(project, *reversed(values)) == named


def test_values_of_a_fan_out_that_do_not_collide_have_plain_names(project):
    assert list(parts(project, "north", "n/s", 3)) == ["a.region-north", "a.region-n_s", "a.region-3"]


@given(st.lists(st.text(max_size=5) | st.integers() | st.booleans() | st.floats(), unique_by=json.dumps, min_size=1))
@settings(max_examples=50, deadline=None)
def test_names_of_parts_are_as_many_as_the_values(values):
    names = part_names("a", [{"x": value} for value in values])
    assert len({name.casefold() for name in names}) == len(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["x", "y", "x"], r"for_each\.region is .*'x' stands 2 times; write each value once"),
        ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], r"stands 2 times"),
        ([1, 1], r"1 stands 2 times"),
        ([], r"expected one value at least"),
    ],
)
def test_equal_values_of_a_fan_out_are_refused_before_the_run(project, values, message):
    with pytest.raises(ConfigError, match=message):
        parts(project, *values)

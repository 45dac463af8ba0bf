import pytest
from pydantic import ValidationError

from quire.config import Stage, Workflow


def workflow(stages=None, workflows=None):
    stages = stages or {"a": {}, "b": {"needs": ("a",)}, "c": {"needs": ("a", "b")}}
    return Workflow(
        stages={name: Stage(notebook=name, **settings) for name, settings in stages.items()},
        workflows=workflows or {"all": tuple(stages)},
    )


def test_a_need_that_is_not_selected_is_met():
    chosen = workflow(workflows={"short": ("a", "c")}).selected("short")
    assert {name: stage.needs for name, stage in chosen.items()} == {"a": (), "c": ("a",)}


@pytest.mark.parametrize(
    ("stages", "workflows", "message"),
    [
        ({"a": {"needs": ("bb",)}, "b": {}}, None, "stage a needs 'bb', which is no stage"),
        ({"a": {}}, {"all": ("a", "x")}, "workflow all names 'x', which is no stage"),
        ({"a": {"needs": ("b",)}, "b": {"needs": ("a",)}}, None, "in a circle: a -> b -> a"),
        ({"a": {"needs": ("a",)}}, None, "in a circle: a -> a"),
        ({"A": {}}, None, "'A' is no stage name"),
        ({"a": {"on_signal": {"retrain": {"workflow": "trian"}}}}, {"train": ("a",)}, "Did you mean 'train'"),
        ({"a": {"retries": -1}}, None, "retries"),
        ({"a": {"reads": ("champoin",)}}, None, "reads"),
    ],
)
def test_a_workflow_that_cannot_run_is_refused(stages, workflows, message):
    with pytest.raises(ValidationError, match=message):
        workflow(stages, workflows)

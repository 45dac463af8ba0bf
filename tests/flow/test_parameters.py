import json
import shutil
from pathlib import Path

import pytest

from quire import config
from quire.errors import ConfigError
from quire.flow.graph import build
from quire.flow.parameters import kept_defaults, parse_overrides, read_signature, resolve

CELL = """
"A text is no parameter."
seed = 7  # any
rate: float = 1  # per hour
names: list[str] = []
gate: dict = {}
limit: int | None = None
anything = None
"""


def resolved(project, overrides=()):
    settings = config.load("x", root=project.root)
    return resolve(settings, build(settings, "train"), parse_overrides(overrides))


@pytest.fixture
def one(project):
    return project.stage("train", parameters=CELL)


def test_defaults_then_params_then_overrides(one):
    one.params(train={"seed": 8, "rate": 2})
    values = resolved(one, ["train.rate=3.5"])["train"]
    assert (values["seed"], values["rate"], values["limit"]) == (8, 3.5, None)


def test_values_on_the_command_line_are_yaml(one):
    overrides = parse_overrides(["a.b=[1, x]", "a.c=yes", "a.d=", "a.e=k=v", 'a.f="7"', "a.g=null"])
    assert overrides["a"] == {"b": [1, "x"], "c": "yes", "d": "", "e": "k=v", "f": "7", "g": None}


@pytest.mark.parametrize("text", ["seed=1", "train.seed", ".seed=1", "train.=1"])
def test_an_override_of_another_form_is_a_mistake(text):
    with pytest.raises(ConfigError, match=r"stage\.name=value"):
        parse_overrides([text])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.sead=1", "train.sead is not a parameter.*Did you mean 'seed'"),
        ("train.seed=1.5", "train.seed is 1.5, of type float; expected int"),
        ("train.seed=true", "of type bool; expected int"),
        ("train.rate=fast", "expected float"),
        ("train.limit=x", "expected int or None"),
        ("trian.seed=1", "'trian' is no stage.*Did you mean 'train'"),
        ("train.run_dir=x", "given by the runner"),
        ("train.gate={flor: {}}", "flor.*Did you mean 'floor'"),
    ],
)
def test_a_wrong_name_or_type_is_named(one, override, words):
    with pytest.raises(ConfigError, match=f"(?s){words}"):
        resolved(one, [override])


@pytest.mark.parametrize("override", ["train.rate=2", "train.limit=3", "train.seed=null", "train.anything=[1]"])
def test_an_int_fits_a_float_and_none_fits_anything(one, override):
    resolved(one, [override])


def test_all_mistakes_are_told_at_once(one):
    one.params(train={"sead": 1}, trian={})
    with pytest.raises(ConfigError) as caught:
        resolved(one, ["train.rate=x"])
    assert len(str(caught.value).splitlines()) == 3


def test_a_lost_tag_is_a_mistake_and_says_how_to_mend_it(one):
    path = one.root / "notebooks" / "train.ipynb"
    path.write_text(path.read_text().replace('"parameters"', '"parametres"'))
    with pytest.raises(ConfigError, match=r"(?s)no cell with the tag 'parameters'.*Property Inspector"):
        resolved(one)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("x = 1 + n", "no plain value"),
        ("import os", "no parameter"),
        ("x, y = 1, 2", "no parameter"),
        ("x =", "not valid"),
    ],
)
def test_what_is_no_literal_is_a_mistake(one, line, words):
    one.notebook("train", parameters=line)
    with pytest.raises(ConfigError, match=words):
        resolved(one)


def test_a_cell_without_run_dir_is_a_mistake(one):
    path = one.root / "notebooks" / "train.ipynb"
    path.write_text(path.read_text().replace("run_dir =", "run_dirr ="))
    with pytest.raises(ConfigError, match="lacks 'run_dir'"):
        resolved(one)


def test_what_is_no_notebook_is_a_mistake(one):
    (one.root / "notebooks" / "train.ipynb").write_text(json.dumps({"worksheets": []}))
    with pytest.raises(ConfigError, match="not a notebook"):
        resolved(one)


def test_annotations_count_before_the_default(one):
    signature = read_signature(one.root / "notebooks" / "train.ipynb")
    assert signature["rate"].types == ("float",)
    assert signature["names"].types == ("list",)
    assert signature["limit"].types == ("int", "None")
    assert signature["anything"].types == ()


UNCHANGED = {
    "keys that are numbers": "{1: 'a', 2: {3: [4]}}",
    "a key that is a truth value": "{True: 1, None: 2}",
    "a set": "{'a', 'b'}",
    "a tuple": "(1, (2, 'x'))",
    "a tuple in a list": "[(1, 2)]",
    "bytes": "b'\\x00\\xff'",
    "a complex number": "1 + 2j",
    "an ellipsis": "...",
    "a list": "[1, 2.5, None, True, {'a': ['b']}]",
    "a text": "'é\\n\"quoted\" {x} $y'",
}


@pytest.mark.parametrize("what", UNCHANGED)
def test_a_default_reaches_the_notebook_as_it_is(project, what):
    """Papermill's own translation is applied, and must not change what the notebook's cell says."""
    from papermill.translators import PythonTranslator

    literal = UNCHANGED[what]
    project.stage("a", parameters=f"x = {literal}")
    values = resolved(project)["a"]
    space = {"x": eval(literal)}
    exec(PythonTranslator.codify(values), space)
    assert repr(space["x"]) == repr(eval(literal))


def test_an_edit_of_a_default_that_is_not_injected_is_part_of_the_key(project):
    kept = []
    for literal in ("{1: 'a'}", "{1: 'b'}", "{'a', 'b'}", "{'b', 'a'}", "{'a'}", "(1,)", "[(1,)]"):
        project.stage("a", parameters=f"x = {literal}")
        kept.append(kept_defaults(project.root / "notebooks" / "a.ipynb", resolved(project)["a"])["x"])
    assert kept[2] == kept[3]
    assert len(set(kept)) == len(kept) - 1


@pytest.mark.parametrize(
    ("default", "given", "message"),
    [
        (
            "{1: 'a'}",
            {1: "b"},
            r"params\.yaml: a\.x has, here or in the parameters cell of a\.ipynb, the key 1",
        ),
        ("{1: 'a'}", {"1": "b"}, r"the key 1 of type int.*Write the text '1' in both"),
        ("{}", {2: "b"}, r"the key 2 of type int"),
        ("{'a': {}}", {"a": {True: "b"}}, r"the key True of type bool"),
        ("[]", [{3: 1}], r"the key 3 of type int"),
        (
            "{'a', 'b'}",
            ["a"],
            r"replaces \{.*\} of the parameters cell of a\.ipynb, of type set, which",
        ),
        ("b'x'", "x", r"of type bytes, which a run cannot give"),
        ("1j", 2, r"of type complex"),
    ],
)
def test_a_value_that_a_run_would_change_is_refused_with_file_cell_and_remedy(project, default, given, message):
    project.stage("a", parameters=f"x = {default}").params(a={"x": given})
    with pytest.raises(ConfigError, match=message):
        resolved(project)


def test_a_list_may_take_the_place_of_a_tuple(project):
    project.stage("a", parameters="x = (1, 2)").params(a={"x": [3]})
    assert resolved(project)["a"]["x"] == [3]


@pytest.mark.parametrize(
    ("stage", "values", "words"),
    [
        ("train", {"estimator": "lightgbm"}, "train.estimator is 'lightgbm'; known: linear, random_forest"),
        ("train", {"estimator": "linaer"}, "Did you mean 'linear'"),
        (
            "train",
            {"search": {"scoring": "auc"}},
            "train.search.scoring is 'auc'; known for a regression task: r2, mae",
        ),
        ("evaluate", {"gate": {"metric": "pinball"}}, "evaluate.gate.metric is 'pinball'; known for a regression task"),
        ("evaluate", {"gate": {"floor": {"r22": 0.5}}}, "evaluate.gate.floor.r22 is 'r22'.*Did you mean 'r2'"),
        ("evaluate", {"gate": {"ceiling": {"mea": 1.0}}}, "evaluate.gate.ceiling.mea is 'mea'.*Did you mean 'mae'"),
        ("monitor", {"performance": {"metric": "log_loss"}}, "monitor.performance.metric is 'log_loss'"),
        (
            "monitor",
            {"drift": {"ignore": ["hum", "wheather"]}},
            "drift.ignore.1 is 'wheather'; known: .*Did you mean 'w",
        ),
        ("monitor", {"drift": {"columns": {"tmp": {"alert": 0.2}}}}, "drift.columns.tmp is 'tmp'.*Did you mean 'temp'"),
        ("monitor", {"drift": {"columns": {"predictoin": {"ignore": True}}}}, "Did you mean 'prediction'"),
        ("monitor", {"drift": {"ignore": ["probability_1"]}}, "drift.ignore.0 is 'probability_1'"),
        ("evaluate", {"decision": {"rule": "costs"}}, "rule is 'costs'.*Did you mean 'cost'"),
        ("train", {"decision": {"false_positve_cost": 2.0}}, "Did you mean 'false_positive_cost'"),
    ],
)
def test_names_are_checked_before_any_kernel_with_where_they_stand(tmp_path, stage, values, words):
    root = Path(__file__).parents[2]
    shutil.copytree(root / "params", tmp_path / "params")
    (tmp_path / "notebooks").symlink_to(root / "notebooks")

    def resolve_with(*overrides):
        settings = config.load("demo", root=tmp_path)
        return resolve(settings, build(settings, "train"), parse_overrides(overrides))

    (name, value), *_ = values.items()
    with pytest.raises(ConfigError, match=words) as on_the_line:
        resolve_with(f"{stage}.{name}={json.dumps(value)}")
    assert str(on_the_line.value).startswith(f"-p {stage}.{name}")
    params = tmp_path / "params" / "demo" / "params.yaml"
    params.write_text(f"# a comment\n{stage}:\n  {name}: {json.dumps(value)}\n")
    with pytest.raises(ConfigError, match=words) as in_the_file:
        resolve_with()
    assert "params.yaml:3: " in str(in_the_file.value)


def test_a_column_of_segments_is_a_feature(tmp_path):
    root = Path(__file__).parents[2]
    settings = config.load("segments", root=root)
    with pytest.raises(ConfigError, match=r"-p train_segment.column=workinday: .*Did you mean 'workingday'"):
        resolve(settings, build(settings, "train"), parse_overrides(["train_segment.column=workinday"]))


def test_a_notebook_of_ones_own_may_call_anything_an_estimator(project):
    stage = project.stage("train", parameters='estimator = "mine"\n')
    stage.params(train={"estimator": "yours"})
    assert resolved(stage)["train"]["estimator"] == "yours"


def test_every_use_case_passes():
    root = Path(__file__).parents[2]
    for name in config.use_cases(root):
        settings = config.load(name, root=root)
        assert resolve(settings, build(settings, "train"))

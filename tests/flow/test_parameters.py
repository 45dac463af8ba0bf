import json

import pytest

from quire import config
from quire.errors import ConfigError
from quire.flow.graph import build
from quire.flow.parameters import parse_overrides, read_signature, resolve

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

from pathlib import Path

import pytest
from pydantic import Field

from quire.config.yaml import Document, Entity, expand, read_document
from quire.errors import ConfigError

PATH = Path("params/shop/config.yaml")


class Inner(Entity):
    size: int = 0
    names: tuple[str, ...] = ()


class Outer(Entity):
    inner: Inner
    text: str = ""
    many: dict[str, Inner] = Field(default={})


def read(text, environment=None):
    return Document(PATH, text).read(Outer, environment or {})


def test_yes_and_no_and_dates_and_codes_are_text():
    raw = Document(PATH, "a: [No, yes, on, 2024-01-01, 012, 1_000]").raw
    assert raw["a"] == ["No", "yes", "on", "2024-01-01", "012", "1_000"]
    assert Document(PATH, "a: [true, null, ~, 1.5, -2, 1e3]").raw["a"] == [True, None, None, 1.5, -2, 1000.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "inner:\n  sise: 3",
            r"config\.yaml:2: inner\.sise is not a known key; known keys: names, size\. Did you mean 'size'\?",
        ),
        ("inner:\n  size: big", r"config\.yaml:2: inner\.size is 'big'; expected a valid integer"),
        ("inner:\n  size: 1.5", r"config\.yaml:2: inner\.size is 1\.5"),
        ("inner:\n  size: true", r"config\.yaml:2: inner\.size is True"),
        ("inner:\n  size: '3'", r"config\.yaml:2: inner\.size is '3'"),
        ("inner:\n  names: [a, 3]", r"config\.yaml:2: inner\.names\.1 is 3"),
        ("text: a", r"config\.yaml:1: the key 'inner' is missing"),
        (
            "inner: {}\nmany:\n  one:\n    sizes: 1",
            r"config\.yaml:4: many\.one\.sizes is not a known key.*Did you mean 'size'",
        ),
        ("inner: {}\ninner: {}", r"config\.yaml:2: the key 'inner' stands twice, first on line 1"),
        ("inner: {", "is not valid YAML"),
        ("- a\n- b", "expected keys and values at the top, found list"),
    ],
)
def test_a_mistake_is_told_with_file_line_key_and_what_was_expected(text, message):
    with pytest.raises(ConfigError, match=message):
        read(text)


def test_all_mistakes_of_a_file_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        read("inner:\n  sise: 3\ntext: 4")
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("${HOST}", {"HOST": "a"}, "a"),
        ("x-${HOST}-${PORT:-1}", {"HOST": "a"}, "x-a-1"),
        ("${HOST:-}", {}, ""),
        ("${HOST:-b}", {"HOST": ""}, "b"),
        ("${HOST:-b}", {"HOST": "a"}, "a"),
        ("costs $5", {}, "costs $5"),
    ],
)
def test_references_are_taken_from_the_environment(text, environment, expected):
    assert expand({"a": [text]}, environment, where="x") == {"a": [expected]}


def test_a_reference_that_is_not_set_is_told_with_the_nearest():
    with pytest.raises(ConfigError, match=r"\$\{HOTS\} is not set.*Did you mean 'HOST'"):
        expand("${HOTS}", {"HOST": "a"}, where="x")


def test_a_secret_in_a_wrong_place_is_not_shown_by_its_message():
    with pytest.raises(ConfigError) as caught:
        read("inner:\n  size: ${TOKEN}", {"TOKEN": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_missing_file_is_told():
    with pytest.raises(ConfigError, match=r"is not there.*quire init"):
        read_document(Path("nowhere.yaml"))


def test_an_empty_file_reads_as_nothing():
    assert Document(PATH, "# only a remark\n").raw == {}

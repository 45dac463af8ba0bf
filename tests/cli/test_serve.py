"""``quire serve`` before it serves: its options, and the keys that it makes. What it serves: tests/serve."""

import hashlib
import re

import pytest
from click.testing import CliRunner

from quire.cli.main import main


def quire(*arguments):
    return CliRunner().invoke(main, arguments)


def test_a_new_key_is_printed_once_with_the_hash_to_keep():
    printed = quire("serve", "--new-key", "ann").output
    key = re.search(r"for ann only: (\S+)", printed)[1]
    name, digest = re.search(r"QUIRE_API_KEYS: (\w+):(\w+)", printed).groups()
    assert (name, digest) == ("ann", hashlib.sha256(key.encode()).hexdigest())
    assert len(key) >= 43
    assert key not in quire("serve", "--new-key", "ann").output


@pytest.mark.parametrize("name", ["ann:bob", "ann bob", "", "ann,bob"])
def test_a_name_that_would_break_the_list_of_keys_is_refused(name):
    done = quire("serve", "--new-key", name)
    assert done.exit_code == 2
    assert "letters, digits" in done.output


@pytest.mark.parametrize("option", [("--port", "99999"), ("--port", "-1"), ("--workers", "0"), ("--port", "http")])
def test_a_number_that_cannot_be_is_refused_with_the_option(option):
    done = quire("serve", "demo", *option)
    assert done.exit_code == 2
    assert f"Invalid value for '{option[0]}'" in done.output


def test_params_that_are_not_there_get_the_near_name(project):
    done = quire("serve", "params/demoo")
    assert done.exit_code == 2
    assert "Did you mean 'demo'" in done.output

import ast
import gc
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from quire.flow.syntax import parse

SOURCE = Path(ast.__file__).read_text()


class Garbage:
    """What lets another thread go on when it is collected, which can be in the middle of making a tree."""

    def __init__(self):
        self.itself = self

    def __del__(self):
        time.sleep(0.0005)


def parse_at_the_same_time(parse):
    """Return the exceptions of several threads that parse."""

    def attempt(_):
        garbage = [Garbage() for _ in range(3)]
        del garbage
        try:
            parse(SOURCE)
        except SystemError as error:
            return error

    before = gc.get_threshold()
    gc.set_threshold(500)
    try:
        with ThreadPoolExecutor(4) as threads:
            return [error for error in threads.map(attempt, range(48)) if error]
    finally:
        gc.set_threshold(*before)


def test_threads_that_parse_at_the_same_time_do_not_disturb_one_another():
    assert parse_at_the_same_time(parse) == []


def test_a_mistake_is_a_syntax_error():
    with pytest.raises(SyntaxError):
        parse("x = ")

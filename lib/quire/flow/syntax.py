"""Python source as a tree, whichever thread asks."""

import ast
import threading

_one_at_a_time = threading.Lock()
_TRIES = 5


def parse(source: str) -> ast.Module:
    """Return ``ast.parse(source)``; raises SyntaxError.

    CPython 3.11 and 3.12 count how deep a tree is for all threads together: two that parse at the same time raise
    SystemError (python/cpython#106905). So one goes after another here, and again where a library came between.
    """
    with _one_at_a_time:
        for _ in range(_TRIES - 1):
            try:
                return ast.parse(source)
            except SystemError:
                continue
        return ast.parse(source)

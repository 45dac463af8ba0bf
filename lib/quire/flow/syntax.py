"""Python source as a tree, whichever thread asks, and what is asked of trees again and again."""

import ast
import threading
from typing import TypeGuard

UNKNOWN = "*"
"""Stands for a variable whose name is computed, and in a path for what is."""

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


def chain(node: ast.Attribute) -> tuple[ast.expr, list[str]]:
    """Return what a chain of attributes begins with, and their names."""
    parts: list[str] = []
    base: ast.expr = node
    while isinstance(base, ast.Attribute):
        parts.append(base.attr)
        base = base.value
    return base, parts[::-1]


def dotted(node: ast.AST) -> str:
    """Return ``a.b.c`` for such an expression, else an empty text."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base, parts = chain(node)
        return ".".join([base.id, *parts]) if isinstance(base, ast.Name) else ""
    return ""


def last_name(node: ast.AST) -> str:
    """Return ``c`` for ``c`` and for ``a.b.c``, else an empty text."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def is_text(node: ast.AST | None) -> TypeGuard[ast.Constant]:
    """Whether an expression is a text that is written out."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def literal(node: ast.AST | None) -> str:
    """Return a text that is written out, else ``*``."""
    return str(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, str) else UNKNOWN

"""Which environment variables code asks for, and which it sets, as far as its text says it."""

import ast

from quire.flow.syntax import UNKNOWN, last_name, literal


def variables_in(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Return the environment variables that code asks for, and those that it sets; ``*`` for computed names."""
    finder = _Finder()
    finder.visit(tree)
    return finder.reads, finder.sets


class _Finder(ast.NodeVisitor):
    def __init__(self) -> None:
        self.reads: set[str] = set()
        self.sets: set[str] = set()

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if _is_environ(node.value):
            target = self.reads if isinstance(node.ctx, ast.Load) else self.sets
            target.add(literal(node.slice))
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if _is_environ(node.target):
            self._add_keys([node.value])
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = last_name(node.func)
        on_environ = isinstance(node.func, ast.Attribute) and _is_environ(node.func.value)
        first = literal(node.args[0]) if node.args else UNKNOWN
        if name == "getenv" or (on_environ and name == "get"):
            self.reads.add(first)
        elif name in ("putenv", "unsetenv", "setenv", "set_env") or (on_environ and name in ("setdefault", "pop")):
            self.sets.add(first)
        elif on_environ and name in ("clear", "popitem"):
            self.sets.add(UNKNOWN)
        elif on_environ and name in ("update", "__setitem__", "__ior__"):
            self._add_keys(node.args, node.keywords)
        elif name == "load_dotenv":
            self.sets.add(UNKNOWN)
        elif (
            name in ("dict", "setitem")
            and node.args
            and _is_environ(node.args[0])
            and isinstance(node.func, ast.Attribute)
        ):
            self._add_keys(node.args[1:], node.keywords)
        self.generic_visit(node)

    def _add_keys(self, values: list[ast.expr], keywords: list[ast.keyword] = []) -> None:  # noqa: B006
        for value in values:
            if isinstance(value, ast.Dict):
                self.sets |= {literal(key) for key in value.keys}
            elif isinstance(value, ast.Call) and last_name(value.func) == "dict" and not value.args:
                self._add_keys([], value.keywords)
            else:
                self.sets.add(literal(value))
        self.sets |= {keyword.arg or UNKNOWN for keyword in keywords}


def _is_environ(node: ast.AST) -> bool:
    return last_name(node) == "environ"

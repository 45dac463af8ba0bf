"""Names: a local says what it holds, and a public class has a name of its own."""

import ast
from collections import Counter, defaultdict
from pathlib import Path

import pytest

import quire

PACKAGE = Path(quire.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

NOT_NOUNS = frozenset(
    [
        "one",
        "ones",
        "what",
        "which",
        "who",
        "whose",
        "this",
        "that",
        "these",
        "those",
        "it",
        "they",
        "them",
        "mine",
        "ours",
        "theirs",
        "something",
        "nothing",
        "anything",
        "each",
        "both",
        "none",
        "such",
        "any",
        "much",
        "found",
        "told",
        "made",
        "known",
        "said",
        "given",
        "seen",
        "done",
        "kept",
        "shown",
        "named",
        "wanted",
        "drawn",
        "chosen",
        "sent",
        "lost",
        "asked",
        "needed",
        "used",
        "taken",
        "tried",
        "gone",
        "written",
        "held",
        "brought",
        "begun",
        "ended",
        "broken",
        "hidden",
        "meant",
        "counted",
        "judged",
        "listed",
        "called",
        "caught",
        "added",
        "removed",
        "changed",
        "missed",
        "noted",
        "marked",
        "put",
        "agreed",
        "refused",
        "served",
        "stored",
        "saved",
        "passed",
        "picked",
        "placed",
        "planned",
        "printed",
        "proven",
        "raised",
        "reached",
        "recalled",
        "received",
        "refitted",
        "stripped",
        "taught",
        "thought",
        "understood",
        "waited",
        "watched",
        "worked",
        "wrapped",
        "joined",
        "owed",
        "borrowed",
        "bought",
        "fetched",
        "filled",
        "fitted",
        "heard",
        "led",
        "lent",
        "let",
        "met",
        "moved",
        "opened",
        "ordered",
        "paired",
        "paid",
        "pooled",
        "how",
        "there",
        "here",
        "beside",
        "when",
        "then",
        "ahead",
        "again",
        "already",
        "also",
        "away",
        "back",
        "apart",
        "elsewhere",
        "meanwhile",
        "once",
        "only",
        "soon",
        "still",
        "together",
        "well",
        "where",
        "yet",
        "too",
        "quite",
        "so",
        "aside",
        "behind",
    ]
)
"""Words that do not say what a value is: `rows`, `reason`, `record` do."""

MOST_LINES = 3
"""What lives no longer than this is read at a glance."""


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def names_of(function: ast.AST) -> dict[str, list[ast.Name]]:
    """Return the names of a function by their text, those of functions in it left out."""
    names = defaultdict(list)
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.Name):
            names[node.id].append(node)
        for name, uses in names_of(node).items():
            names[name] += uses
    return names


def assigned(function: ast.AST) -> dict[str, list[ast.Name]]:
    return {
        name: uses for name, uses in names_of(function).items() if any(isinstance(use.ctx, ast.Store) for use in uses)
    }


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(PACKAGE)) for path in MODULES])
def test_a_local_that_lives_long_is_named_by_what_it_holds(path):
    offenders = [
        f"line {min(use.lineno for use in uses)}: {name} in {function.name}"
        for function in functions(ast.parse(path.read_text("utf-8")))
        for name, uses in assigned(function).items()
        if name in NOT_NOUNS and max(use.lineno for use in uses) - min(use.lineno for use in uses) >= MOST_LINES
    ]
    assert not offenders


def test_hardly_any_local_is_a_pronoun_a_participle_or_an_adverb():
    counts = Counter()
    for path in MODULES:
        for function in functions(ast.parse(path.read_text("utf-8"))):
            counts.update(name in NOT_NOUNS for name in assigned(function))
    assert counts[True] <= 0.02 * counts.total(), counts


def test_no_two_public_classes_share_a_name():
    places = defaultdict(list)
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(PACKAGE)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}

"""The rules of notebooks: one tag per code cell, no logic, no outputs, and a parameters cell that the params fit."""

import ast
import json
from pathlib import Path

import pytest

from quire import config
from quire.flow.parameters import read_signature

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RAISES = "raises-exception"
TAGS = {"parameters", "setup", "load", "work", "result", "chart", "check", "save"}
FORBIDDEN = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.While, ast.Try, ast.Lambda)

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind):
    return [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == kind]


def tags(cell):
    return cell["metadata"].get("tags", [])


def source(cell):
    return "".join(cell["source"])


def test_the_notebooks_of_the_workflows_are_there():
    names = [path.stem for path in NOTEBOOKS]
    by_segment = ["41_train_segment", "42_join_segments"]
    assert [name for name in names if name not in by_segment] == [
        "10_ingest", "20_validate", "30_explore", "40_train", "50_evaluate", "60_predict", "70_monitor",
    ]  # fmt: skip
    assert set(by_segment) <= set(names)


@each
def test_every_code_cell_carries_exactly_one_known_tag(path):
    """Beside it a cell may say that it is allowed to fail, which every runner of notebooks honours."""
    for cell in cells(path, "code"):
        kinds = [tag for tag in tags(cell) if tag != RAISES]
        assert len(kinds) == 1, source(cell)
        assert kinds[0] in TAGS, source(cell)


@each
def test_nothing_is_committed_but_sources(path):
    for cell in cells(path, "code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@each
def test_parameters_come_first_and_once_and_are_literals(path):
    first, *others = cells(path, "code")
    assert tags(first) == ["parameters"]
    assert not any("parameters" in tags(cell) for cell in others)
    for statement in ast.parse(source(first)).body:
        assert isinstance(statement, ast.Assign | ast.AnnAssign)
        ast.literal_eval(statement.value)


@each
def test_cells_are_short_and_hold_no_logic(path):
    for cell in cells(path, "code"):
        text = source(cell)
        assert len(text.splitlines()) <= 15, text
        assert not any(line.lstrip().startswith(("%", "!")) for line in text.splitlines()), text
        for node in ast.walk(ast.parse(text)):
            assert not isinstance(node, FORBIDDEN), text
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert tags(cell) == ["setup"], text
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", text


@each
def test_the_setup_opens_the_run_and_takes_by_hand_the_values_of_params_yaml(path):
    (setup,) = [source(cell).splitlines() for cell in cells(path, "code") if tags(cell) == ["setup"]]
    opened = next(
        number for number, line in enumerate(setup) if line.startswith("run = artifacts.open(settings, run_dir")
    )
    assert setup[opened + 1].startswith(f'globals().update(run.parameters("{path.stem}", globals()))')
    assert setup[-1] == "run"


@each
def test_it_starts_with_its_question_and_its_answer(path):
    texts = [source(cell) for cell in cells(path, "markdown")]
    assert texts[0].startswith(f"# {path.stem[:2]} · ")
    assert "**Question.**" in texts[0]
    assert any(text.startswith("## Answer") for text in texts[:3])
    assert texts[-1].startswith("## How to read this")


@pytest.mark.parametrize("name", config.use_cases(ROOT))
def test_params_name_only_parameters_of_their_notebook(name):
    settings = config.load(name, root=ROOT, environment={})
    for section, values in settings.params.items():
        notebook = ROOT / "notebooks" / f"{settings.workflow.stages[section].notebook}.ipynb"
        assert set(values) <= set(read_signature(notebook)), section

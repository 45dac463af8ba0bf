from pathlib import Path

import pytest

from quire.flow.notebook import notebook_facts
from quire.flow.source_facts import read_source_facts
from quire.flow.source_graph import SourceGraph, package_root

ROOT = Path(__file__).parents[2]


@pytest.fixture
def library(tmp_path):
    files = {
        "__init__.py": "",
        "__init__.pyi": "from . import model as model\nfrom .io import artifacts as artifacts\n",
        "errors.py": "class E(Exception): ...",
        "io/__init__.py": "",
        "io/__init__.pyi": "from . import artifacts as artifacts\nfrom . import database as database\n",
        "io/artifacts.py": "from quire.errors import E",
        "io/database.py": 'FOLDER = "migrations"',
        "io/migrations/0001.sql": "create table a (b)",
        "io/migrations/env.py": "x = 1",
        "model/__init__.py": "",
        "model/__init__.pyi": "from .gate import judge as judge\nfrom .train import fit as fit\n",
        "model/gate.py": "def judge(): ...",
        "model/train.py": "def fit():\n    from quire.page import render\n    from .gate import judge\n",
        "page/__init__.py": "",
        "page/__init__.pyi": "from .render import render as render\n",
        "page/render.py": 'def render(): return "templates/a.html"',
        "page/templates/a.html": "<p>",
    }
    for name, text in files.items():
        path = tmp_path / "quire" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return SourceGraph(tmp_path / "quire", tmp_path / "memory.json")


def reached(library, source):
    return {
        name
        for name in library.reached([read_source_facts(source)])
        if name not in ("quire", "quire.model", "quire.io")
    }


def test_a_lazy_name_reaches_the_module_that_the_stub_says(library):
    assert reached(library, "from quire import model\nmodel.judge(1)") == {"quire.model.gate"}


def test_what_modules_import_is_followed_also_inside_functions(library):
    found = reached(library, "from quire import model\nmodel.fit()")
    assert found == {
        "quire.model.train",
        "quire.model.gate",
        "quire.page",
        "quire.page.render",
        "page/templates/a.html",
    }


def test_a_name_handed_on_from_another_room_is_followed(library):
    assert reached(library, "from quire import artifacts\nartifacts.open()") == {"quire.io.artifacts", "quire.errors"}


def test_migrations_count_for_the_module_that_names_their_folder(library):
    found = reached(library, "from quire.io import database")
    assert {"io/migrations/0001.sql", "io/migrations/env.py"} <= found


def test_a_room_used_as_a_value_counts_as_a_whole(library):
    assert {"quire.model.gate", "quire.model.train"} <= reached(library, "from quire import model\nf(model)")


def test_other_ways_to_import_reach_the_same(library):
    for source in ("import quire.model.gate", "from quire.model import judge", "import quire\nquire.model.judge()"):
        assert "quire.model.gate" in reached(library, source), source
        assert "quire.model.train" not in reached(library, source), source


def test_imports_for_type_checkers_do_not_count(library):
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from quire.model import fit"
    assert reached(library, source) == set()


def test_comments_layout_and_docstrings_do_not_change_the_digest():
    plain = read_source_facts('"""D."""\ndef judge():\n    """Other."""\n    ...')
    commented = read_source_facts('"""Doc."""\n\n\ndef judge():  # why\n    """More."""\n    ...')
    assert plain.digest == commented.digest
    assert read_source_facts("def judge(): return 1").digest != plain.digest


def test_facts_are_remembered_until_the_file_changes(library, tmp_path):
    source = "from quire import model\nmodel.judge(1)"
    before = library.reached([read_source_facts(source)])
    again = SourceGraph(library.root, tmp_path / "memory.json")
    assert again.reached([read_source_facts(source)]) == before
    (library.root / "model" / "gate.py").write_text("def judge(): return 12345")
    after = SourceGraph(library.root, tmp_path / "memory.json").reached([read_source_facts(source)])
    assert {name for name in after if after[name] != before[name]} == {"quire.model.gate"}


def test_the_first_notebook_of_this_project_waits_for_no_library_of_models():
    """A run starts when what ingest can reach is imported: MLflow and scikit-learn would take two seconds more."""
    library = SourceGraph(package_root())
    wanted = library.imports(notebook_facts(ROOT / "notebooks" / "10_ingest.ipynb"))
    packages = {name.partition(":")[0].partition(".")[0] for name in wanted}
    assert "pandas" in packages
    assert not packages & {"mlflow", "sklearn", "skops", "great_expectations"}

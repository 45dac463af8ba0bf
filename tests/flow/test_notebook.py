import json

import pytest

from quire.errors import ConfigError
from quire.flow.notebook import notebook_facts, read_cells, read_notebook, tags_of


def write(path, cells=(), **content):
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells), **content}))
    return path


def code(*cells, path):
    return write(path, [{"cell_type": "code", "metadata": {}, "outputs": [], "source": cell} for cell in cells])


@pytest.mark.parametrize(
    ("metadata", "tags"),
    [
        ({"tags": None}, []),
        (None, []),
        ([], []),
        ({}, []),
        ({"tags": "work"}, ["work"]),
        ({"tags": ["work", None, 3]}, ["work"]),
        ({"tags": {"work": 1}}, []),
    ],
)
def test_odd_metadata_of_a_cell_are_read_as_what_they_mean(tmp_path, metadata, tags):
    cell = {"cell_type": "code", "metadata": metadata, "source": None, "outputs": None}
    (read,) = read_cells(write(tmp_path / "n.ipynb", [cell]))
    assert tags_of(read) == tags
    assert (read["source"], read["outputs"]) == ("", [])


def test_a_cell_without_metadata_and_a_notebook_without_any_are_read(tmp_path):
    read = read_notebook(write(tmp_path / "n.ipynb", [{"cell_type": "markdown", "source": "x"}], metadata=None))
    assert read["metadata"] == {}
    assert tags_of(read["cells"][0]) == []


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (b"", "The file is empty"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ('{"cells": []}'.encode("utf-16"), "byte order mark"),
        (b'{\n<<<<<<< HEAD\n"cells": []\n=======\n>>>>>>> other\n}', "merge conflict: resolve it"),
        (b'{"nbformat": 3, "worksheets": [{"cells": []}]}', "older format: bring it to format 4"),
        (b'{"nbformat": 4, "cells": {}}', "Open it in JupyterLab|not a notebook"),
        (b'{"nbformat": 4, "cells": ["x"]}', "not a notebook"),
        (b"[]", "not a notebook"),
        (b'{"nbformat": 4}', "not a notebook"),
    ],
)
def test_what_is_no_notebook_is_named_with_what_to_do(tmp_path, content, remedy):
    path = tmp_path / "broken.ipynb"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"broken\.ipynb is not a notebook") as refusal:
        read_notebook(path)
    assert any(part in str(refusal.value) for part in remedy.split("|"))


@pytest.mark.parametrize(
    "metadata",
    [
        {"kernelspec": {"name": "ir", "language": "R"}},
        {"kernelspec": {"name": "julia-1.10", "display_name": "Julia", "language": "julia"}},
        {"kernelspec": {"name": "ir"}, "language_info": {"name": "R"}},
        {"language_info": {"name": "scala"}},
    ],
)
def test_a_notebook_of_another_language_is_refused_with_its_kernelspec(tmp_path, metadata):
    with pytest.raises(ConfigError, match=r"n\.ipynb is written in \w+ \(kernelspec '?(ir|julia|without)"):
        read_notebook(write(tmp_path / "n.ipynb", metadata=metadata))


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"kernelspec": None, "language_info": None},
        {"kernelspec": {"name": "my-env", "language": "python"}, "language_info": {"name": "R"}},
        {"kernelspec": {"name": "xpython"}, "language_info": {"name": "ipython"}},
    ],
)
def test_a_notebook_of_python_is_read_whatever_its_kernel_is_called(tmp_path, metadata):
    assert read_notebook(write(tmp_path / "n.ipynb", metadata=metadata))["cells"] == []


def uses(facts):
    return {name for one in facts for name in one.uses}


@pytest.mark.parametrize("magic", ["%matplotlib inline", "!ls", "%%time", "x = !ls", "    %time 1", "?model", "model?"])
def test_a_magic_does_not_hide_what_the_other_lines_and_cells_use(tmp_path, magic):
    cells = ("from quire import model", f"{magic}\nif True:\n    model.judge(1)")
    assert "quire.model.judge" in uses(notebook_facts(code(*cells, path=tmp_path / "n.ipynb")))


def test_python_behind_a_timing_magic_counts(tmp_path):
    facts = notebook_facts(code("from quire import model", "%time model.judge(1)", path=tmp_path / "n.ipynb"))
    assert "quire.model.judge" in uses(facts)


def test_an_edit_of_a_magic_changes_the_code(tmp_path):
    digests = [
        [facts.digest for facts in notebook_facts(code(f"%run a.py {n}\nx = 1", path=tmp_path / "n.ipynb"))]
        for n in (1, 2)
    ]
    assert digests[0] != digests[1]


def test_of_a_cell_that_is_no_python_all_of_the_library_may_be_used(tmp_path):
    assert "quire.*" in uses(notebook_facts(code("this is no Python", path=tmp_path / "n.ipynb")))

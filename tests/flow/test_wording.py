import nbformat
import pytest

from quire.flow import wording


def write(path, *cells):
    made = nbformat.v4.new_notebook()
    for tag, source in cells:
        if tag == "markdown":
            made.cells.append(nbformat.v4.new_markdown_cell(source))
        else:
            made.cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": [tag]}))
    nbformat.write(made, path)
    return path


@pytest.fixture
def executed(tmp_path):
    cells = [("parameters", "n = 1"), ("injected-parameters", "n = 2"), ("markdown", "Old"), ("work", "n")]
    path = write(tmp_path / "executed.ipynb", *cells)
    content = nbformat.read(path, 4)
    content.cells[3].outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "2"}, execution_count=3)]
    nbformat.write(content, path)
    return path


def test_text_and_tags_are_those_of_now_and_code_and_outputs_those_of_the_run(executed, tmp_path):
    now = write(tmp_path / "now.ipynb", ("parameters", "n = 1"), ("chart", "n  # comment"), ("markdown", "New"))
    assert not wording.is_recut(executed, now)
    wording.renew(executed, now, tmp_path / "out.ipynb")
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    assert [cell.source for cell in cells] == ["n = 1", "n = 2", "n", "New"]
    assert cells[2].metadata.tags == ["chart"]
    assert cells[2].outputs[0].data == {"text/plain": "2"}


def test_code_in_other_cells_than_it_ran_in_is_recut(executed, tmp_path):
    now = write(tmp_path / "now.ipynb", ("parameters", "n = 1"), ("work", "n"), ("work", "2"))
    assert wording.is_recut(executed, now)


def test_a_comment_in_code_is_no_change_of_words_and_a_moved_text_is(tmp_path):
    text, code, other = ("markdown", "Text"), ("work", "n"), ("work", "n  # comment")
    one, same, moved = (
        wording.digest(write(tmp_path / f"{name}.ipynb", *cells))
        for name, cells in {"a": [text, code], "b": [text, other], "c": [code, text]}.items()
    )
    assert one == same != moved

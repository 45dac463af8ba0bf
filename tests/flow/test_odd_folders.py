"""A clone, and its outputs, in folders with names that people give."""

import pytest
from tests.flow.conftest import make_project


@pytest.mark.parametrize("name", ["50% é x", "a#b [z]; it's", 'with "quotes" & {braces}'])
def test_a_run_in_a_folder_of_an_odd_name_leaves_everything_where_it_belongs(tmp_path, name):
    project = make_project(tmp_path / name / "clone")
    project.stage("a", "run.save('frame', {'a': 1})").stage("b", "run.load('frame')", needs=["a"])
    result = project.run(publish=True)
    assert result.exit_code == 0
    assert not result.record.get("warnings")
    assert (result.folder / "index.html").is_file()
    assert (project.outputs / "mlflow.db").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    assert project.statuses(project.run()) == {"a": "reused", "b": "reused"}


@pytest.mark.parametrize("pattern", ["data/*.csv", "data/part-1.csv", "data", "data/**/*.csv"])
def test_files_of_a_source_are_those_below_the_folder(tmp_path, pattern):
    from quire.config import CsvSource
    from quire.io.fingerprint import source_files

    root = tmp_path / "[z] 50%"
    (root / "data").mkdir(parents=True)
    (root / "data" / "part-1.csv").write_text("a\n1\n")
    place = CsvSource(kind="csv", path=pattern)
    assert [path.name for path in source_files(place, root)] == ["part-1.csv"]

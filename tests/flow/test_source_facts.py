import pytest

from quire.flow.source_facts import read_source_facts


@pytest.mark.parametrize(
    ("code", "sets"),
    [
        ("import os\nos.environ['MPLBACKEND'] = 'agg'", {"MPLBACKEND"}),
        ("from os import environ\nenviron['A'] = environ['B']", {"A"}),
        ("import os as o\no.environ.update({'A': '1', 'B': '2'}, C='3')", {"A", "B", "C"}),
        ("os.environ.update(dict(A='1'))", {"A"}),
        ("os.environ |= {'A': '1'}", {"A"}),
        ("os.environ.setdefault('A', '1')", {"A"}),
        ("os.putenv('A', '1')", {"A"}),
        ("os.unsetenv('A')\ndel os.environ['B']\nos.environ.pop('C')", {"A", "B", "C"}),
        ("for k in x:\n    os.environ[k] = '1'", {"*"}),
        ("os.environ.update(x)", {"*"}),
        ("load_dotenv()", {"*"}),
        ("mock.patch.dict(os.environ, {'A': '1'})", {"A"}),
        ("monkeypatch.setenv('A', '1')", {"A"}),
        ("os.environ['A']\ndict(os.environ)\nos.environ.copy()", set()),
    ],
)
def test_variables_that_code_sets_are_found(code, sets):
    assert set(read_source_facts(code).sets) == sets


@pytest.mark.parametrize(
    ("code", "paths"),
    [
        ("open('a/b.csv')", {"a/b.csv"}),
        ("root / 'a' / 'b.csv'", {"a/b.csv"}),
        ("Path('a', 'b.csv')", {"a/b.csv"}),
        ("Path('a').joinpath('b', n)", {"a/b/*"}),
        ("os.path.join(here, 'a', f'{n}.csv')", {"a/*.csv"}),
        ("f'a/{x}/{y}{z}.csv'", {"a/*/*.csv"}),
        ("'a/' + n + '.csv'", {"a/*.csv"}),
        ("'a/%s-%03d.csv' % (x, y)", {"a/*-*.csv"}),
        ("'a/{}.csv'.format(x)", {"a/*.csv"}),
        ("open(g('a.csv'))", {"a.csv"}),
        ("frame['a.csv'] / 2", set()),
        ("run.load('a.csv')\nrun.save('b', x)", set()),
        ("run.save('b', pd.read_csv('a.csv'))", {"a.csv"}),
        ("x.to_csv('a.csv')\nopen('b.csv', 'w')\nPath('c.csv').write_text('')", set()),
        ('"""Doc a.csv."""\nx = 1', set()),
    ],
)
def test_paths_that_code_may_read_are_found_as_patterns(code, paths):
    assert set(read_source_facts(code).paths) - {"w", "name"} == paths


@pytest.mark.parametrize("code", ["run.load('x')", "run.folder / 'x.csv'", "a = artifacts.open(settings, run_dir)"])
def test_code_that_only_names_artifacts_does_not_walk(code):
    assert not read_source_facts(code).walks


@pytest.mark.parametrize(
    "code", ["open(run_dir)", "run.folder.parent", "f(run.folder)", "run.reads", "open('../x')", "os.walk('.')"]
)
def test_code_that_could_come_to_the_files_of_another_stage_walks(code):
    assert read_source_facts(code).walks


def test_the_setup_cell_of_the_notebooks_does_not_make_every_file_count():
    setup = 'run = artifacts.open(settings, run_dir)\nglobals().update(run.parameters("40_train", globals()))'
    assert not read_source_facts(setup).walks
    assert read_source_facts("vars(run)").walks

"""The cache never lies: whatever a stage can reach is edited, one thing at a time, and the stage is seen to run again.

No kernel starts here: what a notebook would leave is given, and its success is written down as a run writes it.
"""

import os
import shutil
import sys
import textwrap
from datetime import UTC, datetime

import pytest

from quire import config
from quire.errors import ConfigError
from quire.flow.context import Request
from quire.flow.dry_run import changes_since, stage_forecasts
from quire.flow.run import prepare
from quire.flow.stage import StageRun

SAME = "nothing changed; it would be reused."


class Case:
    """A project whose stages count as run, with what they left, and what would happen to them now."""

    def __init__(self, project):
        self.project = project
        self.left = {}
        self.meanwhile = None

    def write(self, name, text=""):
        path = self.project.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def stage(self, name, code="", *, leaves=None, loads=(), outside=(), **options):
        """leaves: files that the stage saves, by name. loads: names of artifacts. outside: what it reads outside."""
        order = {**self.project.stages, name: None}
        self.project.stage(name, code, reads=list(outside), **options)
        self.project.stages = {name: self.project.stages[name] for name in order}
        self.project.write()
        self.left[name] = (leaves or {}, loads)
        return self

    def succeed(self):
        """Write down what a run would have: every stage that is not reused leaves its files and its trace."""
        settings = config.load("x", root=self.project.root)
        context = prepare(settings, Request(params="x", publish=False), datetime.now(UTC), lambda event: None)
        (context.folder / "notebooks").mkdir(parents=True)
        ran = []
        for name, task in context.graph.items():
            stage = StageRun(context, task)
            if stage.reuse():
                continue
            ran.append(name)
            folder = context.artifacts(name)
            folder.mkdir(parents=True)
            leaves, reads = self.left[name]
            for file, content in leaves.items():
                (folder / file).write_text(content)
            if self.meanwhile:
                self.meanwhile()
            (folder / ".inputs").write_text("\n".join(reads))
            shutil.copy(task.notebook, context.folder / "notebooks" / f"{name}.ipynb")
            context.record.update_stage(name, **stage._keep(0.0))
        context.record.update(status="succeeded")
        return ran

    def now(self):
        return changes_since(Request(params="x", publish=False), root=self.project.root)


@pytest.fixture
def case(project):
    return Case(project)


REACHED = {
    "a module in another package of lib/": (
        "from acme import models\nmodels.RATE",
        {"lib/acme/__init__.py": "", "lib/acme/models.py": "RATE = 1"},
        "lib/acme/models.py",
    ),
    "a module that such a module imports": (
        "import acme.models",
        {"lib/acme/__init__.py": "", "lib/acme/models.py": "from .rates import RATE", "lib/acme/rates.py": "RATE = 1"},
        "lib/acme/rates.py",
    ),
    "the package's own __init__": (
        "from acme import RATE",
        {"lib/acme/__init__.py": "RATE = 1"},
        "lib/acme/__init__.py",
    ),
    "a package without __init__": ("import team.rates", {"team/rates.py": "RATE = 1"}, "team/rates.py"),
    "a module beside the notebook": ("import helpers", {"notebooks/helpers.py": "X = 1"}, "notebooks/helpers.py"),
    "a module in a folder put on sys.path": (
        "import sys\nsys.path.insert(0, 'team')\nimport rates",
        {"team/rates.py": "RATE = 1"},
        "team/rates.py",
    ),
    "a module in a folder put on sys.path, seen from the notebook": (
        "import sys\nsys.path.append('../team')\nfrom rates import RATE",
        {"team/rates.py": "RATE = 1"},
        "team/rates.py",
    ),
    "a module imported by its name as a text": (
        "import importlib\nimportlib.import_module('acme.models')",
        {"lib/acme/__init__.py": "", "lib/acme/models.py": "RATE = 1"},
        "lib/acme/models.py",
    ),
    "a module below another one's folder, imported in a function": (
        "from acme.deep import models",
        {
            "lib/acme/__init__.py": "",
            "lib/acme/deep/__init__.py": "",
            "lib/acme/deep/models.py": "def f():\n    from ..rates import RATE",
            "lib/acme/rates.py": "RATE = 1",
        },
        "lib/acme/rates.py",
    ),
    "a module used in a notebook with magics": (
        "%matplotlib inline\nfrom acme import models\n%time models.RATE\n!ls",
        {"lib/acme/__init__.py": "", "lib/acme/models.py": "RATE = 1"},
        "lib/acme/models.py",
    ),
    "a script that %run executes": ("%run team/script.py", {"team/script.py": "X = 1"}, "team/script.py"),
    "a data file by its path": ("open('data/x.csv')", {"data/x.csv": "1"}, "data/x.csv"),
    "a data file by a path in parts": (
        "import pandas as pd\npd.read_csv(settings.root / 'data' / 'deep' / 'x y.csv')",
        {"data/deep/x y.csv": "1"},
        "data/deep/x y.csv",
    ),
    "a data file by os.path.join": (
        "import os\nopen(os.path.join('data', 'é.csv'))",
        {"data/é.csv": "1"},
        "data/é.csv",
    ),
    "a data file by an f-string": (
        "for n in (1, 2):\n    open(f'data/{n}.csv')",
        {"data/1.csv": "1", "data/2.csv": "2"},
        "data/2.csv",
    ),
    "a data file by a format": ("open('data/%02d.csv' % 1)", {"data/01.csv": "1"}, "data/01.csv"),
    "a data file by a glob": (
        "from pathlib import Path\nlist(Path('.').glob('data/*.csv'))",
        {"data/1.csv": "1"},
        "data/1.csv",
    ),
    "a data file in a folder that is named": (
        "import os\nFOLDER = 'data'\n[open(f'{FOLDER}/{name}') for name in os.listdir(FOLDER)]",
        {"data/deep/a.bin": "1"},
        "data/deep/a.bin",
    ),
    "a data file in a folder with a name": (
        "from pathlib import Path\nDATA = Path('data')\n(DATA / 'x.csv').read_text()",
        {"data/x.csv": "1"},
        "data/x.csv",
    ),
    "a data file that a module names": (
        "import acme",
        {"lib/acme/__init__.py": "TABLE = open('data/x.csv')", "data/x.csv": "1"},
        "data/x.csv",
    ),
    "a data file beside a module": (
        "import acme",
        {
            "lib/acme/__init__.py": "from pathlib import Path\nTABLE = Path(__file__).parent / 'x.csv'",
            "lib/acme/x.csv": "1",
        },
        "lib/acme/x.csv",
    ),
    "a file that a shell command reads": ("!wc -l data/x.csv", {"data/x.csv": "1"}, "data/x.csv"),
    "a file that files: names": ("", {"data/x.bin": "1"}, "data/x.bin"),
}


@pytest.mark.parametrize("what", REACHED)
def test_an_edit_of_what_a_stage_reaches_is_seen_and_no_other(case, what):
    code, content, edited = REACHED[what]
    for name, text in content.items():
        case.write(name, text)
    case.write("elsewhere/other.py", "X = 1")
    case.write("elsewhere/other.csv", "1")
    options = {"files": ["data/*.bin"]} if what == "a file that files: names" else {}
    case.stage("a", code, **options).stage("b", needs=["a"])
    assert case.succeed() == ["a", "b"]
    assert case.now() == {"a": SAME, "b": SAME}

    case.write("elsewhere/other.py", "X = 2")
    case.write("elsewhere/other.csv", "2")
    assert case.now() == {"a": SAME, "b": SAME}

    path = case.project.root / edited
    path.write_text(path.read_text().replace("1", "2") + "\nX = 3\n")
    assert case.now() == {"a": f"changed: {edited}", "b": SAME}
    assert case.succeed() == ["a"]
    assert case.succeed() == []


def test_an_edit_that_leaves_size_and_time_as_they_were_is_seen(case):
    path = case.write("team/rates.py", "RATE = 1")
    os.utime(path, ns=(10**18, 10**18))
    case.stage("a", "import team.rates")
    case.succeed()
    path.write_text("RATE = 2")
    os.utime(path, ns=(10**18, 10**18))
    assert case.now() == {"a": "changed: team/rates.py"}


def test_a_module_that_appears_where_another_was_found_is_seen(case):
    case.write("lib/acme/__init__.py", "")
    case.stage("a", "try:\n    from acme import models\nexcept ImportError:\n    models = None")
    case.succeed()
    case.write("lib/acme/models.py", "RATE = 1")
    assert case.now() == {"a": "changed: lib/acme/models.py"}


def test_a_comment_in_an_own_module_changes_nothing(case):
    path = case.write("team/rates.py", "RATE = 1")
    case.stage("a", "import team.rates")
    case.succeed()
    path.write_text('"""Rates."""\n\nRATE = 1  # per day\n')
    assert case.now() == {"a": SAME}


PATHS = {
    "run_dir": "open(f'{run_dir}/../writer/x.csv')",
    "run.folder": "(run.folder.parent / 'writer' / 'x.csv').read_text()",
    "a text": "open(f'outputs/runs/{run.run_id}/artifacts/writer/x.csv')",
    "an artifact's path": "run.path('n').with_name('x.csv').read_text()",
    "settings.outputs": "list(settings.outputs.glob('runs/*/artifacts/writer/x.csv'))",
    "a module": "from acme import models\nmodels.read(run)",
    "a shell": "!cat outputs/runs/*/artifacts/writer/x.csv",
}


@pytest.mark.parametrize("way", PATHS)
def test_a_plain_file_of_a_needed_stage_counts_for_one_that_may_read_it_by_path(case, way):
    case.write("lib/acme/__init__.py", "")
    case.write("lib/acme/models.py", "def read(run): return (run.reads / 'artifacts' / 'writer' / 'x.csv').read_text()")
    case.stage("writer", "n = 3", leaves={"x.csv": "1\n2\n3\n", "n.json": "3"})
    case.stage("between", needs=["writer"], leaves={"y.json": "1"})
    case.stage("reader", PATHS[way], needs=["between"])
    case.succeed()
    assert set(case.now().values()) == {SAME}
    case.stage("writer", "n = 5", leaves={"x.csv": "1\n2\n3\n4\n5\n", "n.json": "3"})
    assert case.succeed() == ["writer", "reader"]
    assert case.now() == {"writer": SAME, "between": SAME, "reader": SAME}


def test_an_artifact_counts_by_name_and_the_others_of_its_stage_do_not(case):
    case.stage("writer", "n = 3", leaves={"x.json": "3", "y.json": "1"})
    case.stage("reader", "run.load('x')\n(run.folder / 'z.txt').write_text('')", needs=["writer"], loads=["x"])
    case.succeed()
    case.stage("writer", "n = 4", leaves={"x.json": "3", "y.json": "2"})
    assert case.succeed() == ["writer"]
    case.stage("writer", "n = 5", leaves={"x.json": "5", "y.json": "2"})
    assert case.succeed() == ["writer", "reader"]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed libraries, on the path of kernels and of this process."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])

    def install(name, version, *, module="", requires=()):
        for old in folder.glob(f"{name}-*.dist-info"):
            shutil.rmtree(old)
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir()
        needs = "".join(f"Requires-Dist: {need}\n" for need in requires)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
        if module:
            (info / "top_level.txt").write_text(f"{module}\n")

    return install


@pytest.mark.parametrize(
    "code",
    [
        "import boosting.trees",
        "from acme import models",
        "model = 'boosting.trees:Forest'",
        "def f():\n    from boosting import Forest",
    ],
)
def test_another_version_of_a_library_that_is_imported_is_seen(case, site, code):
    case.write("lib/acme/__init__.py", "")
    case.write("lib/acme/models.py", "import boosting")
    site("acme_boosting", "1.0", module="boosting", requires=["its-need"])
    site("its_need", "1.0")
    site("unrelated", "1.0")
    parameters = "model = 'boosting.trees:Forest'" if code.startswith("model") else ""
    case.stage("a", "" if parameters else code, parameters=parameters).stage("b")
    case.succeed()
    site("unrelated", "2.0")
    assert case.now() == {"a": SAME, "b": SAME}
    site("acme_boosting", "2.0", module="boosting", requires=["its-need"])
    assert case.now() == {"a": "acme-boosting 1.0 -> 2.0", "b": SAME}
    case.succeed()
    site("its_need", "1.1")
    assert case.now() == {"a": "its-need 1.0 -> 1.1", "b": SAME}


@pytest.mark.parametrize("how", ["reads", "code", "get", "module"])
def test_another_value_of_an_environment_variable_is_seen(case, monkeypatch, how):
    monkeypatch.setenv("ACME_REGION", "north")
    case.write("lib/acme/__init__.py", "import os\nREGION = os.environ['ACME_REGION']")
    code = {
        "reads": "",
        "code": "import os\nos.environ['ACME_REGION']",
        "get": "from os import environ\nenviron.get('ACME_REGION')",
        "module": "import acme",
    }[how]
    case.stage("a", code, outside=["env:ACME_REGION"] if how == "reads" else []).stage("b", needs=["a"])
    case.succeed()
    monkeypatch.setenv("ACME_OTHER", "1")
    assert set(case.now().values()) == {SAME}
    monkeypatch.setenv("ACME_REGION", "south")
    assert case.now() == {"a": "environment variables changed: ACME_REGION", "b": SAME}
    monkeypatch.delenv("ACME_REGION")
    assert case.now() == {"a": "environment variables changed: ACME_REGION", "b": SAME}
    assert "north" not in (case.project.outputs / "cache" / "x" / "a" / "last.json").read_text()


def use_csv(project, path="data/prepared.csv"):
    (project.root / "params" / "x" / "config.yaml").write_text(f"source: {{kind: csv, path: {path}}}\n")


@pytest.mark.parametrize(
    "code",
    [
        "from quire import data\ndata.read_source(settings)",
        "import pandas as pd\npd.read_csv(settings.root / settings.config.source.path)",
    ],
)
def test_the_source_counts_for_a_stage_that_reads_it_wherever_it_stands(case, code):
    use_csv(case.project)
    case.stage("prepare").stage("ingest", code, needs=["prepare"]).stage("train", needs=["ingest"])
    assert case.now()["ingest"] == "it depends on what prepare will leave"  # the source is not there yet
    case.write("data/prepared.csv", "1")
    case.succeed()
    assert set(case.now().values()) == {SAME}
    case.write("data/prepared.csv", "1\n2")
    assert case.now() == {"prepare": SAME, "ingest": "source changed", "train": SAME}


def test_the_source_counts_where_workflow_says_so(case):
    use_csv(case.project)
    case.write("data/prepared.csv", "1")
    case.stage("a", outside=["source"])
    case.succeed()
    case.write("data/prepared.csv", "1\n2")
    assert case.now() == {"a": "source changed"}


def test_a_parameter_that_names_a_file_or_a_module_leads_there(case):
    case.write("data/1.csv", "1")
    case.write("lib/acme/__init__.py", "")
    case.write("lib/acme/models.py", "X = 1")
    case.project.params(a={"table": "data/1.csv", "model": "acme.models:X"})
    case.stage("a", "open(table)", parameters="table = ''\nmodel = ''")
    case.succeed()
    case.write("data/1.csv", "2")
    assert case.now() == {"a": "changed: data/1.csv"}
    case.succeed()
    case.write("lib/acme/models.py", "X = 2")
    assert case.now() == {"a": "changed: lib/acme/models.py"}


def test_what_a_stage_writes_itself_is_not_what_it_reads(case):
    case.stage("a", "import pandas as pd\npd.DataFrame().to_csv('data/out.csv')\nopen('data/log.txt', 'w')")
    case.succeed()
    case.write("data/out.csv", "1")
    case.write("data/log.txt", "1")
    case.stage("b", "open('data/out.csv')", needs=["a"])
    assert case.now() == {"a": SAME, "b": "it has not run before"}


def test_files_that_are_not_there_are_refused_before_the_run(case):
    case.write("data/one.csv", "1")
    case.project.stage("a", files=["data/on.csv"])
    with pytest.raises(ConfigError, match=r"stage a, files: 'data/on.csv' stands for no file.*Did you mean 'one.csv'"):
        case.now()


@pytest.mark.parametrize("reads", ["sorce", "env:", "env:1x", "ENV:X", "file"])
def test_an_outside_state_that_does_not_exist_is_refused(case, reads):
    case.project.stage("a", reads=[reads])
    with pytest.raises(ConfigError, match=r"expected source, champion, feedback, predictions, or env:NAME"):
        case.now()


def test_what_was_looked_at_is_named_by_kind(case, site, monkeypatch):
    monkeypatch.setenv("ACME_REGION", "north")
    site("acme_boosting", "1.0", module="boosting")
    case.write("lib/acme/__init__.py", "import boosting")
    case.write("data/x.csv", "1")
    case.stage("writer", leaves={"x.json": "1"})
    case.stage("a", "import acme\nopen('data/x.csv')\nrun.load('x')", needs=["writer"], loads=["x"], outside=["source"])
    case.stage("b", "open(run_dir)", needs=["writer"], outside=["env:ACME_REGION"])
    case.succeed()
    found = stage_forecasts(Request(params="x", publish=False), root=case.project.root)
    looked_at = found["a"].looked_at
    assert looked_at["own modules"] == ["lib/acme/__init__.py"]
    assert looked_at["files"] == ["data/x.csv"]
    assert looked_at["artifacts"] == ["x"]
    assert looked_at["outside"] == ["source"]
    assert looked_at["libraries"][1] == "acme-boosting 1.0"
    assert "quire.config.settings" in looked_at["modules of quire"]
    assert found["b"].looked_at["artifacts"] == ["writer/x.json"]
    assert found["b"].looked_at["outside"] == ["env:ACME_REGION"]


def test_a_result_is_not_reused_if_what_it_was_made_of_changed_while_it_ran(case):
    path = case.write("team/rates.py", "RATE = 1")
    case.stage("a", "import team.rates").stage("b")
    case.meanwhile = lambda: path.write_text("RATE = 2")
    case.succeed()
    case.meanwhile = None
    path.write_text("RATE = 1")
    assert case.now()["a"] != SAME
    assert case.succeed() == ["a"]
    assert case.now() == {"a": SAME, "b": SAME}


def test_alerts_of_config_count_only_for_code_that_reads_them(case):
    case.stage("a", "settings.config.alerts").stage("b", "from quire import config\nconfig.load('x')")
    case.succeed()
    config_yaml = case.project.root / "params" / "x" / "config.yaml"
    config_yaml.write_text(config_yaml.read_text() + "alerts: {cool_down_hours: 1}\n")
    assert case.now() == {"a": "config.yaml changed: alerts", "b": SAME}

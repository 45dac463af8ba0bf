import subprocess
import sys

import pytest
from click.testing import CliRunner

from quire.cli import main
from quire.cli.main import LazyGroup
from quire.errors import Busy

HEAVY = ("papermill", "pandas", "numpy", "mlflow", "nbconvert", "jinja2", "sqlalchemy", "rich", "pydantic")


def test_the_help_imports_nothing_heavy():
    code = (
        "import sys; from click.testing import CliRunner; from quire.cli import main; "
        f"print(CliRunner().invoke(main, ['--help']).output); print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Run a workflow" in done.stdout
    assert done.stdout.strip().endswith("[]")


@pytest.mark.parametrize("name", LazyGroup().list_commands(None))
def test_every_command_says_what_it_does_and_takes(name):
    done = CliRunner().invoke(main, [name, "--help"])
    assert done.exit_code == 0, done.output
    assert "Usage" in done.output


def test_an_unknown_command_is_a_mistake_and_the_near_one_is_named():
    done = CliRunner().invoke(main, ["promoet"])
    assert done.exit_code == 2
    assert "Did you mean 'promote'?" in done.stderr


def test_an_error_of_ours_is_printed_without_a_traceback_and_gives_its_code(tmp_path, monkeypatch):
    monkeypatch.setenv("QUIRE_ROOT", str(tmp_path))
    done = CliRunner().invoke(main, ["run", "params/nothing"])
    assert done.exit_code == 2
    assert "config.yaml is not there" in done.stderr
    assert "Traceback" not in done.stderr
    assert Busy.exit_code == 5

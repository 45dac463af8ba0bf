"""``quire simulate`` as a person runs it: against a service, and against nothing."""

import socket

import pandas as pd
import pytest
from click.testing import CliRunner

from quire import artifacts, config, data
from quire.cli.main import main


@pytest.fixture
def with_rows(project):
    """A project whose last run left test rows behind."""
    settings = config.load("demo", root=project)
    folder = settings.outputs / "runs" / "20260301T000000000-aaaa"
    run = artifacts.open_stage(settings, str(folder / "artifacts" / "ingest"))
    test = pd.DataFrame({"temp": [0.5] * 5, "cnt": [10] * 5})
    assert data is not None
    run.save("test", test)
    (folder / "run.json").write_text('{"run_id": "x", "params": "demo", "status": "succeeded", "stages": {}}')
    return project


def test_with_no_service_it_ends_with_what_to_start(with_rows):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    done = CliRunner().invoke(main, ["simulate", "--url", url, "--seconds", "0.1", "--rate", "20"])
    assert done.exit_code == 7
    assert f"No prediction was answered by {url}. Is `quire serve params/demo` running?" in done.output
    assert "Traceback" not in done.output


def test_with_no_run_yet_it_says_which_command_comes_first(project):
    done = CliRunner().invoke(main, ["simulate"])
    assert done.exit_code == 4
    assert "quire run" in done.output

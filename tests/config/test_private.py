"""outputs/ is for its user alone, or for whom QUIRE_UMASK names."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from quire import config
from quire.config import private
from quire.errors import ConfigError

ROOT = Path(__file__).parents[2]


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.delenv("QUIRE_UMASK", raising=False)
    monkeypatch.setenv("QUIRE_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path / "outputs"


@pytest.mark.parametrize(
    ("before", "umask", "after"),
    [(0o755, "", 0o700), (0o777, "", 0o700), (0o700, "", 0o700), (0o2775, "027", 0o2750), (0o2775, "007", 0o2770),
     (0o750, "0027", 0o750), (0o755, "022", 0o755), (0o500, "", 0o500), (0o1777, "", 0o1777)],
)  # fmt: skip
def test_an_outputs_folder_of_an_older_version_is_closed(outputs, monkeypatch, before, umask, after):
    monkeypatch.setenv("QUIRE_UMASK", umask)
    outputs.mkdir()
    outputs.chmod(before)
    config.load("demo", root=ROOT)
    assert mode(outputs) == after


def test_where_there_is_no_outputs_folder_none_is_made(outputs):
    config.load("demo", root=ROOT)
    assert not outputs.exists()


@pytest.mark.parametrize("text", ["abc", "8", "0o77", "-1", "177", "777", "07 7", "٠٧٧", "077\n"])
def test_what_is_no_umask_is_refused_by_name(outputs, monkeypatch, text):
    monkeypatch.setenv("QUIRE_UMASK", text)
    with pytest.raises(ConfigError, match=r"QUIRE_UMASK is .*; expected an octal number"):
        private.umask()


def quire(*arguments, umask="022", **environment):
    """Run a command as somebody whose own umask is `umask`; returns what it printed."""
    command = f'umask {umask}; exec "$@"'
    return subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, "-m", "quire", *arguments],
        env={**os.environ, "QUIRE_ROOT": str(ROOT), **environment},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_all_that_a_run_writes_is_for_its_user_alone(outputs):
    quire("run", "demo", "--stages", "ingest", "--quiet")
    written = [path for path in (outputs, *outputs.rglob("*")) if not path.is_symlink()]
    assert len(written) > 20
    assert {oct(mode(path)) for path in written if path.is_dir()} == {"0o700"}
    assert [path for path in written if path.is_file() and mode(path) & 0o077] == []


def test_a_team_that_shares_its_outputs_says_so(outputs):
    quire("alerts", "demo", QUIRE_UMASK="027")
    assert mode(outputs) == 0o750
    assert mode(outputs / "quire.db") == 0o640


def test_files_for_the_repository_are_as_open_as_its_user_wants_them(tmp_path, outputs):
    (tmp_path / "params").mkdir()
    for name in ("workflow.yaml",):
        (tmp_path / "params" / name).write_bytes((ROOT / "params" / name).read_bytes())
    rows = "".join(f"{number},{number % 7},{number * 2}\n" for number in range(200))
    (tmp_path / "shop.csv").write_text(f"id,day,sold\n{rows}")
    quire("init", "shop", "--from", str(tmp_path / "shop.csv"), "--target", "sold", QUIRE_ROOT=str(tmp_path))
    assert mode(tmp_path / "params" / "shop") == 0o755
    assert mode(tmp_path / "params" / "shop" / "config.yaml") == 0o644

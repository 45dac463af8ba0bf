import subprocess
import sys

import pytest

from quire.flow.socket_dir import SocketDir, remove_left_behind

OWNER = """
import sys
from quire.flow.socket_dir import SocketDir
folder = SocketDir("warm-")
(folder.path / "s").touch()
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _base(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def test_the_folder_of_a_dead_owner_is_removed_and_that_of_a_living_one_is_not(tmp_path):
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    path = owner.stdout.readline().strip()
    assert remove_left_behind() == []
    owner.kill()
    owner.wait()
    assert [str(folder) for folder in remove_left_behind()] == [path]
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_ours_is_left_alone(tmp_path):
    for name in ("quire-other", "another"):
        (tmp_path / name).mkdir()
    mine = SocketDir()
    assert remove_left_behind() == []
    assert mine.path.stat().st_mode & 0o077 == 0
    mine.remove()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another", "quire-other"]

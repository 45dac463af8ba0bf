"""Machines that share an archive: each has its own outputs, all have the same bucket."""

import json
import shutil
import threading
from datetime import timedelta

import pytest
import yaml

from quire.errors import ArchiveError, Busy
from quire.io import lease, storage
from quire.io.archive import Archive

WORK = 'run.save("{name}", {{"value": {value}, "seen": run.load("{needs}")["value"]}})'
WORK_SECOND = WORK.format(name="second", value=2, needs="first")
WORK_THIRD = WORK.format(name="third", value=3, needs="second")


@pytest.fixture
def machine(project, bucket, aws, tmp_path):
    """Make the same project on another machine, with nothing in its outputs."""
    archive = {"url": bucket, "endpoint_url": aws, "keep_days": 30}
    config = {"source": {"kind": "demo"}, "archive": archive}
    (project.root / "params" / "x" / "config.yaml").write_text(yaml.safe_dump(config))
    project.stage("first", 'run.save("first", {"value": 1})')
    project.stage("second", WORK_SECOND, needs=["first"])
    project.stage("third", WORK_THIRD, needs=["second"])

    def make(name, endpoint_url=aws):
        root = tmp_path / name
        shutil.copytree(project.root, root)
        text = (root / "params" / "x" / "config.yaml").read_text().replace(aws, endpoint_url)
        (root / "params" / "x" / "config.yaml").write_text(text)
        return project.__class__(root, project.stages)

    return make


@pytest.fixture
def archive(bucket, aws, tmp_path):
    return Archive(storage.open(bucket, aws), tmp_path / "reader")


def content(folder):
    """What a run left but for its record, which is about the run itself."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for part in ("artifacts", "notebooks", "reports")
        for path in (folder / part).rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def test_another_machine_reuses_what_the_first_one_made_and_runs_only_what_changed(machine, archive):
    first = machine("one").run(publish=True)
    assert first.exit_code == 0
    back = archive.fetch_run(first.folder.name)
    assert content(back) == content(first.folder)
    assert json.loads((back / "run.json").read_text())["status"] == "succeeded"
    assert (back / "index.html").exists()
    two = machine("two")
    result = two.run(publish=False)
    assert set(two.statuses(result).values()) == {"reused"}
    two.notebook("second", WORK.format(name="second", value=20, needs="first"))
    result = two.run(publish=False)
    assert two.statuses(result) == {"first": "reused", "second": "succeeded", "third": "succeeded"}
    assert two.artifact(result, "third", "third") == {"value": 3, "seen": 20}


def test_a_run_killed_on_one_machine_is_gone_on_with_on_another(project, machine, archive, until, kill):
    registry = "from quire.io import tracking\nclient = tracking.open(settings).client\n"
    project.notebook("second", f'{registry}client.create_registered_model("x")\n{WORK_SECOND}')
    one = machine("one")
    one.notebook("third", "import time; time.sleep(600)")
    process = one.process("run", "params/x")

    def second_is_archived():
        return any("second" in item.key for item in archive.store.items("stages/x/second/"))

    until(second_is_archived)
    kill(process)
    process.communicate()
    archive.store.delete([item.key for item in archive.store.items("leases/")])  # as if it had lapsed
    two = machine("two")
    two.notebook("third", f'{registry}client.get_registered_model("x")\n{WORK_THIRD}')
    result = two.run(publish=False)
    assert two.statuses(result) == {"first": "reused", "second": "reused", "third": "succeeded"}
    assert two.artifact(result, "third", "third") == {"value": 3, "seen": 2}
    earlier = json.loads(sorted((two.outputs / "runs").glob("*/run.json"))[0].read_text())
    assert earlier["status"] == "interrupted"


def test_a_failed_stage_is_archived_too(machine, archive):
    one = machine("one")
    one.notebook("third", "raise ValueError('on purpose')")
    result = one.run(publish=True)
    assert result.exit_code == 4
    files = archive.files(result.folder.name)
    assert "notebooks/third.ipynb" in files
    assert archive.read_json(result.folder.name, "run.json")["status"] == "failed"


def test_nothing_is_missing_when_three_calls_in_ten_fail(machine, archive, door):
    one = machine("one")
    door.share = 0.3
    result = one.run(publish=True)
    door.share = 0.0
    assert door.failed > 5
    assert result.exit_code == 0
    assert content(archive.fetch_run(result.folder.name)) == content(result.folder)


def test_a_run_that_cannot_have_the_lease_does_not_start(machine):
    alone = machine("one", "http://127.0.0.1:9")
    with pytest.raises(ArchiveError, match=r"lease on 'x' cannot be had, so nothing was started") as error:
        alone.run(publish=True)
    assert error.value.exit_code == 6
    assert not list((alone.outputs / "runs").glob("*"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"owner": 7}'])
def test_a_lease_that_is_none_stops_the_run_and_says_what_to_do(machine, archive, content):
    archive.store.write("leases/x.json", content)
    with pytest.raises(ArchiveError, match=r"cannot be had.*leases/x.json is not what Quire writes.*remove it"):
        machine("one").run()


def test_a_run_whose_archive_goes_away_is_whole_here_and_sent_by_the_next(machine, archive, door):
    one = machine("one")
    one.run(publish=True)
    one.notebook("third", WORK.format(name="third", value=30, needs="second"))

    def go_away(event):
        door.share = 1.0 if event["event"] == "stage_started" else door.share

    result = one.run(publish=True, listen=go_away)
    door.share = 0.0
    assert result.record["status"] == "succeeded"
    assert result.exit_code == 6
    archive.store.delete(["leases/x.json"])  # as if it had lapsed: it could not be given back
    assert one.run(publish=True).exit_code == 0
    assert content(archive.fetch_run(result.folder.name)) == content(result.folder)


def test_a_run_whose_lease_another_machine_took_over_is_stopped(machine, archive, monkeypatch):
    one = machine("one")
    one.notebook("third", "import time; time.sleep(600)")

    def take_over(event):
        if event["event"] == "stage_started" and event["stage"] == "third":
            archive.store.write("leases/x.json", b'{"owner": "run abc (process 1 on two)"}')

    monkeypatch.setattr(lease, "LENGTH", timedelta(seconds=3))
    with pytest.raises(Busy, match="was taken over by another machine"):
        one.run(listen=take_over)
    record = json.loads(next((one.outputs / "runs").glob("*/run.json")).read_text())
    assert record["status"] == "interrupted"
    assert json.loads(archive.store.read("leases/x.json"))["owner"] == "run abc (process 1 on two)"


def test_a_result_that_is_not_whole_costs_that_result_and_no_other(machine, archive):
    result = machine("one").run(publish=True)
    archive.store.write(f"runs/{result.folder.name}/artifacts/second/second.json", b"damaged")
    archive.store.write("stages/x/evil/k/n.json", b"{")
    two = machine("two")
    again = two.run(publish=False)
    assert two.statuses(again) == {"first": "reused", "second": "succeeded", "third": "reused"}
    assert any("made of second is not reused" in warning for warning in again.record["warnings"])


KILL_PUBLISHER = """
import os, signal
from pathlib import Path
mark = f"QUIRE_ROOT={os.environ['QUIRE_ROOT']}".encode()
for folder in Path("/proc").glob("[0-9]*"):
    try:
        if b"quire.flow.publish" in (folder / "cmdline").read_bytes() and mark in (folder / "environ").read_bytes():
            os.kill(int(folder.name), signal.SIGKILL)
    except OSError:
        continue
"""


def test_a_run_whose_publisher_died_is_not_archived_and_says_so(machine):
    one = machine("one")
    one.notebook("third", KILL_PUBLISHER)
    result = one.run(publish=True, cold=True)
    assert result.record["status"] == "succeeded"
    assert result.exit_code == 6
    assert any("could not be published" in warning for warning in result.record["warnings"])


def test_two_machines_do_not_run_the_same_params_at_once(machine, archive):
    two = machine("two")
    refused = pytest.raises(Busy, match=r"'x' is run by run abc \(process 1 on one\)")
    with lease.hold(archive.store, "x", "run abc (process 1 on one)"), refused:
        two.run()
    assert two.run().exit_code == 0


def test_a_machine_waits_for_the_other_as_long_as_it_is_told(machine, archive):
    two = machine("two")
    theirs = lease.hold(archive.store, "x", "run abc (process 1 on one)")
    theirs.__enter__()
    with pytest.raises(Busy):
        two.run(wait_s=0.1)
    ended = threading.Timer(1, theirs.__exit__, (None, None, None))
    ended.start()
    assert two.run(wait_s=60).exit_code == 0
    ended.join()


def test_without_an_archive_nobody_is_asked(project, door):
    project.stage("first", 'run.save("first", {"value": 1})')
    threads = threading.active_count()
    assert project.run().exit_code == 0
    assert door.calls == []
    assert threading.active_count() <= threads + 1

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from quire.errors import ArchiveError, ArtifactError
from quire.io import storage
from quire.io.archive import Archive
from quire.io.storage import Unreachable


@pytest.fixture
def archive_at(bucket, aws, tmp_path):
    """Make an archive as one machine sees it: its own outputs folder, the same bucket."""

    def make(machine="one", **options):
        return Archive(storage.open(bucket, aws), tmp_path / machine, **options)

    return make


def make_run(outputs: Path, run_id: str = "20261120T0600Z-aa", *, params="demo", **files: str) -> Path:
    """A run's folder; keyword ``train`` becomes the artifact train/train.json."""
    folder = outputs / "runs" / run_id
    for name, text in files.items():
        path = folder / "artifacts" / name / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"params": params, "stages": sorted(files)}), encoding="utf-8")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_comes_back_on_another_machine(archive_at):
    one = archive_at("one")
    folder = make_run(one.outputs, ingest="1", train="2")
    one.save_run(folder)
    back = archive_at("two").fetch_run(folder.name)
    assert content(back) == content(folder)
    assert back != folder


def test_part_of_a_run_comes_back(archive_at):
    one = archive_at("one")
    folder = make_run(one.outputs, ingest="1", train="2")
    one.save_run(folder)
    back = archive_at("two").fetch_run(folder.name, below=["artifacts/train/"])
    assert list(content(back)) == ["artifacts/train/train.json"]


def test_a_file_that_is_here_is_not_fetched_again(archive_at, door):
    one = archive_at("one")
    folder = make_run(one.outputs, ingest="1", train="2")
    one.save_run(folder)
    door.calls.clear()
    archive_at("one").fetch_run(folder.name)
    assert [path for path in door.paths("GET") if path.endswith("train.json")] == []


def test_a_file_damaged_here_is_fetched_again(archive_at):
    one = archive_at("one")
    folder = make_run(one.outputs, train="2")
    one.save_run(folder)
    (folder / "artifacts/train/train.json").write_text("damaged", encoding="utf-8")
    one.fetch_run(folder.name)
    assert (folder / "artifacts/train/train.json").read_text(encoding="utf-8") == "2"


def test_an_unknown_run_is_named_with_the_near_one(archive_at):
    one = archive_at("one")
    one.save_run(make_run(one.outputs, "20261120T0600Z-aa", train="2"))
    with pytest.raises(ArtifactError, match=r"no run '20261120T0600Z-ab'.*Did you mean '20261120T0600Z-aa'\?"):
        one.fetch_run("20261120T0600Z-ab")


def test_a_stage_sends_only_what_is_new(archive_at, door):
    one = archive_at("one")
    folder = make_run(one.outputs, ingest="1")
    one.save_stage(folder)
    make_run(one.outputs, ingest="1", train="2")
    door.calls.clear()
    sent = one.save_stage(folder)
    assert (sent.sent, sent.kept) == (2, 1)
    names = sorted(path.rsplit("/", 1)[1] for path in door.paths("PUT"))
    assert names == ["_archive.json", "run.json", "train.json"]


def test_content_of_an_earlier_run_is_not_sent_again(archive_at, door):
    one = archive_at("one")
    one.save_run(make_run(one.outputs, "a", train="the same"))
    other = archive_at("one")
    sent = other.save_run(make_run(one.outputs, "b", train="the same"))
    assert (sent.sent, sent.copied, sent.sent_bytes) == (0, 2, 0)
    assert content(archive_at("two").fetch_run("b")) == content(one.outputs / "runs" / "b")


def test_content_whose_earlier_run_is_gone_is_sent(archive_at):
    one = archive_at("one")
    one.save_run(make_run(one.outputs, "a", train="the same"))
    one.store.delete(["runs/a/artifacts/train/train.json"])
    other = archive_at("one")
    other.save_run(make_run(one.outputs, "b", train="the same"))
    assert content(archive_at("two").fetch_run("b")) == content(one.outputs / "runs" / "b")


def test_a_saving_that_was_killed_sends_only_the_rest(archive_at, door):
    one = archive_at("one")
    folder = make_run(one.outputs, ingest="1", train="2")
    one.save_run(folder)
    one.store.delete([f"runs/{folder.name}/_archive.json", f"runs/{folder.name}/artifacts/train/train.json"])
    sent = archive_at("one").save_run(folder)
    assert (sent.sent, sent.kept) == (1, 2)


def test_what_is_being_written_is_not_sent(archive_at):
    one = archive_at("one")
    folder = make_run(one.outputs, train="2")
    (folder / "artifacts" / "train" / ".model.1.partial").write_text("half", encoding="utf-8")
    one.save_run(folder)
    assert sorted(one.files(folder.name)) == ["artifacts/train/train.json", "run.json"]


def test_a_stage_is_found_by_its_key(archive_at):
    one = archive_at("one")
    folder = make_run(one.outputs, train="2")
    one.save_stage(folder, "demo/train/abc", {"of-a": {"run_id": folder.name}})
    two = archive_at("two")
    assert two.find_stage("demo/train/abc") == [{"run_id": folder.name}]
    assert two.find_stage("demo/train/abd") == []
    two.save_stage(make_run(two.outputs, train="3"), "demo/train/abc", {"of-b": {"run_id": "another"}})
    assert {note["run_id"] for note in one.find_stage("demo/train/abc")} == {folder.name, "another"}


def test_nothing_is_missing_when_three_calls_in_ten_fail(archive_at, door, quick):
    one = archive_at("one")
    folder = make_run(one.outputs, **{f"s{number}": str(number) for number in range(40)})
    door.share = 0.3
    one.save_run(folder)
    back = archive_at("two").fetch_run(folder.name)
    assert door.failed > 20
    assert content(back) == content(folder)
    assert one.owed() == []


def test_a_run_that_did_not_arrive_is_owed_and_sent_by_the_next(archive_at, tmp_path, quick):
    gone = Archive(storage.open("s3://quire-test/some/where", "http://127.0.0.1:9"), tmp_path / "one")
    folder = make_run(gone.outputs, train="2")
    with pytest.raises(ArchiveError, match="does not answer"):
        gone.save_run(folder)
    later = archive_at("one")
    assert later.owed() == [folder.name]
    assert later.save_owed() == [folder.name]
    assert later.owed() == []
    assert content(archive_at("two").fetch_run(folder.name)) == content(folder)


def test_a_run_is_owed_until_it_has_ended(archive_at):
    one = archive_at("one")
    folder = make_run(one.outputs, train="2")
    one.save_stage(folder)
    assert one.owed() == [folder.name]
    assert one.save_owed(but=folder.name) == []


def test_a_server_that_is_gone_does_not_hold_up_every_stage(archive_at, tmp_path, quick, monkeypatch):
    gone = Archive(storage.open("s3://quire-test/some/where", "http://127.0.0.1:9"), tmp_path / "one")
    folder = make_run(gone.outputs, train="2")
    with pytest.raises(Unreachable):
        gone.save_stage(folder)
    gone.store = None
    with pytest.raises(Unreachable):
        gone.save_stage(folder)


def test_a_run_pruned_here_is_no_longer_owed(archive_at):
    one = archive_at("one")
    one.save_stage(make_run(one.outputs, "a", train="1"))
    import shutil

    shutil.rmtree(one.outputs / "runs" / "a")
    assert one.owed() == []


def test_old_runs_are_removed_but_the_newest_of_each_params_stays(archive_at):
    one = archive_at("one", keep_days=30)
    for run_id, params in [("a", "demo"), ("b", "demo"), ("c", "bikes")]:
        one.save_run(make_run(one.outputs, run_id, params=params, train=run_id))
    now = datetime.now(UTC)
    assert one.prune(now + timedelta(days=29)) == []
    assert one.prune(now + timedelta(days=31)) == ["a"]
    assert one.runs() == ["b", "c"]


def test_nothing_is_removed_where_no_retention_is_set(archive_at):
    one = archive_at("one")
    one.save_run(make_run(one.outputs, "a", train="1"))
    assert one.prune(datetime.now(UTC) + timedelta(days=9999)) == []


class Died(BaseException):
    """The machine is gone; nothing that handles errors sees it."""


@pytest.fixture
def dying(monkeypatch):
    """Return a function that lets the machine die after so many changes of the archive."""
    changes = {"left": 10**6}

    def counted(change):
        def call(self, *args, **options):
            if changes["left"] <= 0:
                raise Died
            changes["left"] -= 1
            return change(self, *args, **options)

        return call

    for name in ("put", "write", "copy", "delete"):
        monkeypatch.setattr(storage.Store, name, counted(getattr(storage.Store, name)))

    def after(count):
        changes["left"] = count

    return after


def change_run(outputs, run_id, number):
    """What stage ``number`` leaves: its artifact, and new content of files that every stage changes."""
    folder = make_run(outputs, run_id, **{f"stage{number}": str(number)})
    record = {"params": "demo", "status": "running", "stages": [f"stage{at}" for at in range(number + 1)]}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "index.html").write_text(f"<h1>{number} of 3</h1>", encoding="utf-8")
    (folder / "reports").mkdir(exist_ok=True)
    (folder / "reports" / "first.html").write_text("<p>" + "x" * number, encoding="utf-8")
    return folder


STEPS = {
    "a stage": lambda archive, folder: archive.save_stage(folder, "demo/stage/k3", {"n": {"run_id": folder.name}}),
    "the end": lambda archive, folder: archive.save_run(folder),
}


def saved_twice(archive):
    for number in range(2):
        folder = change_run(archive.outputs, "r", number)
        archive.save_stage(folder, f"demo/stage/k{number}", {"n": {"run_id": "r"}})
    return content(folder)


@pytest.mark.parametrize("step", STEPS)
def test_at_every_cut_between_two_uploads_the_archive_stays_whole_as_it_was(step, archive_at, dying, monkeypatch):
    monkeypatch.setattr(storage, "THREADS", 1)
    cut = 0
    while True:
        dying(10**6)
        one = archive_at(f"{step}{cut}")
        one.store.delete([item.key for item in one.store.items()])
        before = saved_twice(one)
        after = content(change_run(one.outputs, "r", 2))
        dying(cut)
        try:
            STEPS[step](archive_at(f"{step}{cut}"), one.outputs / "runs" / "r")
            died = False
        except Died:
            died = True
        dying(10**6)
        other = archive_at(f"{step}{cut} empty")
        assert content(other.fetch_run("r")) in (before, after), f"cut after {cut} changes"
        assert [other.find_stage(f"demo/stage/k{number}") for number in range(2)] == [[{"run_id": "r"}]] * 2
        # And the machine goes on from there, with all that it owes.
        again = archive_at(f"{step}{cut}")
        assert again.save_owed() == ["r"] or not died
        assert content(archive_at(f"{step}{cut} again").fetch_run("r")) == after
        if step == "a stage":
            assert again.find_stage("demo/stage/k3") == [{"run_id": "r"}]
        assert not [item.key for item in again.store.items("runs/r/_versions/")] or not died
        if not died:
            assert content(other.fetch_run("r")) == after
            assert cut > 3
            return
        cut += 1


def test_after_the_end_every_file_is_at_its_own_name(archive_at):
    one = archive_at("one")
    saved_twice(one)
    folder = change_run(one.outputs, "r", 2)
    one.save_run(folder)
    keys = sorted(item.key for item in one.store.items("runs/r/"))
    assert keys == sorted([*(f"runs/r/{path}" for path in content(folder)), "runs/r/_archive.json"])
    for path, data in content(folder).items():
        assert one.store.read(f"runs/r/{path}") == data
    assert all(not file.key for file in one.files("r").values())


def test_an_archive_of_the_version_before_is_read_and_gone_on_with(archive_at):
    one = archive_at("one")
    folder = change_run(one.outputs, "r", 0)
    described = {}
    for path in content(folder):
        one.store.put(folder / path, f"runs/r/{path}")
        described[path] = {"sha256": storage.file_sha256(folder / path), "size_bytes": (folder / path).stat().st_size}
    one.store.write("runs/r/_archive.json", json.dumps({"run_id": "r", "files": described}, indent=1).encode())
    (one.outputs / ".archive" / "owed").mkdir(parents=True)
    (one.outputs / ".archive" / "owed" / "r").touch()
    assert content(archive_at("two").fetch_run("r")) == content(folder)
    change_run(one.outputs, "r", 1)
    assert archive_at("one").save_owed() == ["r"]
    assert content(archive_at("three").fetch_run("r")) == content(folder)


def test_a_note_that_did_not_arrive_is_owed_and_sent_by_the_next_run(archive_at, monkeypatch):
    one = archive_at("one")
    folder = make_run(one.outputs, train="2")
    write = storage.Store.write

    def refuse(self, key, *args, **options):
        if key.startswith("stages/"):
            raise ArchiveError("on purpose")
        return write(self, key, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(storage.Store, "write", refuse)
        with pytest.raises(ArchiveError):
            one.save_stage(folder, "demo/train/abc", {"n": {"run_id": folder.name}})
    assert one.find_stage("demo/train/abc") == []
    assert archive_at("one").save_owed() == [folder.name]
    assert one.find_stage("demo/train/abc") == [{"run_id": folder.name}]
    assert one.owed() == []


def test_a_run_whose_record_did_not_come_is_not_pruned_for_it(archive_at, monkeypatch):
    one = archive_at("one", keep_days=30)
    one.save_run(make_run(one.outputs, "a", train="1"))

    def fail(self, key):
        raise ArchiveError(f"{key}: on purpose")

    monkeypatch.setattr(storage.Store, "read", fail)
    with pytest.raises(ArchiveError, match="on purpose"):
        one.prune(datetime.now(UTC) + timedelta(days=60))
    assert list(one.store.folders("runs")) == ["a"]

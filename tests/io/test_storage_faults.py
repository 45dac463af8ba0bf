"""A body that is cut off on the way is another try, like a connection that is lost."""

import json
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from tests.io.faults import KINDS, Faults, faulty
from tests.io.test_archive import content, make_run

from quire.errors import ArchiveError
from quire.io import lease, storage
from quire.io.archive import Archive
from quire.io.storage import Conflict, Cut, Unreachable


@pytest.fixture
def faults():
    return Faults()


@pytest.fixture
def url(aws, faults):
    with faulty(aws, faults) as url:
        yield url


@pytest.fixture
def store(bucket, url, quick, monkeypatch):
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    return storage.open(bucket, url)


CALLS = {
    "read": lambda store, folder: store.read("a.txt"),
    "get": lambda store, folder: (store.get("a.txt", folder / "x"), (folder / "x").read_bytes())[1],
    "items": lambda store, folder: [item.key for item in store.items()],
    "folders": lambda store, folder: list(store.folders("runs")),
    "sha256": lambda store, folder: store.sha256("a.txt"),
    "now": lambda store, folder: bool(store.now()),
    "write": lambda store, folder: bool(store.write("b.txt", b"x" * 1000)),
    "put": lambda store, folder: store.put(folder / "file", "c.txt"),
    "copy": lambda store, folder: store.copy("a.txt", "d.txt", storage._sha256(b"y" * 1000)),
    "delete": lambda store, folder: store.delete(["e.txt"]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", CALLS)
def test_each_call_survives_each_fault_as_often_as_it_is_tried_but_once(call, kind, store, faults, tmp_path):
    (tmp_path / "file").write_bytes(b"z" * 1000)
    store.write("a.txt", b"y" * 1000)
    store.write("runs/r/x", b"1")
    expected = CALLS[call](store, tmp_path)
    faults.queue[:] = [kind] * (storage.ATTEMPTS - 1)
    assert CALLS[call](store, tmp_path) == expected
    assert faults.count or kind == "half upload"


def test_a_body_that_is_always_cut_is_not_taken_for_a_server_that_is_gone(store, faults):
    store.write("a.txt", b"y" * 1000)
    faults.queue[:] = ["half body"] * storage.ATTEMPTS
    with pytest.raises(Cut, match=r"cut off after 6 tries") as error:
        store.read("a.txt")
    assert not isinstance(error.value, Unreachable)
    assert [kind for _, kind in faults.seen].count("half body") == storage.ATTEMPTS


def test_what_arrived_otherwise_than_it_left_is_sent_again(store, monkeypatch):
    from botocore.exceptions import ClientError

    put, tries = store._s3.put_object, []

    def refuse(**options):
        tries.append(options["Key"])
        if len(tries) < 3:
            raise ClientError(
                {"Error": {"Code": "BadDigest"}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "PutObject"
            )
        return put(**options)

    monkeypatch.setattr(store._s3, "put_object", refuse)
    store.write("a.txt", b"1")
    assert len(tries) == 3
    assert store.read("a.txt") == b"1"


def test_a_list_that_is_cut_between_its_pages_is_whole(store, faults):
    storage.each(lambda number: store.write(f"n/{number:04d}", b""), range(1003))
    pages = iter(store.items("n/"))
    first = next(pages)
    faults.queue[:] = ["half body", "reset"]
    assert len([first, *pages]) == 1003


def test_a_conditional_write_whose_answer_is_lost_is_ours(store, faults):
    faults.queue[:] = ["lost answer"]
    with lease.hold(store, "demo", "one:1"):
        assert json.loads(store.read("leases/demo.json"))["owner"] == "one:1"
        with pytest.raises(Conflict):
            store.write("leases/demo.json", b"{}", absent=True)


def test_a_lease_is_had_and_kept_through_faults(store, faults):
    faults.rate = 0.3
    with lease.hold(store, "demo", "one:1", timedelta(seconds=30)) as lost:
        assert not lost.is_set()
    faults.rate = 0.0
    assert list(store.items("leases/")) == []


@pytest.mark.parametrize("seed", range(2))
def test_a_third_of_all_calls_fail_in_every_way_and_nothing_is_missing(seed, bucket, aws, store, faults, tmp_path):
    faults.__init__(0.3, seed)
    archive = Archive(store, tmp_path / "one")
    folder = make_run(archive.outputs, **{f"s{number}": str(number) * number for number in range(12)})
    for number in range(3):
        (folder / "run.json").write_text(json.dumps({"params": "demo", "status": "running", "stages": [str(number)]}))
        archive.save_stage(folder, f"demo/s/{number}", {"n": {"run_id": folder.name}})
    archive.save_run(folder)
    other = Archive(storage.open(bucket, store.endpoint_url), tmp_path / "two")
    assert content(other.fetch_run(folder.name)) == content(folder)
    assert [other.find_stage(f"demo/s/{number}") for number in range(3)] == [[{"run_id": folder.name}]] * 3
    assert faults.count > 5


@contextmanager
def stopped_after(faults, calls):
    """Let every call fail from one on, as where the machine, or its network, is gone."""
    real = faults.next
    left = [calls]

    def following(method):
        left[0] -= 1
        return real(method) if left[0] >= 0 else "reset"

    faults.next = following
    try:
        yield
    finally:
        faults.next = real


@pytest.mark.parametrize("calls", range(2, 60, 14))
def test_killed_in_the_middle_at_a_third_of_faults_an_empty_machine_gets_what_was_whole(
    calls, bucket, store, faults, tmp_path
):
    archive = Archive(store, tmp_path / "one")
    folder = make_run(archive.outputs, ingest="1", validate="2")
    archive.save_stage(folder, "demo/validate/k", {"n": {"run_id": folder.name}})
    before = content(folder)
    make_run(archive.outputs, ingest="1", validate="2", train="3")
    faults.__init__(0.3, calls)
    with stopped_after(faults, calls):
        for number in range(calls):  # until nothing arrives any longer
            (folder / "index.html").write_text(str(number))
            with suppress(ArchiveError):
                archive.save_stage(folder, "demo/train/k", {"n": {"run_id": folder.name}})
        assert archive._unreachable
    other = Archive(storage.open(bucket, store.endpoint_url), tmp_path / "two")
    fetched = content(other.fetch_run(folder.name))
    assert {path: fetched.get(path) for path in before if path != "run.json"} == {
        path: data for path, data in before.items() if path != "run.json"
    }
    assert other.find_stage("demo/validate/k") == [{"run_id": folder.name}]

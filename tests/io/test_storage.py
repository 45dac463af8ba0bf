import threading

import pytest

from quire.errors import ArchiveError, ConfigError
from quire.io import storage
from quire.io.storage import Conflict, Missing, Unreachable


@pytest.fixture
def store(bucket, aws):
    return storage.open(bucket, aws)


@pytest.fixture
def quick(monkeypatch):
    """Leave out the pauses between botocore's retries."""
    import botocore.retries.standard as retries

    monkeypatch.setattr(retries.ExponentialBackoff, "delay_amount", lambda self, context: 0)


def test_a_file_comes_back_as_it_was(store, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"\x00\x01quire")
    store.put(tmp_path / "a.bin", "x/a.bin")
    store.get("x/a.bin", tmp_path / "back" / "a.bin")
    assert (tmp_path / "back" / "a.bin").read_bytes() == b"\x00\x01quire"


def test_a_large_file_goes_in_parts_and_comes_back(store, tmp_path, monkeypatch, door):
    monkeypatch.setattr(storage, "PART_BYTES", 1024)
    content = bytes(range(256)) * 65_536
    (tmp_path / "large.bin").write_bytes(content)
    store.put(tmp_path / "large.bin", "large.bin")
    store.get("large.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == content
    assert len(door.paths("PUT")) > 2


def test_keys_are_below_the_prefix(store, aws):
    store.write("a.txt", b"1")
    client = storage.client("s3", aws)
    assert [found["Key"] for found in client.list_objects_v2(Bucket="quire-test")["Contents"]] == ["some/where/a.txt"]
    assert [item.key for item in store.items()] == ["a.txt"]


def test_a_store_needs_no_prefix(bucket, aws):
    store = storage.open("s3://quire-test", aws)
    store.write("runs/1/a", b"1")
    assert [item.key for item in store.items("runs/")] == ["runs/1/a"]
    assert list(store.folders("runs")) == ["1"]


def test_more_objects_than_a_page_are_listed(store):
    storage.each(lambda number: store.write(f"n/{number:04d}", b""), range(1003))
    assert len(list(store.items("n/"))) == 1003
    store.delete([item.key for item in store.items("n/")])
    assert list(store.items()) == []


def test_folders_are_named_without_what_is_in_them(store):
    for key in ("runs/b/1", "runs/a/1", "runs/a/2", "runs/top"):
        store.write(key, b"")
    assert list(store.folders("runs")) == ["a", "b"]


def test_what_is_not_there_is_missing(store, tmp_path):
    assert not store.exists("no")
    with pytest.raises(Missing, match=r"s3://quire-test/some/where/no is not there"):
        store.read("no")
    with pytest.raises(Missing):
        store.get("no", tmp_path / "no")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_changed_on_the_way_never_takes_its_name(store, tmp_path):
    store.write("a.txt", b"what was sent")
    with pytest.raises(ArchiveError, match="not whole"):
        store.get("a.txt", tmp_path / "a.txt", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_reports_open_in_a_browser(store, aws, tmp_path):
    (tmp_path / "index.html").write_text("<h1>ä</h1>", encoding="utf-8")
    store.put(tmp_path / "index.html", "index.html")
    head = storage.client("s3", aws).head_object(Bucket="quire-test", Key="some/where/index.html")
    assert head["ContentType"] == "text/html; charset=utf-8"


def test_only_the_first_writer_of_an_absent_object_wins(store):
    wins = []

    def write(number):
        try:
            store.write("lock", str(number).encode(), absent=True)
            wins.append(number)
        except Conflict:
            pass

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wins) >= 1
    assert int(store.read("lock")) in wins
    with pytest.raises(Conflict):
        store.write("lock", b"late", absent=True)


def test_a_write_over_a_version_that_is_gone_is_refused(store):
    first = store.write("state", b"1")
    second = store.write("state", b"2", tag=first)
    with pytest.raises(Conflict, match="somebody else"):
        store.write("state", b"3", tag=first)
    assert store.read_tagged("state")[1].tag == second


def test_every_file_arrives_when_three_calls_in_ten_fail(store, door, tmp_path, quick):
    files = {f"{number:02d}.txt": f"content {number}".encode() for number in range(60)}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    store.exists("")
    door.share = 0.3
    results = storage.each(lambda name: store.put(tmp_path / name, name), files)
    assert [error for _, error in results if error] == []
    assert door.failed > 10
    door.share = 0.0
    assert {item.key: store.read(item.key) for item in store.items()} == files


def test_a_server_that_is_gone_is_said_to_be(tmp_path, no_credentials_of_this_machine, quick):
    store = storage.open("s3://quire-test/a", "http://127.0.0.1:9")
    with pytest.raises(Unreachable, match=r"s3://quire-test/a/x: the server does not answer"):
        store.read("x")


def test_a_bucket_that_is_not_there_is_named(aws):
    with pytest.raises(ArchiveError, match=r"the bucket is not there. Check archive.url"):
        storage.open("s3://another/a", aws).write("x", b"")


def test_credentials_that_are_absent_are_asked_for(monkeypatch, no_credentials_of_this_machine):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ArchiveError, match=r"Unable to locate credentials"):
        storage.open("s3://bucket/a", "http://127.0.0.1:9").read("x")


@pytest.mark.parametrize("url", ["bucket/a", "https://bucket/a", "s3:///a"])
def test_another_kind_of_url_is_refused(url):
    with pytest.raises(ConfigError, match=r"expected s3://bucket/prefix"):
        storage.open(url)


def test_no_region_is_a_mistake_of_configuration(monkeypatch, no_credentials_of_this_machine):
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ConfigError, match="AWS_REGION"):
        storage.client("sns")

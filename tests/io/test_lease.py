import json
from datetime import timedelta

import pytest

from quire.errors import Busy
from quire.io import lease, storage

SHORT = timedelta(seconds=6)  # S3 dates an object by the second, so a lease of one second lapses at once


@pytest.fixture
def store(bucket, aws):
    return storage.open(bucket, aws)


def test_only_one_machine_holds_the_lease(store):
    with lease.hold(store, "demo", "one:1"):
        with pytest.raises(Busy, match=r"'demo' is run by one:1"), lease.hold(store, "demo", "two:1"):
            pass
        with lease.hold(store, "bikes", "two:1"):
            pass


def test_the_lease_is_given_back(store):
    with lease.hold(store, "demo", "one:1"):
        pass
    with lease.hold(store, "demo", "two:1"):
        assert json.loads(store.read("leases/demo.json"))["owner"] == "two:1"


def test_the_lease_is_renewed_while_it_is_held(store):
    with lease.hold(store, "demo", "one:1", SHORT) as lost:
        first = store.read_tagged("leases/demo.json")[1]
        assert not lost.wait(3.5)
        assert store.read_tagged("leases/demo.json")[1].modified_at > first.modified_at
        with pytest.raises(Busy), lease.hold(store, "demo", "two:1", SHORT):
            pass


def test_a_lease_whose_holder_died_lapses(store):
    lease._take(store, "demo", "dead:1", SHORT)
    with pytest.raises(Busy, match=r"lapses in \d+ s"), lease.hold(store, "demo", "two:1", timedelta(minutes=5)):
        pass
    with lease.hold(store, "demo", "two:1", timedelta(0)):
        assert json.loads(store.read("leases/demo.json"))["owner"] == "two:1"


def test_a_holder_that_slept_too_long_is_told_that_it_lost_the_lease(store):
    with lease.hold(store, "demo", "one:1", SHORT) as lost:
        store.write("leases/demo.json", json.dumps({"owner": "two:1"}).encode())
        assert lost.wait(10)
    assert json.loads(store.read("leases/demo.json"))["owner"] == "two:1"


def test_a_repeated_write_of_our_own_is_no_conflict(store):
    tag = lease._take(store, "demo", "one:1", SHORT)
    assert lease._take(store, "demo", "one:1", SHORT) == tag

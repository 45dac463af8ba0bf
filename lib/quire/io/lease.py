"""One machine at a time: a lease on a name in a store that several machines share.

The lease is an object ``leases/<name>.json`` that S3 writes only if nobody else did (a conditional write). It is
renewed while the block runs and may be taken over when its holder has let it lapse. Time is the server's.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from quire.errors import ArchiveError, Busy
from quire.io.archive_format import LeaseHolder, parse
from quire.io.storage import Conflict, Missing, Store

LENGTH = timedelta(minutes=5)


@contextmanager
def hold(store: Store, name: str, owner: str, length: timedelta = LENGTH) -> Iterator[threading.Event]:
    """Hold the lease on ``name`` while the block runs; yields an event that is set if the lease was lost.

    owner: who asks, unique to this process, such as host name and run. Raises Busy while another one holds it.
    """
    tag = _take(store, name, owner, length)
    stop_event, lost_event = threading.Event(), threading.Event()
    keeper = threading.Thread(target=_keep, args=(store, name, owner, length, tag, stop_event, lost_event), daemon=True)
    keeper.start()
    try:
        yield lost_event
    finally:
        stop_event.set()
        keeper.join()
        if not lost_event.is_set():
            _give_back(store, name, owner)


def _take(store: Store, name: str, owner: str, length: timedelta) -> str:
    key = f"leases/{name}.json"
    content = json.dumps({"owner": owner}).encode()
    try:
        return store.write(key, content, absent=True)
    except Conflict:
        pass
    try:
        lease_content, item = store.read_tagged(key)
    except Missing:
        return _write(store, name, content, absent=True)
    holder = parse(LeaseHolder, lease_content, where=store.url(key)).owner
    if holder == owner:  # the answer to our own write was lost and the call repeated
        return item.tag
    remaining_time = item.modified_at + length - store.now()
    if remaining_time > timedelta(0):
        raise Busy(
            f"{name!r} is run by {holder}, which was alive at {item.modified_at:%H:%M:%S} UTC. "
            f"Wait until it ends; if it died, its lease lapses in {max(1, round(remaining_time.total_seconds()))} s."
        )
    return _write(store, name, content, tag=item.tag)


def _write(store: Store, name: str, content: bytes, **condition: Any) -> str:
    try:
        return store.write(f"leases/{name}.json", content, **condition)
    except Conflict:
        raise Busy(f"{name!r} was taken over by another machine just now. Wait until it ends.") from None


def _keep(
    store: Store,
    name: str,
    owner: str,
    length: timedelta,
    tag: str,
    ended: threading.Event,
    lost: threading.Event,
) -> None:
    """Renew the lease three times as often as it lapses, until the block ends or somebody else has it."""
    key, content = f"leases/{name}.json", json.dumps({"owner": owner}).encode()
    while not ended.wait(length.total_seconds() / 3):
        try:
            tag = _renewed(store, key, content, tag)
        except (Conflict, Missing):
            lost.set()
            return
        except ArchiveError:
            continue  # the server does not answer; it is asked again, and the run itself reports that


def _renewed(store: Store, key: str, content: bytes, tag: str) -> str:
    try:
        return store.write(key, content, tag=tag)
    except Conflict:
        lease_content, item = store.read_tagged(key)
        if lease_content != content:
            raise
        return item.tag  # our own write: its answer was lost and the call repeated


def _give_back(store: Store, name: str, owner: str) -> None:
    key = f"leases/{name}.json"
    try:
        if parse(LeaseHolder, store.read(key), where=store.url(key)).owner == owner:
            store.delete([key])
    except ArchiveError:
        return  # it lapses by itself

"""Requests that arrive while a prediction runs are predicted together, each with its own version, in its own order."""

import asyncio
from types import SimpleNamespace

import pytest

from quire.serve import batcher
from quire.serve.batcher import Batcher


class Model:
    """Stands for a served version, whose place the batcher only uses: it doubles a row and remembers the batches."""

    def __init__(self, fast=True):
        self.fast, self.batches = fast, []

    def score(self, rows):
        self.batches.append(len(rows))
        if any(row == "bad" for row in rows):
            raise ValueError("this batch fails")
        return [row * 2 for row in rows]


def predict(work, **options):
    async def main():
        made = Batcher(**options)
        try:
            return await work(made)
        finally:
            made.close()

    return asyncio.run(main())


@pytest.mark.parametrize("fast", [True, False])
def test_rows_that_wait_are_predicted_in_one_call_and_each_gets_its_own(fast):
    model, measured = Model(fast), []

    async def work(made):
        return await asyncio.gather(*(made.predict(model, [number, number + 100]) for number in range(20)))

    found = predict(work, measured=measured.append)
    assert found == [[2 * number, 2 * number + 200] for number in range(20)]
    assert model.batches == measured == [40]


def test_a_request_is_never_predicted_by_another_version_than_its_own():
    old, new = Model(), Model()

    async def work(made):
        order = [old, old, new, old]
        await asyncio.gather(*(made.predict(model, [1]) for model in order))

    predict(work)
    assert (old.batches, new.batches) == ([2, 1], [1])


def test_more_rows_than_are_predicted_at_a_time_take_several_calls(monkeypatch):
    monkeypatch.setattr(batcher, "MOST_ROWS", 4)
    model = Model()

    async def work(made):
        return await asyncio.gather(*(made.predict(model, list(range(count))) for count in (3, 3, 9)))

    assert [len(one) for one in predict(work)] == [3, 3, 9]
    assert model.batches == [3, 3, 9]


def test_a_request_that_fails_fails_alone_and_no_later_one():
    model = Model()

    async def work(made):
        failed = await asyncio.gather(made.predict(model, ["bad"]), made.predict(model, [1]), return_exceptions=True)
        return failed, await made.predict(model, [4])

    failed, after = predict(work)
    assert [str(answer) for answer in failed] == ["this batch fails", "[2]"]
    assert after == [8]


def test_a_request_that_was_given_up_does_not_disturb_the_others():
    model = Model()

    async def work(made):
        given_up = asyncio.create_task(made.predict(model, [1]))
        other = asyncio.create_task(made.predict(model, [2]))
        await asyncio.sleep(0)
        given_up.cancel()
        return await other

    assert predict(work) == [4]


def test_a_slow_model_does_not_stop_the_event_loop():
    import threading

    free = threading.Event()

    def score(rows):
        assert free.wait(10)
        return rows

    async def work(made):
        waiting = asyncio.create_task(made.predict(SimpleNamespace(fast=None, score=score), [1]))
        await asyncio.sleep(0.01)
        free.set()  # only a loop that goes on gets here
        return await waiting

    assert predict(work) == [1]


@pytest.mark.parametrize("fast", [True, False])
def test_a_row_that_the_model_fails_on_takes_no_neighbour_along(fast):
    model = Model(fast)

    async def work(made):
        rows = [[1, 2], ["bad"], [3], ["x", "bad"], [4]]
        return await asyncio.gather(*(made.predict(model, sent) for sent in rows), return_exceptions=True)

    found = predict(work)
    assert [found[0], found[2], found[4]] == [[2, 4], [6], [8]]
    assert [type(found[1]), type(found[3])] == [ValueError, ValueError]

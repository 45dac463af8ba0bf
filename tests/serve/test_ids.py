"""Ids are unique, sort by time, and are not to be guessed from one another."""

import itertools
import time

from quire.serve.ids import random_ids


def test_ids_are_unique_and_have_32_hexadecimal_digits():
    found = list(itertools.islice(random_ids(), 2_000))
    assert len(set(found)) == 2_000
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in found)


def test_a_later_id_sorts_behind_an_earlier_one():
    ids = random_ids()
    first = next(ids)
    time.sleep(0.002)
    assert first < next(ids)


def test_of_two_neighbours_the_last_80_bits_share_nothing_but_chance():
    pairs = itertools.pairwise(int(one[12:], 16) for one in itertools.islice(random_ids(), 1_000))
    different = [(one ^ other).bit_count() for one, other in pairs]
    assert min(different) >= 15
    assert 38 < sum(different) / len(different) < 42

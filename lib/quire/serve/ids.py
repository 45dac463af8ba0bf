"""Ids that nobody can guess, without asking the kernel for each."""

import os
from collections.abc import Iterator

SIZE = 16
AT_ONCE = 256


def random_ids() -> Iterator[str]:
    """Yield texts of 32 hexadecimal digits from the kernel's random numbers, drawn 256 at a time."""
    while True:
        drawn = os.urandom(SIZE * AT_ONCE)
        for start in range(0, len(drawn), SIZE):
            yield drawn[start : start + SIZE].hex()

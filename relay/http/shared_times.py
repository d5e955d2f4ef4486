"""One time per key, in memory that a process shares with its forks."""

from __future__ import annotations

import mmap
from collections.abc import Hashable

_WAYS = 8
"""Slots that a key may use. When all are taken, the one with the earliest time is overwritten."""
_BYTES = 8


class SharedTimes:
    """A table of fixed size, since strangers choose the keys. Each process reads what the others wrote.

    There is no lock: if two processes write the same key at the same moment, one of the two times may be lost.
    """

    def __init__(self, places: int = 8192):
        self._sets = places // _WAYS
        memory = memoryview(mmap.mmap(-1, 2 * self._sets * _WAYS * _BYTES))
        half = len(memory) // 2
        self._keys = memory[:half].cast("Q")
        self._times = memory[half:].cast("d")

    def get(self, key: Hashable) -> float:
        """The key's time; 0.0 if it has none."""
        place = self._find(hash(key))
        return 0.0 if place is None else self._times[place]

    def set(self, key: Hashable, time: float) -> None:
        """Sets the key's time."""
        hashed = hash(key)  # seeded per program and shared by forks, so nobody can choose keys that collide
        place = self._find(hashed)
        if place is None:
            first = hashed % self._sets * _WAYS
            place = min(range(first, first + _WAYS), key=self._times.__getitem__)
            self._keys[place] = _as_word(hashed)
        self._times[place] = time

    def _find(self, hashed: int) -> int | None:
        first = hashed % self._sets * _WAYS
        keys, word = self._keys[first : first + _WAYS].tolist(), _as_word(hashed)
        return first + keys.index(word) if word in keys else None


def _as_word(hashed: int) -> int:
    """Never 0, which marks a free slot."""
    return hashed & 0xFFFF_FFFF_FFFF_FFFF or 1

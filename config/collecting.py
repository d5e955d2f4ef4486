"""Garbage collection while very much is made that stays."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def not_collecting() -> Iterator[None]:
    """For making many objects that all stay, such as definitions: looking through them again and again for garbage
    would take as long as making them, and nothing else runs meanwhile.

    They count as old then, or as frozen in a process that has frozen what it started with. There, only references from
    nowhere end them, so nothing may be made that refers to itself.
    """
    was_enabled, freezes = gc.isenabled(), gc.get_freeze_count() > 0
    if freezes:
        gc.collect()  # of what isn't frozen: little
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if not freezes:
            gc.unfreeze()  # into the oldest generation, whatever they were in
        if was_enabled:
            gc.enable()


def end_quickly() -> None:
    """Has this process end without looking for garbage in all that it has imported: that took a third of a second, and
    its memory is the system's again anyway. What `atexit` and `finally` are to do is done as ever."""
    atexit.register(gc.freeze)

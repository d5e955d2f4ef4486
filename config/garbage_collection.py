"""Pauses garbage collection where it would only look at objects that stay."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def not_collecting() -> Iterator[None]:
    """For making many objects that all stay, such as definitions: collecting again and again would take as long as
    making them, and nothing else could run meanwhile.

    Afterwards they count as old, or as frozen in a process that has frozen what it started with. Frozen objects are
    only freed with their last reference, so none may be part of a reference cycle.
    """
    was_enabled, freezes = gc.isenabled(), gc.get_freeze_count() > 0
    if freezes:
        gc.collect()  # only what isn't frozen, which is little
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if not freezes:
            gc.unfreeze()  # moves them into the oldest generation
        if was_enabled:
            gc.enable()


def collect_rarely() -> None:
    """Has this process look for garbage after ten thousand new objects. The usual 700 are a few events, and nearly all
    are freed with their last reference. All threads stand still meanwhile, a worker's for 50 ms at times if 10,000
    tasks wait."""
    gc.set_threshold(10_000)


def end_quickly() -> None:
    """Has this process end without a last garbage collection of everything that it imported, which took a third of a
    second: the system frees its memory anyway. `atexit` and `finally` still run."""
    atexit.register(gc.freeze)

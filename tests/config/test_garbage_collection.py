"""What is made and stays isn't looked through for garbage."""

from __future__ import annotations

import gc
import subprocess
import sys
from typing import Any

import pytest

from config.garbage_collection import not_collecting


def generation_of(thing: Any) -> int | None:
    """None for what is frozen."""
    found = (number for number in range(3) if any(one is thing for one in gc.get_objects(generation=number)))
    return next(found, None)


def test_what_was_made_is_old_at_once() -> None:
    with not_collecting():
        assert not gc.isenabled()
        made = [[number] for number in range(100)]
    assert gc.isenabled()
    assert generation_of(made[0]) == 2


def test_it_is_frozen_where_what_the_process_started_with_is() -> None:
    code = (
        "import gc; from config.garbage_collection import not_collecting; gc.freeze(); before = gc.get_freeze_count()\n"
        "with not_collecting(): made = [[number] for number in range(1000)]\n"
        "assert gc.get_freeze_count() >= before + 1000 and gc.isenabled()\n"
        "made.clear(); assert gc.get_freeze_count() < before + 1000"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_collecting_goes_on_after_an_error_and_stays_off_where_it_was() -> None:
    with pytest.raises(ValueError, match="x"), not_collecting():
        raise ValueError("x")
    assert gc.isenabled()
    gc.disable()
    try:
        with not_collecting():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_process_ends_without_looking_for_garbage_and_does_what_atexit_is_to_do() -> None:
    code = (
        "import atexit, gc; from config.garbage_collection import end_quickly\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 1000)); end_quickly()"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout == "True\n"


def test_a_few_thousand_new_objects_are_no_reason_to_collect() -> None:
    code = (
        "import gc; from config.garbage_collection import collect_rarely; collect_rarely(); gc.collect(); n = []\n"
        "gc.callbacks.append(lambda *about: n.append(about)); made = [[number] for number in range(5_000)]\n"
        "assert not n; made += [[number] for number in range(10_000)]; assert n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

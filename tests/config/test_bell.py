"""The bell that signal handlers may ring."""

from __future__ import annotations

import threading

import pytest

from config.bell import Bell
from testkit.descriptors import is_written_elsewhere


def test_it_stays_rung_until_it_is_cleared() -> None:
    bell = Bell()
    assert not bell.wait(0)
    bell.ring()
    bell.ring()
    assert bell.wait(60)
    assert bell.wait(60)
    bell.clear()
    assert not bell.wait(0)
    bell.close()


def test_it_wakes_who_waits() -> None:
    bell = Bell()
    threading.Timer(0.01, bell.ring).start()
    assert bell.wait(60)
    bell.close()


def test_it_may_be_rung_as_often_as_one_likes_and_when_it_is_closed() -> None:
    bell = Bell()
    for _ in range(100_000):
        bell.ring()
    bell.clear()
    assert not bell.wait(0)
    bell.close()
    bell.close()
    bell.ring()


def test_a_ring_that_is_overtaken_by_the_closing_reaches_no_other_file(monkeypatch: pytest.MonkeyPatch) -> None:
    bell = Bell()
    assert not is_written_elsewhere(monkeypatch, bell.ring, bell.close)

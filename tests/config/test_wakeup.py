"""The bell that signal handlers may ring."""

from __future__ import annotations

import threading

import pytest

from config.wakeup import WakeUp
from testkit import PATIENCE
from testkit.descriptors import is_written_elsewhere


def test_it_stays_rung_until_it_is_cleared() -> None:
    wakeup = WakeUp()
    assert not wakeup.wait(0)
    wakeup.ring()
    wakeup.ring()
    assert wakeup.wait(PATIENCE)
    assert wakeup.wait(PATIENCE)
    wakeup.clear()
    assert not wakeup.wait(0)
    wakeup.close()


def test_it_wakes_who_waits() -> None:
    wakeup = WakeUp()
    threading.Timer(0.01, wakeup.ring).start()
    assert wakeup.wait(PATIENCE)
    wakeup.close()


def test_it_may_be_rung_as_often_as_one_likes_and_when_it_is_closed() -> None:
    wakeup = WakeUp()
    for _ in range(100_000):
        wakeup.ring()
    wakeup.clear()
    assert not wakeup.wait(0)
    wakeup.close()
    wakeup.close()
    wakeup.ring()


def test_a_ring_that_is_overtaken_by_the_closing_reaches_no_other_file(monkeypatch: pytest.MonkeyPatch) -> None:
    wakeup = WakeUp()
    assert not is_written_elsewhere(monkeypatch, wakeup.ring, wakeup.close)

"""A clock that stands still, and relays to call."""

from __future__ import annotations

import time

import pytest

from tests.support.relay import Clock, MakeRelay


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of the vectors, until a test changes it."""
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


@pytest.fixture
def make_relay(tmp_path_factory: pytest.TempPathFactory) -> MakeRelay:
    """Makes a relay with the given webhooks."""
    return MakeRelay(tmp_path_factory)

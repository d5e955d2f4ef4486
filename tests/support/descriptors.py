"""Descriptors whose numbers are given to others while somebody is about to write."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable

import pytest


def is_written_elsewhere(
    monkeypatch: pytest.MonkeyPatch, write: Callable[[], None], first: Callable[[], None]
) -> bool:
    """Whether `write` reaches a file that isn't its own, if `first` comes between it and its system
    call.

    The numbers that are free then are taken by others.
    """
    others: list[socket.socket] = []
    system_call = os.write

    def overtaken(descriptor: int, data: bytes) -> int:
        monkeypatch.undo()
        first()
        for _ in range(8):
            others.extend(socket.socketpair())
        return system_call(descriptor, data)

    monkeypatch.setattr(os, "write", overtaken)
    try:
        write()
        assert others, "it writes"
        return bool(select.select(others, [], [], 0)[0])
    finally:
        for one in others:
            one.close()

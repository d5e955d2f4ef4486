"""Bodies: small ones in memory, large ones in files of bounded size, and few of those in memory at
a time."""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from threading import RLock

import pytest

from relay.http.bodies import IN_MEMORY, Bodies, Overloaded, pieces


def read(
    bodies: Bodies, sent: io.BytesIO, size: int
) -> AbstractContextManager[tuple[bytes, float]]:
    """Reads it for a webhook of its own."""
    return bodies.read(sent, size, RLock())


@pytest.mark.parametrize("size", [0, 1, IN_MEMORY - 1, IN_MEMORY, IN_MEMORY + 1, 3 * IN_MEMORY])
@pytest.mark.parametrize("more", [0, 1, IN_MEMORY])
def test_a_body_is_what_was_sent_up_to_the_size_that_is_asked_for(size: int, more: int) -> None:
    sent = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    with read(Bodies(), io.BytesIO(sent), size + more) as (body, _):
        assert body == sent
    with read(Bodies(), io.BytesIO(sent + b"rest"), size) as (body, _):
        assert body == sent


def test_large_bodies_share_a_bounded_part_of_the_disk() -> None:
    bodies = Bodies(on_disk=3 * IN_MEMORY)
    large = b"x" * (3 * IN_MEMORY)
    with read(bodies, io.BytesIO(large), len(large)):
        with pytest.raises(Overloaded), read(bodies, io.BytesIO(large), len(large)):
            pass
        with read(bodies, io.BytesIO(b"{}"), 2) as (small, _):
            assert small == b"{}"
    # There is room again, also after the refusal.
    with read(bodies, io.BytesIO(large), len(large)) as (
        again,
        _,
    ):
        assert again == large


def test_few_large_bodies_are_in_memory_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.http.bodies._LONGEST_WAIT", 0.0)
    bodies, large = Bodies(), b"x" * (2 * IN_MEMORY)
    for _ in range(2):
        with (
            read(bodies, io.BytesIO(large), len(large)),
            read(bodies, io.BytesIO(large), len(large)),
            pytest.raises(Overloaded),
            read(bodies, io.BytesIO(large), len(large)),
        ):
            pass
    with read(bodies, io.BytesIO(large), len(large)) as (body, _):
        assert body == large


@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_body_that_is_read_at_once_rarely_lets_others_go_first(
    is_chunked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[None] = []
    monkeypatch.setattr("relay.http.bodies.let_others_run", lambda: turns.append(None))
    read_at_once = list(pieces(io.BytesIO(bytes(8 * 1024 * 1024)), 8 * 1024 * 1024, is_chunked))
    assert len(turns) < len(read_at_once) / 4

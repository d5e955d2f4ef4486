"""Reads bodies: small ones into memory, large ones into temporary files, each within a deadline.

Only a complete body can be verified, so strangers may send bodies of any allowed size. A slow one
costs a part of the disk's share, never memory; a complete large one is loaded when it is its turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from tempfile import SpooledTemporaryFile
from typing import Protocol

from relay.concurrency import at_most, let_others_run

IN_MEMORY = 256 * 1024
"""Bytes; a larger body goes to a temporary file."""
ON_DISK = 100 * 1024 * 1024
"""Bytes of all such files of a process."""
LONGEST = 20.0
"""Seconds that a body may take to arrive."""
_PIECE = 16 * 1024
_PIECE_OF_CHUNKS = 1024
"""Bytes that are read at a time. In chunks of one byte each, they take two or three milliseconds.
"""
_LONGEST_TURN = 0.001
"""Seconds after which others go first. A busy relay takes many times as long for their turn."""
_LARGEST_REST = 64 * 1024 * 1024
"""Bytes that are still read of a body that was refused."""
_AT_ONCE = 2
"""Large bodies that a process has in memory."""
_LONGEST_WAIT = 1.0
"""Seconds that a large body waits for its turn."""


class BodyTooLarge(Exception):
    """The body is larger than the webhook accepts."""

    def __init__(self, max_body: int):
        """`max_body` is in bytes."""
        super().__init__(f"the body is larger than {max_body} bytes (max_body)")


class BodyUnreadable(Exception):
    """The body broke off, was malformed, or took too long."""

    def __init__(self) -> None:
        super().__init__("the body could not be read")


class Overloaded(Exception):
    """Too many large deliveries are in flight: there is no room for this one now."""


class Stream(Protocol):
    """WSGI's input."""

    def read(self, size: int, /) -> bytes:
        """The next bytes: fewer than `size` only at the end."""


class Lock(Protocol):
    """One of `threading`."""

    def acquire(self, *, timeout: float) -> bool: ...

    def release(self) -> None: ...


@contextmanager
def taking(turn: Lock, until: float) -> Iterator[None]:
    """Takes a turn until the block ends. Raises Overloaded if it isn't free by then (monotonic
    clock)."""
    if not turn.acquire(timeout=max(0.0, until - time.monotonic())):
        raise Overloaded("too many large deliveries wait for their turn")
    try:
        yield
    finally:
        turn.release()


class Bodies:
    """What all requests of a process share."""

    def __init__(self, on_disk: int = ON_DISK):
        self._left = on_disk
        self._turns = threading.BoundedSemaphore(_AT_ONCE)

    @contextmanager
    def read(
        self, stream: Stream, size: int, turn: Lock, is_chunked: bool = False
    ) -> Iterator[tuple[bytes, float]]:
        """The first `size` bytes, or all if there are fewer, and when the last came (monotonic
        clock). A large body is in memory only until the block ends, and has its webhook's `turn`:
        the others wait where they hold up nobody else's.

        Raises BodyUnreadable or Overloaded.
        """
        on_disk = 0
        try:
            with SpooledTemporaryFile(IN_MEMORY, prefix="bridge-body-") as file:
                for piece in pieces(stream, size, is_chunked):
                    arrived = file.tell() + len(piece)
                    if arrived > IN_MEMORY:  # all of it goes to the disk
                        if arrived - on_disk > self._left:
                            raise Overloaded("too many large bodies are arriving")
                        self._left -= arrived - on_disk
                        on_disk = arrived
                    file.write(piece)
                arrived_at = time.monotonic()
                with ExitStack() as turns:
                    for one in (turn, self._turns) if on_disk else ():
                        turns.enter_context(taking(one, arrived_at + _LONGEST_WAIT))
                    file.seek(0)
                    yield file.read(), arrived_at
        finally:
            self._left += on_disk


def discard(stream: Stream, is_chunked: bool) -> None:
    """Reads what is left of a body, up to a bound: a connection that is closed with unread bytes is
    reset, and its peer may not see the answer."""
    with suppress(BodyUnreadable):
        for _ in pieces(stream, _LARGEST_REST, is_chunked):
            pass


def pieces(stream: Stream, size: int, is_chunked: bool) -> Iterator[bytes]:
    """What arrives, `size` bytes at most. Raises BodyUnreadable."""
    most = _PIECE_OF_CHUNKS if is_chunked else _PIECE
    until = time.monotonic() + _LONGEST_TURN
    with at_most(LONGEST):
        while size > 0:
            try:
                piece = stream.read(min(most, size))
                if time.monotonic() > until:  # what is there already arrives without a wait
                    let_others_run()
                    until = time.monotonic() + _LONGEST_TURN
            except (
                Exception
            ) as error:  # the server's parser and the socket each raise their own exceptions
                raise BodyUnreadable from error
            if not piece:
                return
            yield piece
            size -= len(piece)

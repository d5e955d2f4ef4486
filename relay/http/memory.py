"""How much of a process's memory requests in flight may take, and which one gives way when it is used up.

Strangers send what they like, and only a complete request can be verified. So the bytes received are bounded for all
requests together. Beyond the bound, the request that has been arriving longest gives way: an honest sender is done in
milliseconds, and a slow one loses only its own place.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from store.clock import MonotonicClock

_PART = 8
"""Each byte received exists up to three times until it is answered (as received, as text, as the event), and the
process needs memory for other things."""
_MOST = 256 * 1024 * 1024
_AT_LEAST = 8 * 1024 * 1024
_PATIENT_FOR = 1.0
"""Seconds for which a request's place is guaranteed."""
_ALWAYS_WELCOME = 16 * 1024
"""Bytes that each request may hold whatever the others hold: the number of connections is limited."""
_AMPLIFICATION = 32
"""Bytes of objects that one byte of malicious JSON may become."""
_SMALL = 64 * 1024
_LONGEST_WAIT = 2.0


class Overloaded(Exception):
    """Too much is in flight: there is no room for this request now."""


class Holder(Protocol):
    """A request in flight."""

    def give_way(self) -> None:
        """Ends the request; what it holds is freed soon after."""


@dataclass(slots=True)
class _Part:
    since: float
    size: int = 0
    is_leaving: bool = False


class Memory:
    """What requests hold of one process's memory. For the hub's thread only."""

    def __init__(self, limit: int = _MOST, clock: MonotonicClock = time):
        """`limit` is in bytes, for all requests together."""
        self.limit = limit
        self._clock = clock
        self._parts: dict[Holder, _Part] = {}  # the oldest first
        self._held = 0
        self._leaving = 0
        self._turns = threading.Condition()
        self._made = 0

    @property
    def held(self) -> int:
        """Bytes held."""
        return self._held

    def hold(self, holder: Holder, size: int) -> None:
        """Records further bytes of the holder's request. Raises Overloaded if there is no room for them."""
        part = self._parts.get(holder)
        if part is None:
            part = self._parts[holder] = _Part(self._clock.monotonic())
        part.size += size
        self._held += size
        if self._held - self._leaving > self.limit and part.size > _ALWAYS_WELCOME:
            self._make_room(part)

    def free(self, holder: Holder) -> None:
        """Frees what the holder's request held."""
        part = self._parts.pop(holder, None)
        if part is not None:
            self._held -= part.size
            self._leaving -= part.size if part.is_leaving else 0

    def _make_room(self, asking: _Part) -> None:
        if self._held - self._leaving - asking.size <= self.limit // 2:
            return  # a body beyond the limit is taken while little else is in flight
        old = self._clock.monotonic() - _PATIENT_FOR
        for holder, part in self._parts.items():
            if part.since > old:
                break
            if part.is_leaving or part.size == 0:
                continue
            if part is not asking:
                part.is_leaving = True
                self._leaving += part.size
                holder.give_way()
            if part is asking or self._held - self._leaving <= self.limit:
                break
        if self._held - self._leaving > self.limit:
            raise Overloaded("too much is in flight")

    def turn(self, size: int) -> Turn:
        """For a proven body of this many bytes, about to be parsed into objects."""
        return Turn(self, size)

    def take_turn(self, weight: int, until: float) -> None:
        """Waits for room for this many bytes of objects. Raises Overloaded if there is none by `until`."""
        with self._turns:
            left = min(_LONGEST_WAIT, until - time.monotonic())
            if not self._turns.wait_for(lambda: not self._made or self._made + weight <= 2 * self.limit, max(0, left)):
                raise Overloaded("too many large bodies are being read")
            self._made += weight

    def grow_turn(self, weight: int, more: int, until: float) -> None:
        """Waits for room for more bytes of objects, which a turn of this weight takes. Raises Overloaded if there is
        none by `until`."""
        with self._turns:
            left = min(_LONGEST_WAIT, until - time.monotonic())
            if not self._turns.wait_for(
                lambda: self._made == weight or self._made + more <= 2 * self.limit, max(0, left)
            ):
                raise Overloaded("too many large payloads are being decoded")
            self._made += more

    def end_turn(self, weight: int) -> None:
        """The objects have been released."""
        with self._turns:
            self._made -= weight
            self._turns.notify_all()


class Turn:
    """A large body waits for its turn to be parsed, since its objects are many times as large; a small one needs no
    turn."""

    __slots__ = ("_grown", "_memory", "_taken", "_until", "_weight")

    def __init__(self, memory: Memory, size: int):
        self._memory = memory
        self._weight = size * _AMPLIFICATION if size > _SMALL else 0
        self._taken = False
        self._until = float("inf")
        self._grown = 0

    def take(self, until: float = float("inf")) -> None:
        """Waits for the turn, which lasts until the context ends. Raises Overloaded if it hasn't come by `until`
        (monotonic clock)."""
        self._until = until
        if self._weight and not self._taken:
            self._memory.take_turn(self._weight, until)
            self._taken = True

    def grow(self, size: int) -> None:
        """Waits, as `take` did, until this many more bytes may be parsed: what was decoded may be much more than what
        was sent. Raises Overloaded."""
        self._grown += size
        if self._grown > _SMALL:
            weight = self._weight if self._taken else 0
            more, self._grown = self._grown * _AMPLIFICATION, 0
            self._memory.grow_turn(weight, more, self._until)
            self._weight, self._taken = weight + more, True

    def __enter__(self) -> Turn:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: object, _traceback: TracebackType | None) -> None:
        if self._taken:
            self._memory.end_turn(self._weight)


MEMORY = Memory()
"""This process's."""


def begin(processes: int) -> None:
    """Call this in a process that serves. It shares the memory of the machine or container with the other processes."""
    MEMORY.limit = limit_for(processes)


def limit_for(processes: int, root: Path = Path("/")) -> int:
    """Bytes that may be in flight in each of this many processes."""
    return max(_AT_LEAST, min(_MOST, share_of(processes, root) // _PART))


def share_of(processes: int, root: Path = Path("/")) -> int:
    """Bytes of memory for each of this many processes, if they share the machine or container fairly."""
    shared = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    own = [shared // processes]
    own += [limit // processes for limit in _of_cgroups(root)]
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        if (limit := resource.getrlimit(kind)[0]) != resource.RLIM_INFINITY:
            own.append(limit)
    return min(own)


def _of_cgroups(root: Path) -> list[int]:
    """The limits of this process's control groups (versions 1 and 2) and of their ancestors."""
    found: list[int] = []
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="ascii", errors="replace").splitlines():
            _, kinds, name = line.split(":", 2)
            if kinds and "memory" not in kinds.split(","):
                continue
            top = root / "sys/fs/cgroup" / ("memory" if kinds else "")
            group = top / name.strip("/")
            file = "memory.limit_in_bytes" if kinds else "memory.max"
            # In a container the path is often the host's, and the group is the topmost one that is visible.
            for folder in {top, group, *(parent for parent in group.parents if parent.is_relative_to(top))}:
                with suppress(OSError, ValueError):  # `max` is not a number
                    found.append(int((folder / file).read_text()))
    return [limit for limit in found if limit > 0]

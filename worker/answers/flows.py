"""The watched workflows with one name, and which request about them could come next: pure, for one thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

OFTEN = 0.02
"""Seconds between two polls of a workflow, at least."""
_PATIENCE = 400
"""A workflow is read again after its age, times the number of workflows in its flow or the number of flows, divided by
this: the more there are, the more old workflows yield to young ones."""
_LEVELS = 7
"""Intervals between reads, each twice as long as the one before: from 20 ms to 1.28 s."""
_RARELY = 5.0
"""Seconds until a workflow is read although a list contains it; then each time its age has doubled."""
_MISLED = 5
"""Workflows in a row that a list left out although they were running, until lists aren't used for a while."""
_NO_LISTS = 60.0
"""Seconds for which lists aren't used if the server doesn't have them, or they misled."""
_LIST_AGAIN = 5.0
"""Seconds after which a list that was too slow is tried again."""
_AFTER_FAILURE = 0.25
"""Seconds after which a list that failed is tried again; twice as long each time, up to the above. Without lists the
ends of many workflows are noticed much later, so a single time-out must not turn them off for long."""
GUESS = 0.004
"""Seconds that the first poll is expected to take."""
SMOOTH = 0.3
"""The newest poll's weight in the expectation."""


@dataclass(slots=True, eq=False)
class Watched:
    """A workflow whose end a sender waits for."""

    workflow: str
    """Its name."""
    id: str
    since: float
    events: set[str] = field(default_factory=set)
    """The events that its end answers."""
    read_at: float = float("-inf")
    failures: int = 0
    missing: int = 0
    """How often in a row Conductor had no such workflow."""
    busy: bool = False
    """Whether a read of it is in progress, or planned elsewhere than in its flow."""
    place: int = 0
    """Its place in its flow; earlier ones are outdated."""
    forgotten: bool = False

    def occupy(self) -> None:
        """Takes it out of its flow's queue."""
        self.busy = True
        self.place += 1


@dataclass(frozen=True, slots=True)
class Candidate:
    """A request that could come next."""

    due_at: float
    interval: float
    """Seconds: how late it is, is measured by them."""
    read: Watched | None
    """None for a list."""


@dataclass(slots=True, eq=False)
class Flow:
    """The workflows with one name. All times are seconds by a monotonic clock."""

    name: str
    watched: dict[str, Watched] = field(default_factory=dict)
    ready_at: float = float("inf")
    """Its place in the order of all."""
    rests_until: float = float("-inf")
    spent_until: float = float("-inf")
    """Until when the polls so far have used up the flow's share of time."""
    listing: bool = False
    """Whether a list is being read."""
    _queues: list[deque[tuple[int, Watched]]] = field(default_factory=lambda: [deque() for _ in range(_LEVELS)])
    """To be read, by their interval; in each, those that were read longest ago first. May contain outdated places."""
    _listed_at: float = float("-inf")
    _list_takes: float = GUESS
    _no_lists_until: float = float("-inf")
    _misled: int = 0
    _failures: int = 0
    """Lists that failed, in a row."""

    def uses_lists(self, now: float, read_takes: float) -> bool:
        """Whether a list is asked for, rather than each workflow, given how long a read takes."""
        if len(self.watched) < 2 or now < self._no_lists_until:
            return False
        cheaper = self._list_takes <= len(self.watched) * read_takes
        return cheaper or (now - self._listed_at >= _LIST_AGAIN and not self.listing)

    def candidates(self, now: float, read_takes: float) -> Iterator[Candidate]:
        """The list, if one is used, and of each interval the workflow that was read longest ago."""
        lists = self.uses_lists(now, read_takes)
        if lists and not self.listing:
            yield Candidate(self._listed_at + OFTEN, OFTEN, None)
        for level, queue in enumerate(self._queues):
            while queue and (queue[0][1].forgotten or queue[0][0] != queue[0][1].place):
                queue.popleft()
            if not queue:
                continue
            first = queue[0][1]
            if lists:
                last = max(first.read_at, first.since)
                interval = max(_RARELY, last - first.since)
                yield Candidate(last + interval, interval, first)
            else:
                interval = OFTEN * 2**level
                yield Candidate(max(first.read_at + interval, first.since), interval, first)

    def queue(self, watched: Watched, now: float, flows: int) -> None:
        """Puts it among those to be read, at an interval that depends on its age, and on how many flows there are."""
        interval = max(OFTEN, (now - watched.since) * max(len(self.watched), flows) / _PATIENCE)
        level = min(int(interval / OFTEN).bit_length() - 1, _LEVELS - 1)
        watched.busy = False
        watched.place += 1
        self._queues[level].append((watched.place, watched))

    def begin_list(self, now: float) -> None:
        """A list is requested."""
        self.listing, self._listed_at = True, now

    def end_list(self, took: float | None) -> None:
        """A list has been read, in that many seconds, if it says anything about the next one."""
        self.listing = False
        if took is not None:
            self._list_takes += (took - self._list_takes) * SMOOTH

    def no_lists(self, now: float) -> None:
        """Uses no lists for `_NO_LISTS` seconds."""
        self._no_lists_until, self._misled = now + _NO_LISTS, 0

    def list_failed(self, now: float) -> None:
        """A list couldn't be read. Uses none for a while, ever longer."""
        self._no_lists_until = now + min(_AFTER_FAILURE * 2.0 ** min(self._failures, 10), _LIST_AGAIN)
        self._failures += 1

    def list_worked(self) -> None:
        """A list was read."""
        self._failures = 0

    def learn(self, misled: bool) -> bool:
        """Records whether a list was wrong to leave out a workflow; returns whether lists keep being wrong."""
        self._misled = self._misled + 1 if misled else 0
        return self._misled >= _MISLED

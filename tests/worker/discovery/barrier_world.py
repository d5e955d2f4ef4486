"""A simulated Conductor with all faults of discovery, and a leader that asks a barrier what it may
decide.

Judges every decision: which waiting task it missed, and whether delivery rule 4 allows that.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from worker.discovery.barrier import WAIT, Barrier, ShownAt
from worker.discovery.index import Way

HOLD = 40.0
RECEIVERS = {"a": ("wa",), "b": ("wb",), "both": ("wa", "wb")}
_SECOND = 1000


class Lost(Exception):
    """A call got no answer, or was refused."""


class Clock:
    """A clock that is told to go, and what is to happen at its times."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._number = count()

    def monotonic(self) -> float:
        return self.now

    def at(self, when: float, what: Callable[[], object]) -> None:
        heapq.heappush(self._due, (max(when, self.now), next(self._number), what))

    def pass_by(self, seconds: float) -> None:
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            when, _, what = heapq.heappop(self._due)
            self.now = max(self.now, when)
            what()
        self.now = end


@dataclass
class Task:
    id: int
    key: int
    workflow: str
    scheduled: float
    taken: float | None = None
    """When it left the queue."""
    by: str = ""
    indexed: float = float("inf")
    unreadable_until: float = 0.0
    shown: float | None = None
    reads: int = 0
    read_at: float = 0.0
    done_by: int | None = None


@dataclass
class Event:
    id: int
    key: int
    webhook: str
    at: float
    decided: float | None = None
    held: bool = False
    ended: float | None = None
    missed: dict[int, str] = field(default_factory=dict)
    """Task → why a decision missed it."""


@dataclass(frozen=True)
class Faults:
    """Times are in seconds since the beginning."""

    seconds: float = 60.0
    every: float = 1.0
    """Between events, on average."""
    lag: float = 0.2
    """After which the index knows a task, at most."""
    lost: float = 0.0
    """Share of polls whose answer is lost."""
    late: float = 0.0
    """Share of lost polls that take effect later."""
    late_by: float = 55.0
    unread: float = 0.0
    """Share of tasks that can't be read at first."""
    unread_for: float = 1.0
    foreign: float = 0.0
    """Polls a second by somebody else."""
    system: float = 0.0
    """Share of tasks that are in no queue."""
    down: tuple[tuple[float, float], ...] = ()
    """When the index can't be searched."""
    away: tuple[tuple[float, float], ...] = ()
    """When Conductor can't be reached."""
    way: Way | None = "search"
    """None: nothing can be searched."""
    dies: tuple[float, ...] = ()
    resigns: tuple[float, ...] = ()
    slow: float = 0.0
    """A poll takes so long."""


def drawn(seed: int) -> Faults:
    """A random mixture."""
    r = random.Random(seed)

    def span(longest: float) -> tuple[tuple[float, float], ...]:
        begin = r.uniform(0, 40)
        return ((begin, begin + r.uniform(1, longest)),) if r.random() < 0.5 else ()

    def times() -> tuple[float, ...]:
        return tuple(sorted(r.uniform(0, 60) for _ in range(r.choice([0, 0, 1, 3]))))

    return Faults(
        every=r.choice([0.3, 1.0, 5.0]),
        lag=r.choice([0.0, 0.2, 1.9]),
        lost=r.choice([0, 0.005, 0.02, 0.2]),
        late=r.choice([0, 0.3, 1]),
        late_by=r.choice([1.0, 59.0]),
        unread=r.choice([0, 0.1, 0.5]),
        unread_for=r.choice([0.5, 10, 300]),
        foreign=r.choice([0, 0, 0.2, 3]),
        system=r.choice([0, 0, 0.3, 1]),
        down=span(60),
        away=span(30),
        way=r.choice(["search", "search", "search", "workflows", None]),
        dies=times(),
        resigns=times(),
        slow=r.choice([0, 0, 0.05, 0.5]),
    )


class World:
    """Tasks, events, Conductor and one leader after the other."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.r = random.Random(seed)
        self.f = faults
        self.clock = Clock()
        self.start = self.clock.now
        self.stop_events = self.start + faults.seconds
        self.tasks: dict[int, Task] = {}
        self.events: list[Event] = []
        self.known: set[int] = set()
        self.unread: dict[int, float] = {}
        """Tasks that were shown and can't be read → since when."""
        self.alone_ever = False
        self.look_began = float("-inf")
        self.barrier = Barrier(self.clock)
        self.barrier.term_began()
        self.changes = sorted(
            [(at, True) for at in faults.dies] + [(at, False) for at in faults.resigns]
        )
        self._next_event()
        if faults.foreign:
            self._next_foreign()

    def run(self) -> World:
        """Until every event and every hold has ended, or for so long that they never will."""
        end = self.stop_events + 60
        last = end + 4000
        while self.clock.now < end or (
            self.clock.now < last and any(map(self.is_open, self.events))
        ):
            if self.changes and self.clock.now - self.start >= self.changes[0][0]:
                self._hand_over(self.changes.pop(0)[1])
            with suppress(Lost):
                self._step()
            self.clock.pass_by(0.1 if self.clock.now < end else 5.0)
        return self

    def is_open(self, event: Event) -> bool:
        return event.decided is None or (event.held and event.ended is None)

    def missed(self) -> Counter[str]:
        """Why decisions missed tasks that no later one gave to the event."""
        whys = [(event, *one) for event in self.events for one in event.missed.items()]
        return Counter(why for event, task, why in whys if self.tasks[task].done_by != event.id)

    # --- the world ---

    def _next_event(self) -> None:
        if self.clock.now < self.stop_events:
            self.clock.at(self.clock.now + self.r.expovariate(1 / self.f.every), self._burst)

    def _burst(self) -> None:
        """Tasks, soon after them their event, and sometimes a task that comes later."""
        key = len(self.events) + 10_000 * self.r.randrange(10_000)
        webhook = self.r.choice(list(RECEIVERS))
        gap = self.r.choice([0.001, 0.05, 0.5, 3.0])
        for _ in range(self.r.choice([0, 1, 1, 2, 3])):
            self._schedule(key, self.r.choice(RECEIVERS[webhook]))
        if self.r.random() < 0.3:
            after = self.clock.now + gap + self.r.choice([0.3, 5.0, HOLD - 0.3])
            self.clock.at(after, lambda: self._schedule(key, self.r.choice(RECEIVERS[webhook])))
        arrives = self.clock.now + gap
        self.clock.at(
            arrives,
            lambda: self.events.append(Event(len(self.events), key, webhook, self.clock.now)),
        )
        self._next_event()

    def _schedule(self, key: int, workflow: str) -> None:
        now = self.clock.now
        task = self.tasks[len(self.tasks)] = Task(len(self.tasks), key, workflow, now)
        if self.r.random() < self.f.unread:
            task.unreadable_until = now + self.r.uniform(0, self.f.unread_for)
        if self.r.random() < self.f.system:
            self._take(task, "system")

    def _take(self, task: Task, by: str) -> None:
        task.taken, task.by = self.clock.now, by
        task.indexed = self.clock.now + self.r.uniform(0, self.f.lag)

    def _next_foreign(self) -> None:
        def poll() -> None:
            self._hand_out(2, "foreign")
            self._next_foreign()

        if self.clock.now < self.stop_events:
            self.clock.at(self.clock.now + self.r.expovariate(self.f.foreign), poll)

    def _hand_out(self, number: int, by: str) -> list[Task]:
        found = [task for task in self.tasks.values() if task.taken is None][:number]
        for task in found:
            self._take(task, by)
        return found

    def _during(self, spans: tuple[tuple[float, float], ...]) -> bool:
        return any(a <= self.clock.now - self.start < b for a, b in spans)

    # --- calls ---

    def _poll(self) -> list[Task]:
        if self._during(self.f.away):
            self.clock.pass_by(0.3)
            raise Lost
        sent = self.clock.now
        if self.r.random() < self.f.lost:
            if self.r.random() < self.f.late:
                self.clock.at(
                    sent + self.r.uniform(0, self.f.late_by), lambda: self._hand_out(3, "late")
                )
            else:
                self._hand_out(3, "lost")
            self.clock.pass_by(self.r.choice([0.05, 1.0]))
            self.barrier.poll_lost(sent)
            self.clock.pass_by(0.25)
            raise Lost
        found = self._hand_out(3, "leader")
        self.clock.pass_by(0.004 + self.f.slow)
        return found

    def _look(self) -> None:
        began = self.clock.now
        if self._during(self.f.away) or self._during(self.f.down) or self.f.way is None:
            self.clock.pass_by(0.02 if self.f.way is None else self.barrier.patience())
            self.barrier.look_failed()
            return
        waiting = [
            task for task in self.tasks.values() if task.taken is not None and task.done_by is None
        ]
        found = [task for task in waiting if self.f.way == "workflows" or task.indexed <= began]
        self.clock.pass_by(0.03)
        self.look_began = began
        self._adopt(found, by_poll=False)
        self.barrier.unread(self._unread())
        self.barrier.looked(began)
        self.barrier.reconciled(began)

    # --- the leader ---

    def _step(self) -> None:
        self.clock.pass_by(0.02)
        undecided = [event for event in self.events if event.decided is None]
        began = int(self.clock.now * _SECOND)
        while found := self._poll():
            self._adopt(found, by_poll=True)
        barrier = self.barrier
        barrier.drained(began)
        if not self.barrier.look_due_in():
            self._look()
        if self.barrier.may_look() and any(
            not self._takers(event, event.at) for event in undecided
        ):
            self._look()
        self._read_again()
        barrier.unread(self._unread())
        self._decide(undecided)
        for event in (one for one in self.events if one.held and one.ended is None):
            for task in self._takers(event, event.at + HOLD)[:1]:
                task.done_by, event.ended = event.id, self.clock.now
        self._end_holds(barrier.holds_up_to())

    def _adopt(self, tasks: list[Task], by_poll: bool) -> None:
        for task in tasks:
            if task.id in self.known or task.id in self.unread:
                continue
            if self.clock.now < task.unreadable_until:
                task.shown = self.unread[task.id] = self.clock.now
                self._read(task)
                continue
            self.known.add(task.id)
            if not by_poll and task.by != "leader":
                self.barrier.found_alone(self.clock.now)
                self.alone_ever = True

    def _read(self, task: Task) -> None:
        task.reads += 1
        task.read_at = self.clock.now + 0.25 * 2**task.reads

    def _read_again(self) -> None:
        for task in [self.tasks[id_] for id_ in self.unread]:
            if self.clock.now >= max(task.unreadable_until, task.read_at):
                self.known.add(task.id)
                del self.unread[task.id]
            elif self.clock.now >= task.read_at:
                self._read(task)

    def _unread(self) -> dict[ShownAt, bool]:
        recent, found = self.clock.now - WAIT, dict[ShownAt, bool]()
        for id_, since in self.unread.items():
            task = self.tasks[id_]
            at = ShownAt(task.workflow, int(since))
            is_awaited = task.reads < 3 and since > recent
            found[at] = found.get(at, False) or is_awaited
        return found

    def _fits(self, task: Task, event: Event, by: float) -> bool:
        same = task.key == event.key and task.workflow in RECEIVERS[event.webhook]
        return same and task.scheduled <= by and task.done_by is None

    def _takers(self, event: Event, by: float) -> list[Task]:
        return [self.tasks[id_] for id_ in self.known if self._fits(self.tasks[id_], event, by)]

    def _unknown(self, event: Event, by: float) -> Iterator[Task]:
        return (
            task
            for task in self.tasks.values()
            if self._fits(task, event, by) and task.id not in self.known
        )

    def _decide(self, undecided: list[Event]) -> None:
        blocked: set[str] = set()
        for event in undecided:
            takers = self._takers(event, event.at)
            arrived = int(event.at * _SECOND)
            if event.webhook in blocked or not self.barrier.knows(
                arrived, RECEIVERS[event.webhook], bool(takers)
            ):
                blocked.add(event.webhook)
                continue
            event.decided = self.clock.now
            event.missed = {
                task.id: self._why(task, event.at) for task in self._unknown(event, event.at)
            }
            for task in takers:
                task.done_by = event.id
            if not takers:
                event.held = True
                self.barrier.want_look()

    def _end_holds(self, up_to: int) -> None:
        for event in self.events:
            end = event.at + HOLD
            if event.held and event.ended is None and end * _SECOND < up_to:
                event.ended = self.clock.now
                for task in self._unknown(event, end):
                    event.missed.setdefault(task.id, self._why(task, end))

    def _why(self, task: Task, due: float) -> str:
        """Why a task that was waiting then isn't known. In capitals what no rule allows."""
        now = self.clock.now
        if now >= min(due, self.barrier.failing_since) + WAIT:
            return "waited long enough"
        if task.shown is not None and task.reads >= 3:
            return "couldn't be read three times"
        if task.by in ("system", "foreign"):
            if self.alone_ever and self.look_began < due:
                return "OTHERS' TASK, WITHOUT A LOOK"
            if task.indexed > self.look_began or not self.alone_ever:
                return "others' task, not indexed yet or their first"
        return "LATE POLL" if task.by == "late" else "MISSED"

    def _hand_over(self, died: bool) -> None:
        if died:  # it may have been polling
            if self.r.random() < 0.5:
                self._hand_out(3, "lost")
            else:
                self.clock.at(
                    self.clock.now + self.r.uniform(0, 1.9), lambda: self._hand_out(3, "late")
                )
        elif not self.barrier.settled:
            died = True  # it doesn't resign
        self.barrier = Barrier(self.clock)
        self.barrier.term_began(self.clock.now if died else None)
        if self.alone_ever:
            self.barrier.found_alone(self.clock.now)
        self.unread.clear()

"""Which workflow is polled next, and when: pure, for one thread.

Conductor doesn't announce that a workflow has ended, so it must be asked, and often: a sender waits. There are two
ways, and each workflow name (a *flow*) uses one of them:

list  One request for the ids of all running workflows with that name. A watched one that isn't among them has probably
      ended, and is read at once.
read  One request for one workflow, which returns the output too if it has ended.

Lists are used where they cost less than reading what is watched, by the time that both took. No list is proof: what it
leaves out is read, what it contains is also read now and then, and a list that keeps misleading isn't used for a while.

What it may cost the server is bounded by time, so a slow server is asked less: polls take half of the time at most, and
a flow that has used up that share gives way to others. Within a flow, young workflows come before those that have long
been running; across flows, the one that has waited longest is next. So thousands of slow workflows don't hold up
others. Reading what a list says has ended isn't work that could be saved, so it isn't held back, just bounded in
parallel.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from worker.answers.flows import GUESS, SMOOTH, Flow, Watched
from worker.conductor.backoff import wait_before

_SHARE = 1 / 2
"""The share of time in which polls may be in progress: of one flow, which then gives way to others, and of all."""
_BURST = 0.15
"""Seconds by which polls may be ahead of their share, so that a single slow one delays little."""
_LONGEST_REST = 2.0
"""Seconds that one poll adds to a rest at most."""
_HANGS = 0.1
"""Seconds after the beginning of a poll in which no other of its flow begins, unless it ends."""
POLLS = 3
"""Looks in progress at most; one of them at a workflow that failed before."""
READS = 6
"""Reads in progress at most of what lists say has ended."""
_GONE_AFTER = 3
"""How often Conductor must say that it has no such workflow."""
_SLOWEST = 10.0
"""Seconds between two reads of a workflow that can't be read, at most."""
_AWAY = 2.0
"""Seconds between two polls while Conductor is away, at most."""

Found = Literal["running", "ended", "gone", "failed"]
"""What a read says. `gone`: Conductor has no such workflow. `failed`: it can't be read now."""


@dataclass(frozen=True, slots=True)
class Poll:
    """One request."""

    flow: str
    read: Watched | None
    """The workflow to be read; None for a list."""
    kind: Literal["regular", "urgent", "suspect"]
    began: float


class Schedule:
    """What is watched. All times are seconds by a monotonic clock."""

    def __init__(self) -> None:
        self._flows: dict[str, Flow] = {}
        self._events: dict[str, tuple[Watched, float]] = {}
        """Event id → its workflow, and until when its sender waits."""
        self._ends: list[tuple[float, str]] = []
        """The same as a heap by time; may contain outdated entries."""
        self._order: list[tuple[float, int, Flow]] = []
        """Flows by `ready_at`; may contain outdated places."""
        self._count = 0
        self._urgent: dict[str, deque[Watched]] = {}
        """What lists say has ended, by flow; first the flow whose turn it is."""
        self._suspects: list[tuple[float, int, Watched]] = []
        self._going = {"regular": 0, "urgent": 0, "suspect": 0}
        self._spent_until = float("-inf")
        """Until when the polls so far have used up their share of time."""
        self._read_takes = GUESS
        self._away, self._away_until = 0, float("-inf")

    def __len__(self) -> int:
        """How many events wait for a workflow's end."""
        return len(self._events)

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._events

    # --- what is watched ---

    def add(self, workflow: str, workflow_id: str, event_id: str, until: float, now: float) -> None:
        """Watches the workflow, until then, for the event; or until later than before."""
        flow = self._flows.setdefault(workflow, Flow(workflow))
        watched = flow.watched.get(workflow_id)
        if watched is None:
            watched = flow.watched[workflow_id] = Watched(workflow, workflow_id, now)
            flow.queue(watched, now, len(self._flows))
        watched.events.add(event_id)
        self.extend(event_id, until, watched)
        self._place(flow, now)

    def extend(self, event_id: str, until: float, watched: Watched | None = None) -> None:
        """The event's sender waits longer."""
        known = self._events.get(event_id)
        if known is not None:
            watched, until = known[0], max(known[1], until)
        if watched is not None and (known is None or until > known[1]):
            self._events[event_id] = watched, until
            heapq.heappush(self._ends, (until, event_id))

    def expire(self, now: float) -> list[str]:
        """Forgets the events whose senders no longer wait, and returns them."""
        expired = []
        while self._ends and self._ends[0][0] <= now:
            _, event_id = heapq.heappop(self._ends)
            known = self._events.get(event_id)
            if known is not None and known[1] <= now:
                del self._events[event_id]
                expired.append(event_id)
                known[0].events.discard(event_id)
                if not known[0].events:
                    self._forget(known[0])
        return expired

    def _forget(self, watched: Watched) -> None:
        watched.forgotten = True
        flow = self._flows.get(watched.workflow)
        if flow is not None and flow.watched.get(watched.id) is watched:
            del flow.watched[watched.id]
            self._drop_if_empty(flow)

    def _drop_if_empty(self, flow: Flow) -> bool:
        if flow.watched or flow.listing:
            return False
        flow.ready_at = float("inf")
        del self._flows[flow.name]
        return True

    # --- what to do next ---

    def due_in(self, now: float) -> float:
        """Seconds until `next` may return something, if nothing happens before."""
        at = min(self._next_suspect(), self._next_flow())
        if self._urgent and self._going["urgent"] < READS:
            at = now
        at = float("inf") if self._waits_for_one else max(at, self._away_until)
        at = min(at, self._ends[0][0] if self._ends else float("inf"))
        return max(0.0, at - now)

    def next(self, now: float) -> Poll | None:
        """The next request to make now, if any. Its outcome must be reported with `listed` or `was_read`."""
        if now < self._away_until or self._waits_for_one:
            return None
        while self._urgent and self._going["urgent"] < READS:
            watched = self._next_urgent()
            if not watched.forgotten:
                return self._poll(watched.workflow, watched, "urgent", now)
        if self._next_suspect() <= now:
            _, _, watched = heapq.heappop(self._suspects)
            return self._poll(watched.workflow, watched, "suspect", now)
        while self._next_flow() <= now:
            flow = heapq.heappop(self._order)[2]
            flow.ready_at = float("inf")
            poll = self._poll_flow(flow, now)
            self._place(flow, now)
            if poll is not None:
                return poll
        return None

    @property
    def _waits_for_one(self) -> bool:
        """Whether a poll in progress must first show that Conductor is back."""
        return self.is_away and any(self._going.values())

    def _poll(
        self, flow: str, watched: Watched | None, kind: Literal["regular", "urgent", "suspect"], now: float
    ) -> Poll:
        self._going[kind] += 1
        if watched is not None:
            watched.occupy()
        return Poll(flow, watched, kind, now)

    def _next_urgent(self) -> Watched:
        """Flows take turns: however many workflows of one name end at once, those of others don't wait for them."""
        name, watched = next(iter(self._urgent.items()))
        first = watched.popleft()
        del self._urgent[name]
        if watched:
            self._urgent[name] = watched
        return first

    def _next_suspect(self) -> float:
        while self._suspects and self._suspects[0][2].forgotten:
            heapq.heappop(self._suspects)
        return self._suspects[0][0] if self._suspects and not self._going["suspect"] else float("inf")

    def _next_flow(self) -> float:
        while self._order and (self._order[0][2].ready_at != self._order[0][0]):
            heapq.heappop(self._order)
        if not self._order or self._going["regular"] + self._going["suspect"] >= POLLS:
            return float("inf")
        return max(self._order[0][0], self._spent_until - _BURST)

    def _place(self, flow: Flow, now: float) -> None:
        """Puts the flow in its place among all flows."""
        at = min((one.due_at for one in flow.candidates(now, self._read_takes)), default=float("inf"))
        at = max(at, flow.rests_until)
        if at != flow.ready_at:
            flow.ready_at = at
            if at != float("inf"):
                self._count += 1
                heapq.heappush(self._order, (at, self._count, flow))

    def _poll_flow(self, flow: Flow, now: float) -> Poll | None:
        due = [one for one in flow.candidates(now, self._read_takes) if one.due_at <= now]
        if not due:
            return None
        # The most overdue relative to its interval: otherwise old ones, which are many, would come before young ones.
        read = max(due, key=lambda one: (now - one.due_at) / one.interval).read
        if read is None:
            flow.begin_list(now)
        # Until this poll shows how long it takes. If it hangs, the flow's others don't wait for it.
        flow.rests_until = now + max(self._read_takes / _SHARE, _HANGS)
        return self._poll(flow.name, read, "regular", now)

    # --- results ---

    def listed(self, poll: Poll, running: Collection[str] | None, now: float, never: bool = False) -> None:
        """A list was read. `running`: the ids in it; None if it couldn't be read: now, or `never` on this server."""
        self._ended(poll, now)
        flow = self._flows[poll.flow]
        flow.end_list(now - poll.began)
        if running is None and never:
            flow.no_lists(now)
        elif running is None:
            flow.list_failed(now)
        else:
            flow.list_worked()
            self._away = 0
            among = running if isinstance(running, (set, frozenset)) else set(running)
            for watched in flow.watched.values():
                # Not one that began to be watched later: it may have been started since.
                if watched.id not in among and not watched.busy and watched.since <= poll.began:
                    watched.occupy()
                    self._urgent.setdefault(flow.name, deque()).append(watched)
        if not self._drop_if_empty(flow):
            self._place(flow, now)

    def was_read(self, poll: Poll, found: Found, now: float) -> set[str]:
        """A workflow was read. Returns the events that this answers; they are forgotten."""
        self._ended(poll, now)
        watched = poll.read
        assert watched is not None
        watched.busy = False
        watched.read_at = now
        if found != "failed":
            self._away = 0
            if poll.kind != "suspect":
                self._read_takes += (now - poll.began - self._read_takes) * SMOOTH
        watched.missing = watched.missing + 1 if found == "gone" else 0
        flow = self._flows.get(watched.workflow)
        if flow is None or watched.forgotten:
            return set()
        if poll.kind == "urgent" and flow.learn(misled=found == "running"):
            self._mistrust(flow, now)
        if found == "ended" or watched.missing >= _GONE_AFTER:
            events = set(watched.events)
            for event_id in events:
                del self._events[event_id]
            self._forget(watched)
            if flow.name in self._flows:
                self._place(flow, now)
            return events
        if found == "running":
            watched.failures = 0
            self._again(flow, watched, now)
        else:
            watched.failures += 1
            self._count += 1
            due_at = now + wait_before(watched.failures, _SLOWEST, first=0.5)
            heapq.heappush(self._suspects, (due_at, self._count, watched))
            watched.occupy()  # no list puts it among the urgent ones
        self._place(flow, now)
        return set()

    def unreachable(self, poll: Poll, now: float) -> None:
        """Conductor couldn't be reached, or answered nothing useful: the poll says nothing about its workflow."""
        self._ended(poll, now)
        self._away += 1
        self._away_until = now + wait_before(self._away, _AWAY)
        flow = self._flows.get(poll.flow)
        if flow is not None:
            if poll.read is None:
                flow.end_list(None)
            elif not poll.read.forgotten:
                self._again(flow, poll.read, now)
            if not self._drop_if_empty(flow):
                self._place(flow, now)

    @property
    def is_away(self) -> bool:
        """Whether Conductor couldn't be reached the last time."""
        return self._away > 0

    def _again(self, flow: Flow, watched: Watched, now: float) -> None:
        """Puts it back among those to be read."""
        watched.read_at = now
        flow.queue(watched, now, len(self._flows))

    def _mistrust(self, flow: Flow, now: float) -> None:
        flow.no_lists(now)
        for watched in self._urgent.pop(flow.name, ()):
            if not watched.forgotten:
                self._again(flow, watched, now)

    def _ended(self, poll: Poll, now: float) -> None:
        self._going[poll.kind] -= 1
        took = max(0.0, now - poll.began)
        if poll.kind != "regular":
            return
        self._spent_until = max(self._spent_until, poll.began) + min(took / _SHARE, _LONGEST_REST)
        flow = self._flows.get(poll.flow)
        if flow is not None:
            flow.spent_until = max(flow.spent_until, poll.began) + min(took / _SHARE, _LONGEST_REST)
            flow.rests_until = flow.spent_until - _BURST

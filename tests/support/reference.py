"""The delivery rules of the design, written down once more: slowly, without indexes, caches or a
store.

Times are milliseconds by our clock. What the worker knows of Conductor at a decision is given; what
it makes of that is checked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from config.target_keys import Start
from config.webhooks import Definitions, Webhook
from store.one_target import OneTarget
from store.records import Target
from tests.support import naive

UNKNOWN_WEBHOOK_GRACE = 60_000
Answer = Literal[True, False, "in doubt"]


@dataclass(frozen=True)
class RefTask:
    """A task that waits."""

    id: str
    workflow: str
    version: int
    scheduled_at: int
    root_started_at: int
    root_correlation_id: str | None
    matches: Any
    workflow_id: str = ""
    reference_name: str = ""
    in_doubt: bool = False
    """Whether Conductor can't show its workflow for now, so that version and root aren't known."""


@dataclass
class RefEvent:
    """An event and what has become of it."""

    seq: int
    id: str
    webhook: str
    received_at: int
    hold_until: int
    payload: Mapping[str, Any]
    decided: bool = False
    held: bool = False
    ignored: bool = False
    takers: dict[str, str] = field(default_factory=dict)
    """task id → pending, done, cancelled, unfit, unknown."""
    in_doubt: set[str] = field(default_factory=set)
    """The ids of the tasks that it was given in doubt: whether they are its is seen when it is
    called for them."""
    versions: dict[tuple[str, str], int | None] = field(default_factory=dict)
    """(workflow, correlation id) → version, of the workflows to start."""
    starts: dict[tuple[str, str], str] = field(default_factory=dict)
    """(workflow, correlation id) → pending, done, skipped, failed."""
    only: OneTarget | None = None
    """The one target that it may have, if it is a replay to one."""
    recheck: bool = False
    """Whether its takers turned out gone, and nothing has been decided since."""

    @property
    def freed(self) -> bool:
        """Rule 6: every taker turned out gone, so the event is free again."""
        return bool(self.takers) and set(self.takers.values()) <= {"cancelled", "unfit"}

    @property
    def status(self) -> str:
        states = {*self.takers.values(), *self.starts.values()}
        if not self.decided:
            return "pending"
        if "pending" in states:
            return "pending"
        if states & {"failed", "unknown"}:
            return "failed"
        if self.held:
            return "pending"
        if states & {"done", "skipped"}:
            return "delivered"
        return "ignored" if self.ignored else "expired"


class Rules:
    """The reference."""

    def __init__(self, definitions: Definitions, skew: int):
        self.definitions = definitions
        self.skew = skew
        self.events: dict[str, RefEvent] = {}

    def webhook(self, event: RefEvent) -> Webhook | None:
        return self.definitions.by_name.get(event.webhook)

    def settled(self, target: Target, state: str) -> None:
        """A call for a target has come to this end."""
        event = self.events[target.event_id]
        if target.task_id is not None:
            event.takers[target.task_id] = state
            if event.freed:
                event.held = event.recheck = True
        else:
            event.starts[target.workflow, str(target.correlation_id)] = state

    def decide(
        self, waiting: Iterable[RefTask], began: int, now: int, left_out: Collection[str] = ()
    ) -> None:
        """One decision, after a scan that began then and found these tasks waiting.

        `left_out`: webhooks whose definition was awaited at the last decision, less than half a
        second ago: their new events, and what became free again, are for the next one.
        """
        free = sorted(waiting, key=lambda task: (task.scheduled_at, task.id))
        decidable = (
            event
            for event in self.events.values()
            if not (event.recheck and event.webhook in left_out)
        )
        events = sorted(decidable, key=lambda event: event.seq)
        # The hold: tasks in the order in which they came take the oldest event that they may take.
        for task in free[:]:
            for event in events:
                may = self.may_take_held(task, event) if event.decided and event.held else False
                if may == "in doubt":  # it takes nothing before that is known
                    break
                if may:
                    event.held = False
                    event.takers[task.id] = "pending"
                    free.remove(task)
                    break
        # Of those whose takers turned out gone and that no other task took, the starts are made
        # that they forbade.
        for event in events:
            if event.recheck and event.held and self.start(event, taken=False, again=True):
                event.held = False
            event.recheck = False
        # New events, in the order of arrival.
        for event in events:
            if not event.decided and event.webhook not in left_out:
                self.decide_new(event, free, began, now)
        for event in events:
            # Also if it surely may: it waits until it is known whether it takes an earlier one.
            may_still = any(self.may_take_held(task, event) for task in free)
            if event.held and event.hold_until < began and not may_still:
                event.held = False

    def decide_new(self, event: RefEvent, free: list[RefTask], began: int, now: int) -> None:
        webhook = self.webhook(event)
        if webhook is None:
            event.decided = now >= max(event.hold_until, event.received_at + UNKNOWN_WEBHOOK_GRACE)
            return
        event.decided = True
        takers = [t for t in free if self.fits(t, event) and t.scheduled_at <= event.received_at]
        event.in_doubt = {t.id for t in takers if self.fits(t, event) == "in doubt"}
        if not takers:
            takers = [t for t in free if self.may_take_held(t, event) is True][:1]
        receives = event.only is None or (
            event.only.kind == "complete" and event.only.workflow in webhook.receivers
        )
        receives = receives and bool(webhook.receivers)
        can_be_held = receives and event.hold_until >= began
        may_start = any(start.unless for start, _ in self.wanted(event))
        if (
            can_be_held
            and not may_start
            and len(takers) == 1
            and self.may_take_earlier(takers[0], event)
        ):
            takers = []  # in the order of arrival: which event comes first is in doubt
            event.in_doubt = set()
        for task in takers:
            event.takers[task.id] = "pending"
            free.remove(task)
        resumes_or_starts = self.start(event, taken=bool(takers), again=False)
        may_be_for = any(self.may_take_held(task, event) == "in doubt" for task in free)
        event.held = not takers and not resumes_or_starts and (can_be_held or may_be_for)
        event.ignored = not receives

    def start(self, event: RefEvent, taken: bool, again: bool) -> bool:
        """Makes the event's starts, `again` only those that a taker forbade; whether any such was
        made."""
        made = False
        for start, number in self.wanted(event):
            key = start.workflow, f"{event.id}#{number}" if number > 1 else event.id
            if (start.unless is None and again) or (start.unless is not None and taken):
                continue
            if key not in event.starts:  # it was made before the definition forbade it
                event.versions[key] = start.version
                event.starts[key] = "pending"
                made |= start.unless is not None
        return made

    def wanted(self, event: RefEvent) -> list[tuple[Start, int]]:
        """The starts whose `when` holds, each with its number among those of its workflow; those
        that it may make."""
        webhook = self.webhook(event)
        holding = (
            [start for start in webhook.starts if when_holds(start.when, event.payload)]
            if webhook
            else []
        )
        numbered = [
            (start, 1 + sum(other.workflow == start.workflow for other in holding[:place]))
            for place, start in enumerate(holding)
        ]
        if event.only is None:
            return numbered
        only = (event.only.kind, event.only.workflow, event.only.entry)
        return [
            (start, number)
            for start, number in numbered
            if only == ("start", start.workflow, number)
        ]

    def fits(self, task: RefTask, event: RefEvent) -> Answer:
        """Whether the task is a receiver's, and its matches hold."""
        webhook = self.webhook(event)
        # In a loop, a replay to one target is for the task in whichever iteration.
        if event.only is not None and (event.only.workflow_id, event.only.reference_name) != (
            task.workflow_id,
            re.sub(r"__[0-9]+\Z", "", task.reference_name),
        ):
            return False
        if (
            webhook is None
            or task.workflow not in webhook.receivers
            or not holds(task.matches, event.payload)
        ):
            return False
        versions = webhook.receivers[task.workflow]
        if versions is not None and task.in_doubt:
            return "in doubt"
        return versions is None or task.version in versions

    def may_take_held(self, task: RefTask, event: RefEvent) -> Answer:
        """Whether the task may take the event as one that is held: in time, and running when it
        arrived."""
        fits = self.fits(task, event)
        if not fits or task.scheduled_at > event.hold_until:
            return False
        if fits == "in doubt":
            return fits
        if task.scheduled_at <= event.received_at - self.skew:
            return True
        if task.in_doubt:
            return "in doubt"
        own = (task.root_correlation_id or "").split("#")[0] == event.id
        return not own and task.root_started_at <= event.received_at + self.skew

    def may_take_earlier(self, task: RefTask, event: RefEvent) -> bool:
        """Whether it is in doubt if the task takes an earlier event of the same webhook, which is
        held."""
        return any(
            other.held
            and other.webhook == event.webhook
            and self.may_take_held(task, other) == "in doubt"
            for other in self.events.values()
        )


def holds(matches: Any, payload: Mapping[str, Any]) -> bool:
    """Whether all criteria hold; the paths of these tests are plain members of the payload."""
    return isinstance(matches, Mapping) and all(
        path.removeprefix("$.") in payload
        and naive.equal(payload[path.removeprefix("$.")], expected)
        for path, expected in matches.items()
    )


def when_holds(when: Mapping[str, Any], payload: Mapping[str, Any]) -> bool:
    """Whether all conditions of a start hold, operators among them."""
    found = (
        (payload.get(path.removeprefix("$."), _MISSING), expected)
        for path, expected in when.items()
    )
    return all(
        naive.holds([] if value is _MISSING else [value], expected) for value, expected in found
    )


_MISSING = object()

"""What follows from a decision, from a call's result and from the end of a hold: for targets, tasks
and events; which task may take an event, as far as times decide; and which events a replay
resolves.

All times are Unix milliseconds by one clock; `skew` is how much Conductor's and the bridge's clocks
may differ.

Pure functions of values. A store reads what they need, and writes what they return, in one
transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from store.one_target import OneTarget
from store.records import (
    Decision,
    EventStatus,
    Hold,
    Result,
    Target,
    TargetKind,
    TargetState,
    TaskState,
)
from store.story import ATTEMPTS_KEPT, ERROR_KEPT, Attempt

BREAK = 600_000
"""Milliseconds without an effect after which nothing is known: Conductor was away, or nobody
called.

An effect that far in the future tells nothing either: the clock was set back.
"""


@dataclass(frozen=True, slots=True)
class Effects:
    """One unbroken run of effects of a kind of call, from the first (`since`) to the `last`: a
    target that fails meanwhile fails alone."""

    since: int
    last: int


def after_effect(before: Effects | None, now: int) -> Effects:
    """The run with one more effect; a new run if there was a break."""
    if before is None or abs(now - before.last) > BREAK:
        return Effects(now, now)
    return Effects(before.since, max(before.last, now))


def failed_alone(failing_since: int, effects: Effects | None, now: int) -> int:
    """Milliseconds for which a target has failed while others of its kind took effect.

    A break doesn't count, nor does anything before it: in an outage all targets fail, and none is
    to blame.
    """
    if effects is None or abs(now - effects.last) > BREAK:
        return 0
    return max(0, now - max(failing_since, effects.since))


def others_since(failing_since: int, effects: Effects | None, now: int) -> int:
    """Milliseconds from when a target began to fail until the last effect of another of its kind; 0
    if there was none.

    In an outage that stays close to 0, however long it lasts.
    """
    if effects is None or abs(now - effects.last) > BREAK:
        return 0
    return max(0, min(effects.last, now) - failing_since)


LIVE: frozenset[TargetState] = frozenset({"queued", "pending", "claimed"})
"""The call hasn't been made yet, or its result hasn't been recorded."""
FAILED: frozenset[TargetState] = frozenset({"failed", "unknown"})
"""People have to see to the target: its event fails, and may be replayed."""
ENDED: frozenset[TargetState] = FAILED | {"done", "skipped", "cancelled"}
"""Nothing more happens to the target."""

_LONG_AGO = 1
"""When an event that is to be forgotten was finished: it is among the first that retention
deletes."""
_TASK_AFTER: dict[TargetState, TaskState] = {
    "done": "completed",
    "cancelled": "gone",
    "unknown": "gone",
}


@dataclass(frozen=True, slots=True)
class EventChange:
    """What becomes of an event."""

    status: EventStatus
    hold: Hold
    settled_at: int | None
    """When it was finished; None while something may still happen to it."""


@dataclass(frozen=True, slots=True)
class TaskChange:
    """What becomes of a task that an event has taken."""

    state: TaskState
    settled_at: int | None


@dataclass(frozen=True, slots=True)
class TargetChange:
    """What becomes of a target whose claim still stands."""

    state: TargetState
    due_at: int
    error: str | None
    not_sent: bool
    workflow_id: str | None
    settled_at: int | None
    failing_since: int | None
    failures: tuple[Attempt, ...]
    """The newest attempts that didn't succeed, oldest first."""


def after_decision(decision: Decision, now: int) -> EventChange:
    """The event that was decided. (`decided_at` is the time of the first decision.)"""
    settled_at = None
    if decision.hold == "no" and decision.status != "pending":
        settled_at = _LONG_AGO if decision.forgotten else now
    return EventChange(decision.status, decision.hold, settled_at)


def target_after(target: Target, result: Result, now: int) -> TargetChange:
    """The target for which a call was made."""
    return TargetChange(
        state=result.state,
        due_at=result.due_at or target.due_at,
        error=result.error,
        not_sent=result.not_sent,
        workflow_id=result.workflow_id or target.workflow_id,
        settled_at=now if result.state in ENDED else None,
        failing_since=result.failing_since,
        failures=_failures_after(target, result, now),
    )


def _failures_after(target: Target, result: Result, now: int) -> tuple[Attempt, ...]:
    if result.error is None or result.state in ("done", "skipped"):
        return target.failures
    began = now if target.claimed_at is None else target.claimed_at
    failure = Attempt(target.attempts, began, now, result.error[:ERROR_KEPT], result.did_nothing)
    first, *later = (*target.failures, failure)[-ATTEMPTS_KEPT:]
    # Those before it that aren't kept may have had an effect.
    return (replace(first, did_nothing=first.did_nothing and not may_have_acted(target)), *later)


def may_have_acted(target: Target) -> bool:
    """Whether an earlier try of a claimed target may have had its effect: its answer was lost, or
    its process died."""
    first = target.failures[0].number if target.failures else 1
    without_effect = {attempt.number for attempt in target.failures if attempt.did_nothing}
    return not without_effect.issuperset(range(first, target.attempts))


def task_after(result: Result, now: int) -> TaskChange | None:
    """The target's task; None if nothing changes for it.

    A task whose event is permanently refused waits again: another event may match it.
    """
    if result.target.task_id is None or result.state not in ENDED:
        return None
    if result.state == "failed":
        return TaskChange("waiting", None)
    return TaskChange(_TASK_AFTER[result.state], now)


@dataclass(frozen=True, slots=True)
class Changes:
    """What follows from results of calls, for everything but events."""

    ended: tuple[Target, ...]
    """Targets to which nothing more happens."""
    moving: tuple[Target, ...]
    """Targets whose lanes may have another first message now."""
    leaving: tuple[Target, ...]
    """Messages that leave their lanes."""
    tasks: Mapping[str, TaskChange]
    lost_a_taker: frozenset[str]
    """Events of which a completion has ended: they may be free again."""


def may_advance_lane(result: Result) -> bool:
    """Whether its lane, if it has one, may have another first message after this result."""
    # One that is queued again may be the first by now.
    return result.state in ENDED or result.state == "queued" or result.leaves_lane


def after_results(results: Sequence[Result], now: int) -> Changes:
    """What follows from these results, whose claims still stood, for everything but events."""
    ended = [result for result in results if result.state in ENDED]
    takers = [result for result in ended if result.target.kind == "complete" and not result.final]
    tasks: dict[str, TaskChange] = {}
    for result in ended:
        task_id, change = result.target.task_id, task_after(result, now)
        if task_id is not None and change is not None:
            tasks[task_id] = change
    return Changes(
        ended=tuple(result.target for result in ended),
        moving=tuple(result.target for result in results if may_advance_lane(result)),
        leaving=tuple(result.target for result in results if result.leaves_lane),
        tasks=tasks,
        lost_a_taker=frozenset(result.target.event_id for result in takers),
    )


def events_after(
    changes: Changes,
    holds: Mapping[str, Hold],
    states: Mapping[str, Iterable[tuple[TargetKind, TargetState]]],
    now: int,
) -> dict[str, EventChange]:
    """What becomes of the events with these holds, whose targets have these kinds and states once
    the results are recorded."""
    after = {
        event_id: event_after(hold, states[event_id], event_id in changes.lost_a_taker, now)
        for event_id, hold in holds.items()
    }
    return {event_id: change for event_id, change in after.items() if change is not None}


def event_after(
    hold: Hold, targets: Iterable[tuple[TargetKind, TargetState]], taker_ended: bool, now: int
) -> EventChange | None:
    """The event after one of its targets ended; None if nothing changes for it.

    `hold` is the event's current one; `targets` are all of its targets in their current state;
    `taker_ended` says whether a completion is among those that just ended.
    """
    kinds_and_states = set(targets)
    takers = {state for kind, state in kinds_and_states if kind == "complete"}
    # Its starts, whatever their outcome, don't use up the hold. A taker whose outcome is unknown
    # may have the event.
    if taker_ended and hold == "no" and takers == {"cancelled"}:
        return _event_with("recheck", kinds_and_states, now)
    if any(state in LIVE for _, state in kinds_and_states):
        return None
    return _event_with(hold, kinds_and_states, now)


def event_after_return(
    hold: Hold, targets: Iterable[tuple[TargetKind, TargetState]], now: int
) -> EventChange:
    """The event once one of its messages is to be delivered again."""
    return _event_with(hold, set(targets), now)


def event_after_hold(targets: Iterable[tuple[TargetKind, TargetState]], now: int) -> EventChange:
    """The event once its hold has run out."""
    change = _event_with("no", set(targets), now)
    if change.status == "ignored":
        return replace(change, status="expired")
    return change


def _event_with(
    hold: Hold, kinds_and_states: set[tuple[TargetKind, TargetState]], now: int
) -> EventChange:
    # A skipped start has its workflow; a skipped message went nowhere.
    ignored = ("message", "skipped") in kinds_and_states
    states = {state for kind, state in kinds_and_states if (kind, state) != ("message", "skipped")}
    status: EventStatus = "expired"
    if states & FAILED:
        status = "failed"
    elif states & {"done", "skipped"}:
        status = "delivered"
    elif ignored:
        status = "ignored"
    live = bool(states & LIVE)
    if not live and hold == "no":
        return EventChange(status, hold, now)
    # An event that has failed says so although it is held.
    if live or status != "failed":
        status = "pending"
    return EventChange(status, hold, None)


def was_waiting(scheduled_at: float, received_at: float) -> bool:
    """Whether a task scheduled then was waiting when the event arrived: every such task takes it."""
    return scheduled_at <= received_at


def came_in_time(scheduled_at: float, hold_until: float) -> bool:
    """Whether a task began to wait before the event's hold ended."""
    return scheduled_at <= hold_until


def was_running(root_started_at: float, received_at: float, skew: float) -> bool:
    """Whether a workflow whose outermost parent started then was running when the event arrived."""
    return root_started_at <= received_at + skew


def surely_was_running(scheduled_at: float, received_at: float, skew: float) -> bool:
    """Whether the task's schedule time already answers that, without looking up the workflow."""
    return scheduled_at <= received_at - skew


def is_started_by(event_id: str, root_correlation_id: str | None) -> bool:
    """Whether the event itself started the outermost workflow: then its tasks don't take it."""
    return root_correlation_id is not None and root_correlation_id.partition("#")[0] == event_id


UNRESOLVED: tuple[EventStatus, ...] = ("failed", "expired", "ignored")
"""The statuses of events that a replay can resolve, and that people can acknowledge."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An event of a family that came to its end: the sender's event, a replay, or a replay of a
    replay."""

    id: str
    status: EventStatus
    only: OneTarget | None


def is_whole(only: OneTarget | None) -> bool:
    """Whether a replay with this `only` may have every target that its sender's event may have."""
    return only is None or only.kind == "callback"


def resolved(
    ended: Iterable[Ended],
    delivered: Collection[Ended],
    failed: Mapping[str, Collection[OneTarget]],
) -> dict[str, str]:
    """event → the replay that resolved it, of those that ended otherwise.

    `delivered` are the replays that were delivered, oldest first. `failed` says for each failed
    event which of its targets failed. A replay to any target resolves every event of its family;
    replays to one target resolve those that wanted nothing else. The last of them is named.
    """
    whole = next((one.id for one in delivered if is_whole(one.only)), None)
    parts = {one.only: one.id for one in delivered if one.only is not None}
    in_order = [one.id for one in delivered]
    found: dict[str, str] = {}
    for event in ended:
        wanted = _wanted(event, failed)
        if whole is not None:
            found[event.id] = whole
        elif wanted and wanted <= parts.keys():
            found[event.id] = max((parts[one] for one in wanted), key=in_order.index)
    return found


def _wanted(event: Ended, failed: Mapping[str, Collection[OneTarget]]) -> set[OneTarget]:
    """The targets that replays must deliver in place of the event; empty if that isn't known."""
    if event.status == "failed":
        return set(failed.get(event.id, ()))
    if event.only is not None:
        return {event.only}
    return set()

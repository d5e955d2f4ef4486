"""Tells what happened to an event, in order: pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType

from admin.events.replay import Family
from admin.explain.results import StoryStep
from admin.wording.statuses import EventTargets
from admin.wording.targets import describe_target
from config.quantities import ago
from store import answers
from store.answers import Answer, Waited
from store.records import Event, Target, Task, iso, place_of
from store.rules.transitions import FAILED
from store.story import Note, Origins
from worker.decision.late import LateCause, why_late

_TARGETS = 20
"""Targets whose calls are listed, at most."""
_NAMED = 5
"""Targets that one sentence names, at most."""
_BY_A_CHALLENGE = (
    "by nothing but the challenge that the webhook's URL once answered, or `verifier: none`"
)


def story_of(
    event: Event,
    targets: EventTargets,
    origins: Origins | None,
    family: Family | None,
    now: int,
    waited: Iterable[StoryStep] = (),
    tasks: Mapping[str, Task] = MappingProxyType({}),
) -> tuple[StoryStep, ...]:
    """What has happened to the event so far, and what is under way, in order of time. `waited`: the
    steps of the answer that its sender waits for. `tasks`: by their ids, those of its targets that
    are still known."""
    found = [
        *_arrival(event, origins),
        *_decisions(event, targets, origins, tasks),
        *(one for target in targets.some[:_TARGETS] for one in _calls(target, now)),
        *waited,
        *_replays(event, family),
        *(_noted(note) for note in (origins.notes if origins is not None else ())),
    ]
    if targets.number > _TARGETS:
        what = (
            f"Only the calls for the first {_TARGETS} of its {targets.number} targets are listed"
            " here."
        )
        found.append(StoryStep(targets.some[_TARGETS].created_at, what))
    return tuple(sorted(found, key=lambda step: step.at))


def _arrival(event: Event, origins: Origins | None) -> Iterator[StoryStep]:
    at = event.received_at
    if event.replay_of is not None:
        what = f"A replay of event {event.replay_of}"
        has_one = event.only is not None and not event.is_callback
        what += f", for one target only: the {event.only}." if has_one else "."
        yield StoryStep(at, what, other_event_id=event.replay_of)
        return
    remote = origins.remote if origins is not None else None
    yield StoryStep(at, f"Received from {remote}." if remote else "Received.")
    if origins is not None and origins.proof:
        yield StoryStep(at, f"Verified by {origins.proof}.")
    elif remote is not None:
        yield StoryStep(at, f"Verified {_BY_A_CHALLENGE}.")


def _decisions(
    event: Event, targets: EventTargets, origins: Origins | None, tasks: Mapping[str, Task]
) -> Iterator[StoryStep]:
    if event.decided_at is None:
        return
    yield _first_decision(event, event.decided_at, targets, origins)
    later = [target for target in targets.some if target.created_at > event.decided_at]
    late = {target.id: why for target in later if (why := _joined_late(event, target, tasks))}
    yield from (
        StoryStep(target.created_at, late[target.id]) for target in later if target.id in late
    )
    others = (target for target in later if target.id not in late)
    for at, together in groupby(others, key=lambda target: target.created_at):
        yield StoryStep(at, f"Decided again, because a target appeared: {_named(list(together))}.")
    if event.status != "expired" or (event.is_callback and targets.some):
        return
    if event.settled_at is not None and event.settled_at > event.decided_at:
        yield StoryStep(event.settled_at, "Its hold ended: no task took it.")


def _joined_late(event: Event, target: Target, tasks: Mapping[str, Task]) -> str | None:
    """When the target's task was found, and why not earlier; None if it was found soon, or isn't
    known any more."""
    task = tasks.get(target.task_id or "")
    if task is None or task.wait != target.wait:
        return None
    cause = why_late(event, task, target.created_at)
    if cause is None:
        return None
    return (
        f"Joined late, to complete the {place_of(target)}: its task was found at"
        f" {iso(task.adopted_at)}, scheduled at {iso(task.scheduled_at)}, because {_LATE[cause]}."
    )


_LATE: Mapping[LateCause, str] = {
    "queue": "no poll of the queue had returned it before",
    "index": "it had left the queue unseen, and the index showed it only then",
    "other": (
        "it couldn't take the event before: its workflow was still to be read, its webhook was"
        " paused, or the event had a taker that has ended without it"
    ),
}


def _first_decision(
    event: Event, decided_at: int, targets: EventTargets, origins: Origins | None
) -> StoryStep:
    by = scan = ""
    if origins is not None and origins.decided_by:
        by = f" by worker {origins.decided_by}"
    if origins is not None and origins.scan_at is not None:
        scan = f", after the scan for waiting tasks that began at {iso(origins.scan_at)}"
    first = [target for target in targets.some if target.created_at <= decided_at]
    outcome = _outcome(event, first, sum(targets.others.values()))
    after = span(decided_at - event.received_at)
    return StoryStep(decided_at, f"Decided {after} after it arrived{by}{scan}: {outcome}.")


def _outcome(event: Event, first: Sequence[Target], others: int) -> str:
    if first:
        return _named(first, others)
    if event.settled_at == event.decided_at:
        return "it has no target"
    return f"no waiting task matched, so it was held until {iso(event.hold_until)} at the latest"


def _named(targets: Sequence[Target], others: int = 0) -> str:
    named = ", ".join(map(_does, targets[:_NAMED]))
    rest = len(targets) + others - _NAMED
    more = f" and has {rest} more targets" if rest > 0 else ""
    return f"it {named}{more}"


def _does(target: Target) -> str:
    match target.kind:
        case "start":
            return f"starts {target.workflow}"
        case "message":
            return f"sends the {place_of(target)}"
        case "complete":
            return f"completes the {place_of(target)}"


def _calls(target: Target, now: int) -> Iterator[StoryStep]:
    place = f"the {place_of(target)}"
    for attempt in target.failures:
        took = span(attempt.ended_at - attempt.began_at)
        what = (
            f"Attempt {attempt.number} for {place} failed after {took}:"
            f" {attempt.error.rstrip('.')}."
        )
        yield StoryStep(attempt.ended_at, what, went_wrong=True)
    if target.settled_at is not None:
        effect = target.workflow_id if target.state in ("done", "skipped") else None
        yield StoryStep(target.settled_at, describe_target(target), target.state in FAILED, effect)
    elif target.state == "claimed" and target.claimed_at is not None:
        yield StoryStep(target.claimed_at, f"Attempt {target.attempts} for {place} is under way.")
    elif target.state == "queued":
        what = f"Next: {place}, once the earlier messages with its key are sent."
        yield StoryStep(max(target.created_at, now), what)
    elif target.state == "pending":
        what = f"Next: attempt {target.attempts + 1} for {place}."
        yield StoryStep(max(target.due_at, now), what)


def _replays(event: Event, family: Family | None) -> Iterable[StoryStep]:
    for replay in family.replays_of(event.id) if family is not None else ():
        only = resolved = ""
        if replay.only is not None and replay.only.kind != "callback":
            only = f" for one target only, the {replay.only}"
        if replay.id == event.resolved_by:
            resolved = " It resolved this event."
        what = f"Replayed{only}, as event {replay.id}, which is {replay.status}.{resolved}"
        yield StoryStep(replay.received_at, what, other_event_id=replay.id)


def _noted(note: Note) -> StoryStep:
    why = f": {note.reason}" if note.reason else "."
    return StoryStep(note.at, f"{note.what.capitalize()} by {note.who}{why}")


def span(milliseconds: int) -> str:
    """``340 ms``, ``2.5 s``, ``12 min``, …"""
    if milliseconds < 1000:
        return f"{max(0, milliseconds)} ms"
    return f"{milliseconds / 1000:.1f} s" if milliseconds < 60_000 else ago(milliseconds)


_SHOWN = 200
"""Characters of an answer that are shown."""


def waiting_sender_steps(
    waited: Waited, received_at: int, now: int, shows_body: bool
) -> Iterator[StoryStep]:
    """The steps of the answer. `shows_body`: whether people may see it."""
    until, answer = waited.wanted.wait_until, waited.answer
    path = waited.wanted.output
    yield StoryStep(
        received_at, f"Its sender waits for its workflow, and for `{path}` of the output."
    )
    is_late = answer is None or answer.answered_at > until
    if is_late and until <= now:
        what = "Its workflow didn't end in time: a sender that still waited was answered 202."
        yield StoryStep(until, what)
    elif is_late:
        yield StoryStep(until, "Next: a sender that still waits is answered 202.")
    if answer is not None:
        what = _answer(answer, shows_body)
        if is_late:
            what += " Nobody waited any more; whoever delivers it again gets it."
        went_wrong = answer.outcome != answers.COMPLETED
        yield StoryStep(answer.answered_at, what, went_wrong, answer.workflow_id)


def _answer(answer: Answer, shows_body: bool) -> str:
    if answer.outcome != answers.COMPLETED:
        return f"Its sender is answered 502: {answer.outcome}."
    if not shows_body:
        return "Its workflow completed; the answer is hidden."
    body = answer.body or "null"
    text = body if len(body) <= _SHOWN else f"{body[:_SHOWN]}…"
    return f"Its workflow completed; the answer is {text}."

"""Whether an event goes to a task: their times and their contents say so. When the bridge learned of
either is no part of it.

Pure, and the one place where an event is compared with a task: decisions, explanations and dry runs
ask it. All times are Unix milliseconds by the store's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from criteria.document import Document
from criteria.matches import BadMatches, Criteria
from store.records import Event, Task, Workflow


@dataclass(frozen=True, slots=True)
class Receiver:
    """What a webhook says of a workflow whose tasks it may complete."""

    versions: frozenset[int] | None
    """The workflow's versions; None for any."""
    added_at: int = 0
    """When the receiver was added, or its versions changed."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An event as it is offered to tasks."""

    event: Event
    document: Document
    """The payload that criteria are about."""
    receivers: Mapping[str, Receiver]
    """The webhook's, by the workflow's name."""
    skew: int = 0
    """Milliseconds by which a workflow may seem to have started after the event."""


@dataclass(frozen=True, slots=True)
class Waited:
    """The task waited when the event arrived: the event is for every such task."""


@dataclass(frozen=True, slots=True)
class InTime:
    """The task came while the event was held: the event is for the first such task, if none
    waited."""


@dataclass(frozen=True, slots=True)
class Differs:
    """A criterion doesn't hold."""

    path: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The task's criteria can't be read, so nothing is for it."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotAReceiver:
    """The webhook doesn't receive the task's workflow."""


@dataclass(frozen=True, slots=True)
class NotAReceiverThen:
    """The workflow became a receiver after the event's hold."""

    added_at: int


@dataclass(frozen=True, slots=True)
class OtherVersion:
    """The webhook receives other versions of the workflow."""

    version: int


@dataclass(frozen=True, slots=True)
class ForAnother:
    """The event is a replay to another target."""


@dataclass(frozen=True, slots=True)
class TooLate:
    """The task came after the event's hold."""


@dataclass(frozen=True, slots=True)
class StartedByIt:
    """The event itself started the task's workflow."""


@dataclass(frozen=True, slots=True)
class StartedLater:
    """The task's outermost workflow started after the event had arrived."""

    at: int


@dataclass(frozen=True, slots=True)
class LookUp:
    """The answer depends on the task's workflow, which isn't known yet."""


Verdict: TypeAlias = (
    Waited
    | InTime
    | Differs
    | Broken
    | NotAReceiver
    | NotAReceiverThen
    | OtherVersion
    | ForAnother
    | TooLate
    | StartedByIt
    | StartedLater
    | LookUp
)


def verdict(offer: Offer, task: Task, workflow: Workflow | None) -> Verdict:
    """Whether the event is for the task. `workflow`: what is known of the task's workflow; None if
    it hasn't been looked up."""
    receiver = offer.receivers.get(task.workflow)
    if receiver is None:
        return NotAReceiver()
    if offer.event.hold_until < receiver.added_at:
        return NotAReceiverThen(receiver.added_at)
    if offer.event.only is not None and not offer.event.only.is_for(task):
        return ForAnother()
    return (
        _why_unfit(offer, task)
        or _why_other_version(receiver, workflow)
        or _by_times(offer, task, workflow)
    )


def _why_unfit(offer: Offer, task: Task) -> Differs | Broken | None:
    try:
        criteria = Criteria.parse(task.matches)
    except BadMatches as error:
        return Broken(str(error))
    for path, select, key in zip(criteria.paths, criteria.selects, criteria.keys, strict=True):
        if key is None or key not in offer.document.keys(path, select):
            return Differs(path)
    return None


def _why_other_version(
    receiver: Receiver, workflow: Workflow | None
) -> OtherVersion | LookUp | None:
    if receiver.versions is None:
        return None
    if workflow is None:
        return LookUp()
    if workflow.version not in receiver.versions:
        return OtherVersion(workflow.version)
    return None


def _by_times(offer: Offer, task: Task, workflow: Workflow | None) -> Verdict:
    event = offer.event
    if task.scheduled_at <= event.received_at:
        return Waited()
    if not came_in_time(event, task):
        return TooLate()
    if workflow is None:
        return LookUp()
    if is_started_by(event.id, workflow.root_correlation_id):
        return StartedByIt()
    if workflow.root_started_at > event.received_at + offer.skew:
        return StartedLater(workflow.root_started_at)
    return InTime()


def came_in_time(event: Event, task: Task) -> bool:
    """Whether a task that came after the event came soon enough: within the hold, or as a round of
    a loop that has been waiting for such events since before this one."""
    is_held = event.hold_until > event.received_at
    went_on = task.waiting_since <= event.received_at
    return is_held and (task.scheduled_at <= event.hold_until or went_on)


def is_started_by(event_id: str, root_correlation_id: str | None) -> bool:
    """Whether the event started the outermost workflow: the `#2` of a further entry's start is no
    part of the event's id."""
    return root_correlation_id is not None and root_correlation_id.partition("#")[0] == event_id

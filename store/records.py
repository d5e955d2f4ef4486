"""The records that relay, worker and admin exchange through the store. All times are Unix
milliseconds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal, NamedTuple

import uuid_utils

from criteria.inputs import filled, value_at
from store.delivery_records import AnswerWanted, RawDelivery
from store.one_target import OneTarget, plain_name
from store.story import Attempt

EventStatus = Literal["pending", "delivered", "expired", "ignored", "failed"]
Waiting = Literal["held", "paused", "retrying", "quarantined"]
"""What a pending event waits for: a task, its webhook's resumption, another try of a call, or of
what failed alone."""
Hold = Literal["no", "held", "recheck", "aside", "unless"]
"""`held`: for tasks that begin to wait later. `recheck`: its takers were gone, so it is free again,
to be offered again. `aside`: it was one of these, and is set aside. `unless`: a workflow is started
unless a task that waited turns out to take it."""
FoundBy = Literal["queue", "index"]
TaskState = Literal["waiting", "taken", "completed", "gone"]
Came = Literal["waited", "in time"]
"""Whether a task waited when its event arrived, or came while the event was held."""
TargetKind = Literal["complete", "start", "message"]
TargetState = Literal[
    "queued", "pending", "claimed", "done", "skipped", "cancelled", "failed", "unknown"
]
"""`queued`: a message that waits for the earlier ones of its lane. `skipped`: a start that `once`
makes unnecessary, whose `workflow_id` is the existing workflow; or a message for whose key no
workflow ran, and that is ignored then. `unknown`: a completion that may have taken effect, and of
which nothing shows whether it has."""
Otherwise = Literal["start", "hold", "ignore"]
"""What becomes of a message for whose key no workflow runs."""
OnceWhile = Literal["running", "kept"]
"""How long a start covers others with its key: while its workflow runs, or as long as its event is
kept."""

SetAsideKind = Literal["event", "task", "workflow", "target", "definition"]


def new_event_id() -> str:
    """A UUIDv7: unique across all bridges, and sorted by time of creation."""
    return str(uuid_utils.uuid7())


@dataclass(frozen=True, slots=True)
class EventContent:
    """What an event says, and what it is for."""

    id: str
    webhook: str
    received_at: int
    payload: str
    """The payload as JSON text (an object), without `_webhook`."""
    headers: dict[str, str]
    """Lower-case names; those that carry secrets are left out."""
    query: dict[str, Any]
    hold_until: int
    delivery_id: str | None = None
    replay_of: str | None = None
    type: str | None = None
    """What kind of event it is, in the sender's words, for lists."""
    summary_parts: Mapping[str, str] | None = None
    """JSONPath → what it says, for lists: the few values that tell what happened, in the order in
    which they are shown. None if they haven't been looked for."""
    origin: str | None = None
    """The sender's event that this is a replay of, or a replay of a replay; None for a delivery."""
    only: OneTarget | None = None
    """For a replay to one target, and for a callback: the one target that it may have. None if it
    may have any."""
    claims: Mapping[str, Any] | None = None
    """What the token that proved it says, if one did."""
    enclosing: Mapping[str, Any] | None = None
    """What the delivery has around this event, if `split` leads to it by a path and that isn't
    large."""


@dataclass(frozen=True, slots=True)
class NewEvent(EventContent):
    """A verified delivery to be stored; with `split`, one of its elements."""

    raw: RawDelivery | None = None
    """The delivery that it is of, to be kept as it came; the same for all events of one delivery.
    """
    remote: str | None = None
    """The address that sent it."""
    proof: str | None = None
    """How it was verified, in words."""
    answer: AnswerWanted | None = None
    """What its sender waits for; None if it is answered at once."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The outcome for a `NewEvent`: stored under this id, or a duplicate of the event with this
    id."""

    event_id: str
    duplicate: bool
    came_to: Literal["expired", "failed"] | None = None
    """For a duplicate: how that event ended, if it came to nothing and no replay has resolved it.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(EventContent):
    """A stored event."""

    seq: int
    """Order of arrival, across all webhooks."""
    status: EventStatus
    decided_at: int | None
    """When its takers were decided; None while undecided."""
    hold: Hold
    settled_at: int | None
    acknowledged_at: int | None = None
    """Since when it is acknowledged: nobody needs to act on it."""
    resolved_by: str | None = None
    """The replay that delivered what this event didn't."""
    joinable_until: int | None = None
    """Until when a task that is found late may take it, at least. None before it is decided, and
    once none may."""
    unreadable: str | None = None
    """Why the stored event can't be read; None if it can. Others on the same page aren't affected.
    """

    @property
    def is_callback(self) -> bool:
        """Whether it came by a URL that is for one task, or is a replay of such an event."""
        return self.only is not None and self.only.kind == "callback"

    @property
    def summary(self) -> str:
        """What happened, in one line that begins with the type; empty if nothing is known."""
        return " ".join((self.summary_parts or {}).values())

    def document(self, metadata: bool = True) -> dict[str, Any]:
        """The payload that tasks match on, with `_webhook` unless `metadata` is false.

        Raises ValueError if the stored event can't be read.
        """
        self._must_be_readable()
        return document_of(self, metadata)

    def text(self, metadata: bool = True) -> str:
        """The same as JSON text, for Conductor. Raises ValueError if the payload isn't a JSON
        object.

        Spliced, not parsed and serialized again: with ten megabytes of small values that would
        block all other threads for seconds. It also means that numbers reach Conductor as the
        sender wrote them.
        """
        self._must_be_readable()
        payload = self.payload.strip()
        if payload[:1] != "{" or payload[-1:] != "}":
            raise ValueError("the stored payload is not a JSON object")
        if _may_name_webhook(payload):
            return json.dumps(document_of(self, metadata), separators=(",", ":"))
        if not metadata:
            return payload
        inner = payload[1:-1].rstrip()
        added = json.dumps(_metadata_of(self), separators=(",", ":"))
        return "".join(("{", inner, "," if inner else "", '"_webhook":', added, "}"))

    def input(self, written: str, most: int) -> str:
        """What a start gets whose entry has this `input` (JSON), as JSON text of at most this many
        characters.

        Its paths may read `_webhook` whatever the webhook's `metadata` says. Raises InputTooLarge,
        or ValueError if the stored event can't be read.
        """
        document = self.document()
        return filled(json.loads(written), lambda path: value_at(path, document), most)

    def _must_be_readable(self) -> None:
        if self.unreadable is not None:
            raise ValueError(self.unreadable)


def document_of(event: EventContent, metadata: bool = True) -> dict[str, Any]:
    """What tasks match on and receive: the payload, with `_webhook` if it has `metadata`.

    Raises ValueError if the payload isn't a JSON object.
    """
    document: dict[str, Any] = json.loads(event.payload)
    if not isinstance(document, dict):
        raise ValueError("the stored payload is not a JSON object")
    if metadata:
        document["_webhook"] = _metadata_of(event)
    else:
        document.pop("_webhook", None)
    return document


def _may_name_webhook(payload: str) -> bool:
    """Whether the text may already have a key `_webhook`, with letters escaped or not."""
    return '"_webhook"' in payload or ("\\u00" in payload and _ESCAPED.search(payload) is not None)


def _metadata_of(event: EventContent) -> dict[str, Any]:
    about: dict[str, Any] = {
        "name": event.webhook,
        "eventId": event.id,
        "receivedAt": iso(event.received_at),
        "headers": event.headers,
        "query": event.query,
    }
    if event.claims is not None:
        about["claims"] = event.claims
    if event.enclosing is not None:
        about["enclosing"] = event.enclosing
    return about


_ESCAPED = re.compile(r"\\u00(?:5f|77|65|62|68|6f|6b)", re.IGNORECASE)
"""An escaped letter of `_webhook`, as JSON may write it."""


_FIRST, _LAST = -62_135_596_800_000, 253_402_300_799_999
"""The years 1 to 9999, in Unix milliseconds."""


def iso(milliseconds: int | None) -> str | None:
    """ISO 8601 in UTC with milliseconds, as in ``2026-01-31T12:00:00.123Z``; None for None.

    A time that no calendar has, which only a damaged row can hold, is the first or the last one.
    """
    if milliseconds is None:
        return None
    milliseconds = min(max(milliseconds, _FIRST), _LAST)
    moment = datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Shape:
    """A set of JSONPaths by which tasks of a workflow ask. Events are found by their values there."""

    id: int
    workflow: str
    paths: tuple[str, ...]


class EventKey(NamedTuple):
    """What an event has at the paths of a shape."""

    shape: int
    key: int
    """The digest of one combination of values; `MANY` if there are too many."""


MANY = -1
"""Stands for more combinations of values than are kept: such an event is compared task by task."""


@dataclass(frozen=True, slots=True)
class Task:
    """A WAIT_FOR_WEBHOOK task that the worker knows about."""

    id: str
    workflow_id: str
    workflow: str
    """The workflow's name."""
    reference_name: str
    matches: Any
    """As received from Conductor: an object of JSONPath → expected value, or whatever the workflow
    made of it."""
    scheduled_at: int
    """When it began to wait. By Conductor's clock as Conductor shows it, and by the store's once it
    is adopted."""
    response_timeout: int = 0
    """Seconds of silence after which Conductor times the task out; 0 for never."""
    domain: str | None = None
    found_by: FoundBy = "queue"
    state: TaskState = "waiting"
    broken: str | None = None
    """Why no event can take it: its matches are missing or can't be parsed. None if they can."""
    iteration: int | None = None
    """Of the loop that it is in, from 1; 0 for a task in none, and None if Conductor didn't say."""
    seen_at: int = 0
    """When the call began that showed it waiting, in Unix milliseconds by the bridge's clock; 0 if
    the answer has just come from the queue."""
    shown_at: int = 0
    """`scheduled_at` by Conductor's clock, once it is adopted."""
    adopted_at: int = 0
    """When the bridge found it."""
    waiting_since: int = 0
    """When its loop began to wait for what it waits for: `scheduled_at` of the first in an unbroken
    row of rounds with the same criteria; its own outside of loops."""
    wait: int = 1
    """How many times it has come to wait: a rerun makes a task wait again under its id."""
    shape: int | None = None
    """The shape of its criteria (`Shape`); None if nothing can be for it."""
    key: int | None = None
    """The digest of what it expects there."""


@dataclass(frozen=True, slots=True)
class TargetCall:
    """A task completed, a workflow started, or a message given to a workflow, by an event: one call
    to Conductor. It must take effect exactly once; a message, at least once."""

    kind: TargetKind
    workflow: str
    workflow_id: str | None = None
    task_id: str | None = None
    """None for a start, and for a callback whose task can't be completed: its call finds out why.
    """
    reference_name: str | None = None
    version: int | None = None
    """The version of the workflow to start; None for the latest."""
    correlation_id: str | None = None
    """The correlation id of the workflow to start; for a message, its key: that of the workflow it
    is for."""
    once_key: str | None = None
    """The once key of a start (`store.rules.keys`)."""
    once_while: OnceWhile | None = None
    input: str | None = None
    """What the entry of a start says its input is, as JSON (`criteria.inputs`); None for the whole
    payload."""
    lane: str | None = None
    """Messages with the same lane are delivered one after the other (`store.rules.keys`); None for
    other targets."""
    otherwise: Otherwise | None = None
    """For a message."""
    iteration: int | None = None
    """For a completion: its task's."""
    wait: int = 1
    """For a completion: which wait of its task it ends."""
    came: Came | None = None
    """For a completion by an event that names no task: when its task came."""


@dataclass(frozen=True, slots=True)
class NewTarget(TargetCall):
    """A target as the decider creates it."""

    not_before: int = 0
    """When its call may be made, at the earliest: not while its task's time-out is being extended.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Target(TargetCall):
    """A stored target."""

    id: int
    event_id: str
    state: TargetState
    attempts: int
    error: str | None
    claimed_by: str | None
    claimed_at: int | None
    due_at: int
    """When its call may be made, at the earliest."""
    created_at: int
    settled_at: int | None
    failing_since: int | None = None
    """Since when Conductor has answered it with 5xx, or its workflow couldn't be looked up; None if
    neither."""
    failures: tuple[Attempt, ...] = ()
    """The newest attempts that didn't succeed, oldest first."""


@dataclass(frozen=True, slots=True)
class OnceHolder:
    """The start that holds a once key."""

    target_id: int | None
    """None if it was pruned with its event."""
    state: TargetState | None
    workflow_id: str | None
    """The workflow that it started; None before that, and if it was permanently refused."""


def place_of(target: TargetCall) -> OneTarget:
    """The target's place."""
    if target.kind == "complete":
        name = (
            None
            if target.reference_name is None
            else plain_name(target.reference_name, target.iteration)
        )
        return OneTarget("complete", target.workflow, target.workflow_id, name)
    if target.kind == "message":  # an event gives a workflow one message
        return OneTarget("message", target.workflow)
    _, _, number = (target.correlation_id or "").partition("#")
    return OneTarget("start", target.workflow, entry=int(number) if number.isdecimal() else 1)


@dataclass(frozen=True, slots=True)
class Decision:
    """The decider's decision on an event: its targets, whether it is held, and its status for now."""

    event_id: str
    status: EventStatus
    hold: Hold
    targets: tuple[NewTarget, ...] = ()
    paced: bool = False
    """Whether its targets wait for the webhook's pace instead of being claimed at once."""
    origin: str | None = None
    """The event's."""
    scan_at: int | None = None
    """When the scan began after which it is decided."""
    forgotten: bool = False
    """Whether retention deletes the event as soon as it next runs: a stranger made it up."""
    keys: tuple[EventKey, ...] = ()
    """By what tasks that are found later find the event. Those that it has already stay."""
    closes: tuple[str, ...] = ()
    """Events that join no task any more: this one, or the one that it is a replay of."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a target's call; counts only while the claim under which it was made still
    stands."""

    target: Target
    state: TargetState
    """`pending` for another try at `due_at`."""
    error: str | None = None
    workflow_id: str | None = None
    """The id of the workflow that was started, or that the message is for."""
    due_at: int = 0
    not_sent: bool = False
    """Whether a failed try never reached Conductor, so that it is repeated as soon as Conductor is
    back."""
    did_nothing: bool = False
    """Whether a failed try is known to have had no effect, whatever earlier ones did."""
    failing_since: int | None = None
    """Since when Conductor has answered the target with 5xx, or its workflow couldn't be looked up;
    None if neither."""
    final: bool = False
    """For a cancelled completion by a callback: no other task may have the event, so it isn't free
    again."""
    leaves_lane: bool = False
    """For a message that is set aside: those behind it don't wait for it any longer."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one step of retention deleted."""

    events: int
    more: bool
    """Whether there is more to delete."""


@dataclass(frozen=True, slots=True)
class Term:
    """A worker's time as leader. `Leadership.elect` returns it, and every method that writes a
    decision takes it."""

    holder: str
    """The worker. Once another one is leader, nothing is written in this term."""
    predecessor: str | None = None
    """The previous leader, if its term ran out or it was found dead; None if there was none, or it
    resigned.

    A worker that is elected again without having resigned is its own predecessor: if the answer to
    the first election was lost, it doesn't know whom it replaced."""
    predecessor_until: int = 0
    """When that term had ended at the latest, by the store's clock. What it sent may take effect
    later."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """What is looked up once about a workflow, when a rule depends on it."""

    id: str
    version: int
    root_id: str
    """The workflow itself, or the outermost one that it is a sub-workflow of."""
    root_started_at: int
    """By the store's clock."""
    root_correlation_id: str | None


@dataclass(frozen=True, slots=True)
class Agenda:
    """What the leader has to look at."""

    paused: Mapping[str, int]
    """Webhook → since when it is paused."""
    undecided: Sequence[Event]
    """The first events whose takers are still to be decided."""
    freed: Sequence[Event]
    """Events whose takers all turned out to be gone (`recheck`), oldest first."""
    more: bool = False
    """Whether there may be more than was read, to be fetched right away."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """An item that failed alone: it waits for its next try, and everything else continues without
    it."""

    kind: SetAsideKind
    id: str
    """The id of the event, task or workflow; a target's number; a definition's file."""
    webhook: str | None
    """The webhook it belongs to, if known."""
    reason: str
    """The last error, in words for people; shortened if long."""
    since: int
    tries: int
    """How often it has failed."""
    due_at: int
    """When it is retried."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change that somebody made: wrote a definition, replayed an event."""

    at: int
    who: str
    """Whose token was used: admin or viewer; local without a token; or the command line's user."""
    what: str
    """created, edited, rotated, deleted, replayed, …"""
    webhook: str
    detail: str = ""

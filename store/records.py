"""The records that relay, worker and admin exchange through the store. All times are Unix milliseconds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

import uuid_utils

EventStatus = Literal["pending", "delivered", "expired", "ignored", "failed"]
Hold = Literal["no", "held", "recheck", "aside", "writing"]
"""`held`: for tasks that come to wait. `recheck`: its takers were gone, so it is free again, to be decided once more.
`aside`: it was one of these, and is set aside. `writing`: it is decided, and its targets are being written in parts."""
TaskState = Literal["waiting", "taken", "returned", "completed", "gone"]
"""`returned`: its event's call was refused for good, so it waits again; the leader looks at it next."""
TargetKind = Literal["complete", "start"]
TargetState = Literal["pending", "claimed", "done", "skipped", "cancelled", "failed"]
"""`skipped`: a start that `once` makes needless; its `workflow_id` is the workflow that is there."""
OnceWhile = Literal["running", "kept"]
"""How long a start stands for others with its key: while its workflow runs, or as long as its event is kept."""

SetAsideKind = Literal["event", "task", "workflow", "target", "definition"]


def new_event_id() -> str:
    """A UUIDv7: unique across every bridge, and sorted by the time of its making."""
    return str(uuid_utils.uuid7())


def iso(milliseconds: int | None) -> str | None:
    """ISO 8601 in UTC with milliseconds, as in ``2026-01-31T12:00:00.123Z``; None for None."""
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A verified delivery on its way into the store; with `split`, one element of it."""

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


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of a `NewEvent`: stored under this id, or a duplicate of the event with this id."""

    event_id: str
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Event:
    """A stored event."""

    seq: int
    """Order of arrival, across all webhooks."""
    id: str
    webhook: str
    received_at: int
    delivery_id: str | None
    payload: str
    headers: dict[str, str]
    query: dict[str, Any]
    status: EventStatus
    hold_until: int
    decided_at: int | None
    """When its takers were decided; None while that is still to do."""
    hold: Hold
    settled_at: int | None
    replay_of: str | None
    unreadable: str | None = None
    """Why what is stored of it can't be read, if it can't: others in the same page can."""

    def document(self, metadata: bool = True) -> dict[str, Any]:
        """The payload that tasks match on, with `_webhook` unless `metadata` is false.

        Raises ValueError if what is stored can't be read.
        """
        self._must_be_readable()
        return document_of(self, metadata)

    def text(self, metadata: bool = True) -> str:
        """The same as JSON text, for Conductor. Raises ValueError if the payload is no JSON object.

        Spliced, not parsed and written again: ten megabytes of small values would block all other threads for
        seconds. So numbers reach Conductor as the sender wrote them.
        """
        self._must_be_readable()
        payload = self.payload.strip()
        if payload[:1] != "{" or payload[-1:] != "}":
            raise ValueError("the stored payload is no JSON object")
        if _may_name_webhook(payload):
            return json.dumps(document_of(self, metadata), separators=(",", ":"))
        if not metadata:
            return payload
        inner = payload[1:-1].rstrip()
        added = json.dumps(_metadata_of(self), separators=(",", ":"))
        return "".join(("{", inner, "," if inner else "", '"_webhook":', added, "}"))

    def _must_be_readable(self) -> None:
        if self.unreadable is not None:
            raise ValueError(self.unreadable)


_ESCAPED = re.compile(r"\\u00(?:5f|77|65|62|68|6f|6b)", re.IGNORECASE)
"""A letter of `_webhook` as JSON may write it too."""


def _may_name_webhook(payload: str) -> bool:
    """Whether the text may have a key `_webhook` of its own, with letters escaped or not."""
    return '"_webhook"' in payload or ("\\u00" in payload and _ESCAPED.search(payload) is not None)


def document_of(event: NewEvent | Event, metadata: bool = True) -> dict[str, Any]:
    """What tasks match on and receive: the payload, with `_webhook` if it has `metadata`."""
    document: dict[str, Any] = json.loads(event.payload)
    if metadata:
        document["_webhook"] = _metadata_of(event)
    else:
        document.pop("_webhook", None)
    return document


def _metadata_of(event: NewEvent | Event) -> dict[str, Any]:
    return {
        "name": event.webhook,
        "eventId": event.id,
        "receivedAt": iso(event.received_at),
        "headers": event.headers,
        "query": event.query,
    }


@dataclass(frozen=True, slots=True)
class Task:
    """A WAIT_FOR_WEBHOOK task that the worker knows of."""

    id: str
    workflow_id: str
    workflow: str
    """The workflow's name."""
    reference_name: str
    matches: Any
    """As Conductor gave them: an object of JSONPath → expected value, or what the workflow made of it."""
    scheduled_at: int
    """By Conductor's clock."""
    response_timeout: int = 0
    """Seconds of silence after which Conductor times the task out; 0 for never."""
    domain: str | None = None
    found_by: Literal["queue", "index"] = "queue"
    state: TaskState = "waiting"
    broken: str | None = None
    """Why the matches can't be parsed, if they can't."""


@dataclass(frozen=True, slots=True)
class Target:
    """A task completed, or a workflow started, by an event: one call to Conductor that must take effect once."""

    id: int
    event_id: str
    kind: TargetKind
    workflow: str
    workflow_id: str | None
    task_id: str | None
    reference_name: str | None
    version: int | None
    """Of the workflow to start; None for the latest."""
    correlation_id: str | None
    """Of the workflow to start."""
    state: TargetState
    attempts: int
    error: str | None
    claimed_by: str | None
    claimed_at: int | None
    due_at: int
    """Not to be called before."""
    created_at: int
    settled_at: int | None
    once_key: str | None = None
    """Of a start that is to be one with others of this key (`store.once`)."""
    once_while: OnceWhile | None = None
    failing_since: int | None = None
    """Since when Conductor answers it with 5xx, or its workflow can't be looked up; None if neither."""
    only_versions: tuple[int, ...] | None = None
    """Of a completion in doubt: the versions that its workflow must have, to be looked up; None if it needs none."""


@dataclass(frozen=True, slots=True)
class OnceHolder:
    """The start that others with its key look at."""

    target_id: int | None
    """None if it was pruned with its event."""
    state: TargetState | None
    workflow_id: str | None
    """The workflow that it started; None before, and if it was refused for good."""


@dataclass(frozen=True, slots=True)
class NewTarget:
    """A target as the decider makes it."""

    kind: TargetKind
    workflow: str
    workflow_id: str | None = None
    task_id: str | None = None
    reference_name: str | None = None
    version: int | None = None
    correlation_id: str | None = None
    once_key: str | None = None
    once_while: OnceWhile | None = None
    only_versions: tuple[int, ...] | None = None
    """Of a completion in doubt: the versions that its workflow must have, which couldn't be looked up."""
    not_before: int = 0
    """When its call may be made at the earliest: while its task's time-out is being put off it may not."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the decider found for an event: its targets, whether it is held, and its status for now."""

    event_id: str
    status: EventStatus
    hold: Hold
    targets: tuple[NewTarget, ...] = ()
    paced: bool = False
    """Whether its targets wait for their turn in the webhook's pace, instead of being claimed at once."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a call for a target; counts only while the claim that it was made under still stands."""

    target: Target
    state: TargetState
    """`pending` for another try at `due_at`."""
    error: str | None = None
    workflow_id: str | None = None
    """Of the started workflow."""
    due_at: int = 0
    not_sent: bool = False
    """Whether a failed try is known to have done nothing."""
    failing_since: int | None = None
    """Since when Conductor answers the target with 5xx, or its workflow can't be looked up; None if neither."""
    unfit: bool = False
    """Of a cancelled completion that was in doubt: its workflow has another version, so its task waits on."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one step of retention deleted."""

    events: int
    more: bool
    """Whether there is more to delete: of this, or of what belongs to it."""


@dataclass(frozen=True, slots=True)
class Term:
    """A worker's time as leader. `Leadership.elect` returns it, and whatever writes a decision takes it."""

    holder: str
    """The worker. Nothing is written in the term once another one is leader."""
    predecessor: str | None = None
    """The leader before, if its term ran out or it was found dead; None if there was none, or if it resigned."""
    predecessor_until: int = 0
    """When that term had ended at the latest, by the store's clock. What was sent in it may take effect later."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """What is looked up once of a workflow, when a rule depends on it."""

    id: str
    version: int
    root_id: str
    """The workflow itself, or the outermost one that it is a sub-workflow of."""
    root_started_at: int
    """By Conductor's clock."""
    root_correlation_id: str | None


@dataclass(frozen=True, slots=True)
class Agenda:
    """What there is for the deciding worker to look at."""

    paused: Mapping[str, int]
    """Webhook → since when it is paused."""
    undecided: Sequence[Event]
    """The first events whose takers are still to be decided."""
    freed: Sequence[Event]
    """Events whose takers all turned out gone (`recheck`), the oldest first."""
    returned: Sequence[Task]
    """Tasks whose event was refused for good, or that were handed over."""
    more: bool = False
    """Whether there may be more than was read: to be asked for again at once."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """An item that failed alone: it waits for its next try, and the rest goes on without it."""

    kind: SetAsideKind
    id: str
    """Of the event, task or workflow; a target's number; a definition's file."""
    webhook: str | None
    """Whose it is, if it is known."""
    reason: str
    """The last error, in words for people; only so much of it is kept."""
    since: int
    tries: int
    """How often it has failed."""
    due_at: int
    """When it is tried again."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A delivery that was refused, or not stored as `only` doesn't hold: the newest are kept, without secrets."""

    webhook: str
    at: int
    status: int
    reason: str
    remote: str | None = None
    method: str = "POST"

    @property
    def filtered(self) -> bool:
        """Whether it was answered as an accepted one is."""
        return self.status < 400


WRONG_TOKEN = "wrong_token"  # noqa: S105
"""Counted beside the outcomes of deliveries, of no webhook: somebody gave the admin page a token that is none."""


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody did to the bridge: wrote a definition, replayed an event."""

    at: int
    who: str
    """Whose token it was: admin, viewer; local without one; or the user of the command line."""
    what: str
    """created, edited, rotated, deleted, replayed, …"""
    webhook: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to list, newest first."""

    webhook: str | None = None
    status: EventStatus | None = None
    before_seq: int | None = None
    limit: int = 50
    text: str | None = None
    """Part of the event's or delivery's id, or of the payload. The newest 100,000 events before `before_seq` are
    searched; an older one is found by its whole id."""
    listing: bool = False
    """Without payloads, headers and queries, which are large and in no list: they are empty."""

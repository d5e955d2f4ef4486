"""The JSON objects of API and command line. Their OpenAPI description is generated from these
classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    Field,
    RootModel,
    ValidationInfo,
    field_validator,
    model_validator,
)

from admin.api_object import ApiObject, Time
from admin.explain.results import (
    Comparison,
    EventExplanation,
    TaskExplanation,
    Verdict,
    standing_for,
)
from config.webhooks import Problem as DefinitionProblem
from criteria import matches
from criteria.descriptions import describe_criterion, excerpt
from criteria.operators import NAMES as OPERATORS
from store import records
from store.delivery_records import Kind
from store.records import EventStatus, SetAsideKind, TargetKind, TargetState, TaskState
from worker.discovery.probe import CheckResult

if TYPE_CHECKING:
    from typing_extensions import Self

Operator = Annotated[str, Field(json_schema_extra={"enum": list(OPERATORS)})]


# --- events


class Target(ApiObject):
    """A task completed, or a workflow started, by an event."""

    kind: TargetKind
    workflow: str
    workflow_id: str | None
    version: int | None
    task_id: str | None
    reference_name: str | None
    correlation_id: str | None
    state: TargetState
    attempts: int
    error: str | None
    created_at: Time
    settled_at: Time | None
    due_at: Time | None = Field(description="when it is called next, while it is pending")

    @field_validator("due_at", mode="before")
    @classmethod
    def _while_pending(cls, due_at: int | None, info: ValidationInfo) -> int | None:
        return due_at if info.data["state"] == "pending" else None


class SetAside(ApiObject):
    """Why something is set aside, and when it is tried next."""

    kind: SetAsideKind
    reason: str
    since: Time
    tries: int
    due_at: Time


class _EventKey(ApiObject):
    event_id: str = Field(validation_alias=AliasChoices("event_id", "id"))


class _EventBase(_EventKey):
    webhook: str
    status: EventStatus
    received_at: Time


class Event(_EventBase):
    """An event in a list."""

    delivery_id: str | None
    targets: list[Target]
    acknowledged_at: Time | None = Field(None, description="only if it is acknowledged")
    resolved_by: str | None = Field(
        None, description="the replay that delivered what this event didn't, if there is one"
    )


class ListedEvent(Event):
    """An event in a list, with what happened in words."""

    type: str | None = Field(description="in the sender's words")
    summary: str = Field(
        description="what happened, beginning with the type; empty if nothing is known"
    )
    status_in_words: str = Field(
        description="such as held until 12:31 UTC, or retrying (3 tries, next 12:02 UTC)"
    )
    effects: str = Field(description="such as completed 2 tasks; empty if there are none")


class EventNews(Event):
    """A line of ``events --follow --json``."""

    new: bool


class ReplayStatus(_EventKey):
    """A replay of an event, and what became of it."""

    status: EventStatus


class StoryStep(ApiObject):
    """Something that happened to an event."""

    at: Time
    what: str = Field(description="a sentence")
    went_wrong: bool
    workflow_id: str | None = Field(None, description="the workflow in which it had an effect")
    other_event_id: str | None = Field(None, description="the replay, or the event, that it names")


class _Explained(_EventBase):
    """An event, and what became of it."""

    delivery_id: str | None
    replay_of: str | None
    summary: str = Field(
        description="what happened, beginning with the type; empty if nothing is known"
    )
    cause: str = Field(description="why it has, or hasn't, had its effect, in a sentence")
    remedy: str = Field(description="what to do about it; empty if nothing needs to be done")
    meaning: list[str] = Field(description="what its status means, in sentences")
    story: list[StoryStep] = Field(description="what happened to it, in order")


class WholeEvent(_Explained, Event):
    """An event by itself."""

    unreadable: str | None = Field(None, description="why its row can't be read; only if it can't")
    set_aside: SetAside | None = Field(description="why it is set aside, and when it is tried next")
    held_until: Time | None
    hold_until: Time
    decided_at: Time | None
    settled_at: Time | None
    only_target: str | None = Field(
        description="the one target that this replay, or this callback, is for"
    )
    replays: list[ReplayStatus] = Field(description="its direct replays, oldest first")
    resolved_by: str | None = Field(description="the replay that delivered what this event didn't")
    headers: dict[str, str]
    query: dict[str, Any]
    claims: dict[str, Any] | None = Field(description="what the token said that proved it")
    enclosing: dict[str, Any] | None = Field(
        description="what the delivery had around the array that it was in"
    )
    payload: dict[str, Any]


class TriedEvent(_EventKey):
    """An event on which criteria were tried."""

    received_at: Time
    fits: bool
    same_as: str | None = Field(None, description="of once: the earlier event with the same key")
    failed: list[str] = Field(description="what doesn't hold, in words")


class Tried(ApiObject):
    """What became of events on which criteria were tried."""

    events: list[TriedEvent] = Field(description="newest first")
    fitting: int = Field(description="how many of them would have fitted")
    left_out: int = Field(description="events that were not tried: their payloads are too large")
    written: str = Field(
        description="the criteria as they are written in a task's JSON, or in the webhook's YAML"
    )


class ReplayTo(ApiObject):
    """Which target a replay is for, every one without it; and whether what was done may be done
    again."""

    target: int | None = Field(
        None, description="only this one, by its place among the event's targets, from 1"
    )
    confirm: bool = Field(
        False,
        description=(
            "needed if the event had an effect: without it the answer is 409, and says which"
        ),
    )


class Replay(ApiObject):
    """A replay: the new event's id, and the old one's."""

    event_id: str
    replay_of: str


class _OfMany(ApiObject):
    chosen: int = Field(description="events that match")
    left_out: dict[str, int] = Field(description="reason → events of which nothing is made")


class ManyPlan(_OfMany):
    """What would be done with many events."""

    by_webhook: dict[str, dict[str, int]] = Field(
        description="webhook → status → events that it would be done with"
    )
    to_confirm: list[str] = Field(description="why it needs --yes; empty if it doesn't")


class Replays(_OfMany):
    """What a replay of many has done."""

    webhooks: dict[str, int] = Field(description="webhook → events that were replayed")
    replayed: int
    stopped: str | None


class Notes(_OfMany):
    """Events that were acknowledged or reopened."""

    webhooks: dict[str, int] = Field(
        description="webhook → events that were acknowledged, or reopened"
    )
    changed: int


class NotesOrPlan(RootModel[Notes | ManyPlan]):
    """What was done; with `dryRun` what would be."""


# --- why an event did or didn't match


class Criterion(ApiObject):
    """One criterion beside the values found at its path; `expected` is the operand if there is an
    `operator`."""

    path: str
    operator: Operator | None = None
    expected: Any
    found: list[Any] = Field(
        description="as much as people read: a long value is the beginning of its JSON, as a text"
    )
    left_out: str | None = Field(
        None, description="what of the values found isn't in `found`, if something isn't"
    )
    holds: bool
    in_words: str = Field(description="what is expected, and what was found")

    @model_validator(mode="before")
    @classmethod
    def _shown(cls, criterion: matches.Criterion) -> dict[str, Any]:
        found, left_out = excerpt(criterion.found)
        return {
            "path": criterion.path,
            "operator": criterion.operator,
            "expected": criterion.expected,
            "found": found,
            "left_out": left_out,
            "holds": criterion.holds,
            "in_words": describe_criterion(criterion),
        }


class _Compared(ApiObject):
    verdict: Verdict
    reason: str
    first_failed: str | None = Field(
        description="the path of the first criterion that doesn't hold"
    )
    criteria: list[Criterion]

    @classmethod
    def from_comparison(
        cls, comparison: Comparison, other: records.Task | records.Event, **more: object
    ) -> Self:
        failed = comparison.first_failed
        return cls.of(comparison, other, first_failed=failed.path if failed else None, **more)


class Start(ApiObject):
    """What one entry of `starts` or `messages` made of an event."""

    workflow: str
    version: int | None
    holds: bool
    reason: str
    criteria: list[Criterion]
    input: dict[str, Any] | str | None = Field(
        None,
        description=(
            "what its workflow gets, or why that can't be shown; only where the entry has an"
            " `input`"
        ),
    )


class Task(ApiObject):
    """A task in a list."""

    task_id: str = Field(validation_alias=AliasChoices("task_id", "id"))
    workflow_id: str
    workflow: str
    reference_name: str
    matches: Any
    waiting_since: Time = Field(validation_alias=AliasChoices("waiting_since", "scheduled_at"))
    broken: str | None = Field(
        None, description="why no event can take it; only if its matches can't be used"
    )


class ComparedTask(_Compared, Task):
    """A task, and how near an event came to it."""

    stands_for: int = Field(
        description=(
            "tasks that fail for the same reason, this one included; 0 if another one stands for it"
        )
    )


class ComparedEvent(_Compared, _EventBase):
    """An event, and how near it came to a task."""


class Why(_Explained):
    """An event explained."""

    starts: list[Start]
    messages: list[Start]
    tasks: list[ComparedTask] = Field(description="nearest first")


def why(explained: EventExplanation) -> Why:
    return Why.of(
        explained,
        explained.event,
        starts=[Start.of(one, one.entry) for one in explained.starts],
        messages=[Start.of(one, one.entry) for one in explained.messages],
        tasks=[
            ComparedTask.from_comparison(comparison, comparison.task, stands_for=number)
            for comparison, number in zip(
                explained.tasks, standing_for(explained.tasks), strict=True
            )
        ],
    )


# --- tasks


class TaskTarget(Target, _EventKey):
    """A target of this task, and its event."""


class WholeTask(Task):
    """A task by itself, with the events that came nearest to it."""

    state: TaskState
    meaning: str = Field(description="what its state means")
    set_aside: SetAside | None = Field(
        description="why it, or its workflow, is set aside, and when it is tried next"
    )
    found_by: Literal["queue", "index"]
    domain: str | None
    targets: list[TaskTarget]
    events: list[ComparedEvent]


def whole_task(task: records.Task, explained: TaskExplanation) -> WholeTask:
    events = [ComparedEvent.from_comparison(one, one.event) for one in explained.near]
    return WholeTask.of(task, explained, events=events)


# --- webhooks and their deliveries


class WebhookStatus(ApiObject):
    """A webhook as the command line lists it."""

    name: str
    url: str
    platform: str
    status: Literal["Unverified", "Verified"]
    verified_at: Time | None
    paused_at: Time | None = Field(None, description="only while it is paused")

    @classmethod
    def of(cls, *records: object, **more: object) -> Self:
        status = "Unverified" if more["verified_at"] is None else "Verified"
        return super().of(*records, **more, status=status)


class Webhook(WebhookStatus):
    """A webhook."""

    deliveries_last_day: dict[str, int] = Field(
        description="outcome (accepted, duplicate, filtered, rejected, challenge) → number"
    )
    receivers: list[str] = Field(description="workflows whose tasks it may complete")
    starts: list[str] = Field(description="workflows that it may start")
    messages: list[str] = Field(description="workflows that it sends messages to")


class WholeWebhook(WebhookStatus):
    """A webhook by itself."""

    setup: str = Field(description="what to do at the platform; empty if nothing is known")
    how_to_try: str | None = Field(description="a command that sends a delivery, if there is one")
    errors: list[str] = Field(description="what is wrong with its definition")
    definition: str | None = Field(description="its YAML without secrets; for admins")


class NewWebhook(WebhookStatus):
    """A newly created webhook."""

    secret: str | None = Field(None, description="only if it was generated")


# --- rejected deliveries, and those that admins listen to


class Rejection(ApiObject):
    """A delivery that was rejected, or that `only` filtered out."""

    webhook: str
    at: Time
    status: int
    reason: str
    remote: str | None
    method: str
    kept_id: str | None = Field(
        None, description="under which it can be verified again; only if it was kept"
    )


class KeptRejection(ApiObject):
    """A rejected delivery that can be verified again."""

    kept_id: str = Field(validation_alias=AliasChoices("kept_id", "id"))
    webhook: str
    at: Time
    status: int
    reason: str = Field(description="why it was rejected when it arrived")
    still_rejected: str | None = Field(
        description="why it would be rejected now; null if it would be accepted"
    )
    event_id: str | None = Field(description="the event that it has become")
    remote: str | None
    method: str
    size: int
    headers: dict[str, Any] = Field(description="without its signature")
    query: dict[str, Any]
    payload: dict[str, Any] | None = Field(
        description="null if the body can't be read, or must not be shown"
    )


class RawDelivery(ApiObject):
    """An accepted delivery as it came, without headers that are secrets."""

    id: int = Field(description="later deliveries of the webhook have a greater one")
    event_id: str = Field(description="the first event that it left")
    received_at: Time
    method: str
    query: str = Field(description="raw, as in the URL")
    headers: dict[str, str]
    body: str = Field(description="in base64")


class RawDeliveries(ApiObject):
    """The webhook's next deliveries, in order of arrival."""

    webhook: str
    next: int = Field(description="what to give as `after` for those that come next")
    missed: bool = Field(
        description=(
            "whether deliveries between the place that was asked for and the first of these are no"
            " longer kept"
        )
    )
    deliveries: list[RawDelivery]


class WithoutEvent(Rejection):
    """A line of ``events --follow --json`` for a delivery that left no event."""

    kind: Kind
    event_id: str | None = Field(description="the event that a duplicate repeats")


# --- what is wrong


class Problem(ApiObject):
    """What ``webhook-bridge check`` finds; without a place in a file where it is about a setting."""

    file: str | None
    line: int | None
    where: str
    what: str
    remedy: str
    warning: bool


def problem(found: DefinitionProblem) -> Problem:
    return Problem.of(found, warning=found.warning and not found.fails_check)


def setting_problem(setting: str, result: CheckResult) -> Problem:
    return Problem.of(result, file=None, line=None, where=setting, warning=result.level != "error")


class Issue(ApiObject):
    """Something that an operator should know."""

    level: Literal["error", "warning", "note"]
    text: str
    details: list[str]

    @field_validator("details", mode="before")
    @classmethod
    def _texts(cls, details: Iterable[Any]) -> list[str]:
        return [detail.text for detail in details]


class EventCounts(ApiObject):
    """Events by status."""

    pending: int
    delivered: int
    expired: int
    ignored: int
    failed: int = Field(description="acknowledged and resolved ones too")


class Overview(ApiObject):
    """What is wrong right now, and counts."""

    problems: list[Issue]
    events: EventCounts
    unresolved: int = Field(
        description="failed events that are neither acknowledged nor resolved; at most 10,000"
    )
    oldest_pending_at: Time | None
    waiting_tasks: int
    conductor: str | None = Field(description="up, or the error")
    discovery: str | None = Field(
        description="how waiting tasks that no queue hands out are found, and why that way"
    )


class Error(ApiObject):
    """Why a request failed."""

    error: str
    message: str

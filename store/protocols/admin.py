"""What the command line and the admin page show, and what they store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from store.delivery_records import Rejection
from store.event_filter import EventFilter, EventPage
from store.records import Change, Event, Target, TargetState, Task
from store.saved_delivery import SavedDelivery
from store.settled_numbers import Arrivals
from store.story import Note, Origins


class Queries(Protocol):
    """Lists, counts and details."""

    def page(self, query: EventFilter) -> EventPage:
        """The newest matching events, and how far they were searched for.

        Times are exact, but an event is overlooked that is more than a minute out of order: the clock was set back.
        """

    def events(self, query: EventFilter) -> list[Event]:
        """The newest matching events, newest first."""

    def arrivals(self, after: int) -> Arrivals:
        """The events after that `seq`. Some with lower ones than the newest may become visible later."""

    def events_up_to(self, event_ids: Sequence[str], characters: int) -> dict[str, Event]:
        """id → event, of those that exist and whose payload has at most this many characters."""

    def event(self, event_id: str) -> Event | None:
        """The event with this id."""

    def unresolved(self) -> int:
        """Number of failed events that are neither acknowledged nor resolved; counts at most 10,000."""

    def failed_between(self, after: int, until: int) -> list[tuple[int, str, int]]:
        """(`seq`, webhook, when) of the unresolved events that failed after `after`, up to `until`."""

    def event_ids(self, first: str, last: str, limit: int) -> list[str]:
        """The ids from `first` to `last`, both included, in their order."""

    def events_of(self, event_ids: Sequence[str]) -> dict[str, Event]:
        """id → event, of those that exist."""

    def listed(self, event_ids: Sequence[str]) -> dict[str, Event]:
        """The same, without payloads."""

    def replays(self, origins: Sequence[str], limit: int) -> dict[str, list[Event]]:
        """origin → the newest events of each status that have this origin, up to `limit` of each; oldest first, without
        payloads.

        Origins without any are left out.
        """

    def with_effect(self, event_ids: Sequence[str]) -> set[str]:
        """The ids of those of these events that have completed a task or started a workflow."""

    def event_counts(self) -> dict[str, int]:
        """status → number of events."""

    def targets_of(self, event_ids: Sequence[str]) -> list[Target]:
        """The targets of these events, in the order in which they were created."""

    def targets_in_order(self, event_id: str, limit: int, skipped: int = 0) -> list[Target]:
        """The event's targets in the order in which they were created: up to `limit` after the first `skipped`."""

    def target_states(self, event_id: str) -> dict[TargetState, int]:
        """State → how many of the event's targets have it; only those that some have."""

    def some_targets_of(self, event_ids: Sequence[str], most: int) -> list[Target]:
        """The same for lists: of an event with more than `most` targets, up to `most` of each kind and state."""

    def targets_on(self, task_id: str) -> list[Target]:
        """All targets, past and present, for this task."""

    def task(self, task_id: str) -> Task | None:
        """The task with this id."""

    def waiting_tasks(self, after: str = "", limit: int = 1000, workflow: str | None = None) -> list[Task]:
        """Waiting tasks after that id, in order of id."""

    def waiting_by_workflow(self) -> dict[str, int]:
        """workflow → number of waiting tasks."""

    def waiting_count(self) -> int:
        """Number of waiting tasks."""

    def broken_tasks(self, limit: int = 50) -> list[Task]:
        """Waiting tasks whose matches can't be parsed."""

    def rejections(self, webhook: str | None = None, limit: int = 50, filtered: bool = False) -> list[Rejection]:
        """The newest rejections or, with `filtered`, the newest filtered deliveries."""

    def delivery_counts(self, since: int) -> dict[str, dict[str, int]]:
        """webhook → outcome (accepted, duplicate, filtered, rejected, challenge) → number since then."""

    def delivery_hours(self, since: int, webhook: str | None = None) -> list[tuple[int, str, int]]:
        """(hour as Unix milliseconds, outcome, number of deliveries) since then, in chronological order."""

    def oldest_pending(self) -> int | None:
        """When the oldest event arrived that is undecided or has a pending call, not counting held and set-aside
        ones, nor undecided ones of paused webhooks.

        Of more than 10,000 pending calls only those that are due first and last are looked at.
        """

    def overdue(self, before: int, without: Collection[str] = (), paced: Collection[str] = ()) -> set[str]:
        """What should have been decided or called before that time but wasn't: each webhook's first event and first
        target, and the oldest claim. Anything decided or tried is missing from the next answer.

        Leaves out set-aside items, events of paused webhooks and of `without`, and targets of `paced` webhooks.
        """


class Acknowledgements(Protocol):
    """What people note about events that failed, expired or were ignored."""

    def record(self, event_ids: Sequence[str], note: Note) -> set[str]:
        """Acknowledges these events, or reopens acknowledged ones; returns the ids of those that changed.

        What is pending, delivered or resolved can't be acknowledged. Works in steps.
        """

    def origins(self, event_id: str) -> Origins | None:
        """Where the event came from, how it was decided, and what people noted about it."""


class Changes(Protocol):
    """People's changes."""

    def record(self, change: Change) -> None:
        """Records a change; the newest 10,000 are kept."""

    def newest(self, webhook: str | None = None, limit: int = 50) -> list[Change]:
        """People's changes, newest first."""


class Sessions(Protocol):
    """People's admin page sessions, shared by all of its processes."""

    def key(self) -> bytes:
        """This store's random bytes, generated once, which sign the session cookies."""

    def end(self, session_id: str, until: int, now: int) -> None:
        """Records that the person has logged out, until that time, when the cookie expires anyway."""

    def is_over(self, session_id: str) -> bool:
        """Whether the person has logged out."""


class HiddenPaths(Protocol):
    """Each webhook's last `hide`, so that values stay hidden when its definition is gone or broken."""

    def keep(self, paths: Mapping[str, Sequence[str]]) -> None:
        """Replaces the JSONPaths remembered for these webhooks; an empty list is remembered too."""

    def all(self) -> dict[str, tuple[str, ...]]:
        """webhook → JSONPaths, of every webhook that was ever defined."""


class SavedDeliveries(Protocol):
    """Deliveries that people wrote, and saved by name."""

    def save(self, delivery: SavedDelivery, most: int) -> bool:
        """Saves it in place of the webhook's one of that name; False if the webhook has `most` others already."""

    def of_webhook(self, webhook: str) -> list[SavedDelivery]:
        """In the order of their names."""

    def find(self, webhook: str, name: str) -> SavedDelivery | None:
        """The webhook's one of that name."""

    def delete(self, webhook: str, name: str) -> bool:
        """False if there was none."""

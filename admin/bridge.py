"""The store and the definitions together, as the command line and the page read them."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property

from admin.errors import NotFound
from admin.search import search
from admin.wording.statuses import TARGETS_LISTED
from admin.wording.targets import describe_set_aside
from config.last_good import LastGood
from config.settings import Settings
from config.watch import DefinitionsSource
from config.webhooks import Definitions, Webhook
from criteria.suggestions import did_you_mean
from platforms import PLATFORMS
from relay.verify.verification import verified_since
from store.hiding import Hidden, masked, masked_in_list, masked_target
from store.processes import AdminStore
from store.records import Change, Event, Target, Task
from store.sql.event_search import EventFilter, EventPage

DAY = 86_400_000
"""Milliseconds."""
_FIRST_ID, _LAST_ID = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
_LEAST = 8
"""Characters of an id that may stand for it."""
_NAMED = 5
"""Ids that are listed if several begin alike."""


def ids_like(given: str) -> tuple[str, str]:
    """The first and the last id that `given` can stand for: itself, or if it is long enough all ids
    that begin so.

    Compared in full, ids sort alike in every collation.
    """
    if not _LEAST <= len(given) < len(_FIRST_ID):
        return given, given
    begin = given.lower()
    return begin + _FIRST_ID[len(begin) :], begin + _LAST_ID[len(begin) :]


def open_definitions(
    settings: Settings, read_kept: Callable[[], Mapping[str, str]]
) -> DefinitionsSource:
    """The definitions as people see them: for a broken file, what can be read, and the last good
    webhooks for the rest.

    `read_kept` reads the last good ones that the relay keeps in the store, if a file is broken at
    the start.
    """
    loader = LastGood(PLATFORMS, may_be_empty=settings.bridge_admin_writes, partial=True)
    current = loader.begin(settings.bridge_webhooks, read_kept)
    return DefinitionsSource(settings.bridge_webhooks, loader.load, current)


def webhook_of(definitions: Definitions, name: str) -> Webhook:
    """The webhook of that name. Raises NotFound, with the names there are."""
    known = definitions.by_name
    if name not in known:
        raise NotFound(
            f"no webhook {name}: {did_you_mean(name, known) if known else 'none is defined'}"
        )
    return known[name]


class Bridge:
    """The bridge at one moment: its store and the definitions in force."""

    def __init__(
        self, settings: Settings, store: AdminStore, definitions: Definitions, who: str = ""
    ):
        """`who` acts, for the list of changes."""
        self.settings = settings
        self.store = store
        self.definitions = definitions
        self.who = who

    def record(self, what: str, webhook: str, detail: str = "") -> None:
        """Adds to the list of changes what somebody did. Raises StoreUnavailable."""
        self.store.changes.record(Change(self.store.now(), self.who, what, webhook, detail))

    # --- webhooks

    def webhook(self, name: str) -> Webhook:
        """The webhook of that name. Raises NotFound, with the names there are."""
        return webhook_of(self.definitions, name)

    def verified_at(self) -> dict[str, int | None]:
        """webhook → since when it has been verified with its present verifier and secrets, None if
        it isn't."""
        stored, key = self.store.verifications.all(), self.store.verifications.salt()
        return {
            name: verified_since(webhook, stored, key)
            for name, webhook in self.definitions.by_name.items()
        }

    # --- events and tasks

    def event(self, event_id: str) -> Event:
        """Raises NotFound."""
        event = self.store.queries.event(event_id)
        if event is None:
            raise NotFound(f"no event {event_id}")
        return event

    def event_meant(self, given: str) -> Event:
        """The event with this id, the only one whose id begins with it, or the newest for ``last``.
        Raises NotFound."""
        if given == "last":
            newest = self.store.queries.events(EventFilter(limit=1))
            if not newest:
                raise NotFound("there are no events yet")
            return newest[0]
        found = self.store.queries.event(given)
        first, last = ids_like(given)
        if found is None and first != last:
            begin = given.lower()
            ids = [
                one
                for one in self.store.queries.event_ids(first, last, _NAMED + 1)
                if one.startswith(begin)
            ]
            if len(ids) > 1:
                names = ", ".join(ids[:_NAMED]) + (", …" if len(ids) > _NAMED else "")
                raise NotFound(
                    f"several events' ids begin with {given}: {names}; write more of the one you"
                    " mean"
                )
            found = self.store.queries.event(ids[0]) if ids else None
        if found is None:
            raise NotFound(
                f"no event {given}; webhook-bridge find {given} looks for whatever else has that id"
            )
        return found

    def hide(self, webhook: str) -> Hidden:
        """What must not be shown of the webhook's events. If its definition is gone or broken, the
        last one applies."""
        definition = self.definitions.by_name.get(webhook)
        if definition is None:
            return self._hidden_before.get(webhook)
        if self.definitions.errors:  # the relay may then have a different one in force
            return tuple({*definition.hide, *self._hidden_before.get(webhook, ())})
        return definition.hide

    def _hiding_nothing(self) -> list[str]:
        """The webhooks of whose events people may see all."""
        return [
            name
            for name in {**self.definitions.by_name, **self._hidden_before}
            if self.hide(name) == ()
        ]

    @cached_property
    def _hidden_before(self) -> dict[str, tuple[str, ...]]:
        return self.store.hidden_paths.all()

    def shown(self, event: Event) -> Event:
        """The event as people may see it: without what its webhook's `hide` names."""
        return masked(event, self.hide(event.webhook))

    def page(self, query: EventFilter) -> EventPage:
        """Events for a list, newest first, without payloads and without what must stay hidden, and
        how far they were searched for."""
        return search(self.store.queries, self.hide, self._hiding_nothing, query)

    def events(self, query: EventFilter) -> list[Event]:
        """The events of that page."""
        return list(self.page(query).events)

    def in_list(self, event: Event) -> Event:
        """The event as people may see it in a list, without its payload."""
        return masked_in_list(event, self.hide(event.webhook))

    def task(self, task_id: str) -> Task:
        """Raises NotFound."""
        task = self.store.queries.task(task_id)
        if task is None:
            found = self.store.quarantine.items("task", ids=[task_id])
            if found:
                raise NotFound(
                    f"task {task_id} can't be read: it is {describe_set_aside(found[0])}"
                )
            unknown = f"no task {task_id} is known: the worker hasn't found it, or it was pruned"
            raise NotFound(
                f"{unknown}; webhook-bridge find {task_id} looks for whatever else has that id"
            )
        return task

    def broken_tasks(self, limit: int, workflow: str | None = None) -> list[Task]:
        """Waiting tasks that no event can take, though they wait for some; of this workflow, or of
        all."""
        return self.store.queries.broken_tasks(limit, self.definitions.for_callbacks_only, workflow)

    def targets_by_event(self, events: Iterable[Event]) -> dict[str, list[Target]]:
        """event id → its targets, for each of these events; of one with more than `TARGETS_LISTED`,
        so many of each kind and state."""
        hide = {event.id: self.hide(event.webhook) for event in events}
        found: dict[str, list[Target]] = {event_id: [] for event_id in hide}
        for target in self.store.queries.some_targets_of(list(found), TARGETS_LISTED):
            found[target.event_id].append(masked_target(target, hide[target.event_id]))
        return found


def os_user() -> str:
    """Who runs this program, for the list of changes."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"

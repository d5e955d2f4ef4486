"""The bridge as people ask for it: the store and the definitions together, read and explained.

The command line and the page share it. Definitions with errors are no reason to show nothing: what can be read of
them is used, and what is wrong is in `problems`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

from admin.explain.set_aside import in_words
from config.settings import Settings
from config.webhooks import DefinitionsError, Problem, Webhook, load_definitions
from platforms import PLATFORMS
from relay.fingerprints import verified_since
from store.hiding import Hidden, masked, masked_in_list
from store.protocols import Store
from store.records import Event, EventFilter, Target, Task

DAY = 86_400_000
"""Milliseconds."""
_BATCH = 500


class NotFound(Exception):
    """There is no such event or task; the text says which."""


@dataclass(frozen=True)
class Readable:
    """The definitions as far as they can be read."""

    webhooks: Mapping[str, Webhook]
    problems: tuple[Problem, ...] = ()
    """Errors, for which the processes keep what they had."""
    warnings: tuple[Problem, ...] = ()
    sources: tuple[Path, ...] = ()
    """The files that they were read from."""

    @property
    def receivers(self) -> dict[str, list[Webhook]]:
        """workflow → the webhooks that it is a receiver of."""
        found: dict[str, list[Webhook]] = {}
        for webhook in self.webhooks.values():
            for workflow in webhook.receivers:
                found.setdefault(workflow, []).append(webhook)
        return found


def read_definitions(path: Path, may_be_empty: bool = False) -> Readable:
    """What can be read of the definitions; never raises for what is wrong in them."""
    try:
        definitions = load_definitions(path, PLATFORMS, may_be_empty=may_be_empty)
    except DefinitionsError as error:
        webhooks = {webhook.name: webhook for webhook in reversed(error.readable)}
        return Readable(dict(reversed(webhooks.items())), error.problems, error.warnings, error.sources)
    return Readable(definitions.by_name, (), definitions.warnings, definitions.sources)


class Bridge:
    """One look at a bridge."""

    def __init__(self, settings: Settings, store: Store, definitions: Readable):
        self.settings = settings
        self.store = store
        self.definitions = definitions

    # --- webhooks -------------------------------------------------------------------------------------------

    def verified_at(self) -> dict[str, int | None]:
        """webhook → since when it is verified with its present verifier and secrets, None if it isn't."""
        stored, key = self.store.verifications.all(), self.store.verifications.salt()
        return {name: verified_since(webhook, stored, key) for name, webhook in self.definitions.webhooks.items()}

    # --- events and tasks -----------------------------------------------------------------------------------

    def event(self, event_id: str) -> Event:
        """Raises NotFound."""
        event = self.store.queries.event(event_id)
        if event is None:
            raise NotFound(f"no event {event_id}")
        return event

    def hide(self, webhook: str) -> Hidden:
        """What nobody is shown of the webhook's events: by its definition, or the last one if it is gone or broken."""
        definition = self.definitions.webhooks.get(webhook)
        if definition is None:
            return self._hidden_before.get(webhook)
        if self.definitions.problems:  # then another one may be in force, such as the second of two with this name
            return tuple({*definition.hide, *self._hidden_before.get(webhook, ())})
        return definition.hide

    @cached_property
    def _hidden_before(self) -> dict[str, tuple[str, ...]]:
        return self.store.hidden_paths.all()

    def shown(self, event: Event) -> Event:
        """The event as people may see it: without what its webhook's `hide` names."""
        return masked(event, self.hide(event.webhook))

    def events(self, query: EventFilter) -> list[Event]:
        """Events for a list, newest first: without payloads, and without delivery ids that may have to stay hidden."""
        found = self.store.queries.events(replace(query, listing=True))
        return list(map(self.in_list, found))

    def in_list(self, event: Event) -> Event:
        """The event as people may see it where its payload isn't shown."""
        return masked_in_list(event, self.hide(event.webhook))

    def task(self, task_id: str) -> Task:
        """Raises NotFound."""
        task = self.store.queries.task(task_id)
        if task is None:
            if found := self.store.quarantine.items("task", ids=[task_id]):
                raise NotFound(f"task {task_id} can't be read: it is {in_words(found[0])}")
            raise NotFound(f"no task {task_id} is known: the worker hasn't found it, or it was pruned")
        return task

    def targets_by_event(self, events: Iterable[Event]) -> dict[str, list[Target]]:
        """event id → its targets, for each of these events."""
        found: dict[str, list[Target]] = {event.id: [] for event in events}
        ids = iter(found)
        while part := list(islice(ids, _BATCH)):
            for target in self.store.queries.targets_of(part):
                found[target.event_id].append(target)
        return found

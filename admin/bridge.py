"""The bridge as people ask for it: the store and the definitions together, read and explained.

The command line and the page share it. Definitions with errors are no reason to show nothing: what can be read of
them is used, and what is wrong is in `problems`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

from admin.explain import (
    EventFinding,
    Surroundings,
    WholeTask,
    explain_event,
    explain_pair,
    explain_task,
    task_in_words,
)
from admin.quarantine import SetAsides, by_item, in_words, item_of
from config.settings import Settings
from config.webhooks import DEFAULT_HOLD, DefinitionsError, Problem, Webhook, load_definitions
from relay.fingerprints import Fingerprints
from relay.platforms import PLATFORMS
from store.hiding import Hidden, masked, masked_in_list
from store.protocols import Store, StoreUnavailable
from store.records import Event, EventFilter, NewEvent, Target, Task, Workflow, new_event_id

DAY = 86_400_000
"""Milliseconds."""
_BATCH = 500
_LOOKED_AT = 20_000
"""Waiting tasks of a workflow that are looked at for one explanation, and no more: it is for a person to read."""
_EVENTS_LOOKED_AT = 500
_PAYLOADS = 10
_CHARACTERS_LOOKED_AT = 20_000_000
"""Of events' payloads, for one explanation of a task."""


class NotFound(Exception):
    """There is no such event or task; the text says which."""


class CantReplay(Exception):
    """The event can't be replayed; the text says why."""


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

    def __init__(
        self,
        settings: Settings,
        store: Store,
        definitions: Readable,
        fingerprints: Callable[[], Fingerprints] | None = None,
    ):
        """`fingerprints` of these definitions, where they are kept from one look to the next."""
        self.settings = settings
        self.store = store
        self.definitions = definitions
        self._fingerprints = fingerprints or self._new_fingerprints

    def _new_fingerprints(self) -> Fingerprints:
        return Fingerprints(self.definitions.webhooks.values(), self.store.fingerprint_salt())

    # --- webhooks -------------------------------------------------------------------------------------------

    def verified_at(self) -> dict[str, int | None]:
        """webhook → since when it is verified with its present verifier and secrets, None if it isn't."""
        fingerprints = self._fingerprints()
        stored = self.store.verifications()
        found: dict[str, int | None] = {}
        for name, webhook in self.definitions.webhooks.items():
            known = fingerprints.find(webhook, stored)
            found[name] = known[0] if known is not None else None
            if known is not None and known[1]:
                with suppress(StoreUnavailable):  # it only spares the next look some time
                    self.store.set_verified(*fingerprints.quick(webhook), known[0])
        return found

    # --- events and tasks -----------------------------------------------------------------------------------

    def event(self, event_id: str) -> Event:
        """Raises NotFound."""
        event = self.store.event(event_id)
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
        return self.store.hidden_paths()

    def shown(self, event: Event) -> Event:
        """The event as people may see it: without what its webhook's `hide` names."""
        return masked(event, self.hide(event.webhook))

    def events(self, query: EventFilter) -> list[Event]:
        """Events for a list, newest first: without payloads, and without delivery ids that may have to stay hidden."""
        found = self.store.events(replace(query, listing=True))
        return list(map(self.in_list, found))

    def in_list(self, event: Event) -> Event:
        """The event as people may see it where its payload isn't shown."""
        return masked_in_list(event, self.hide(event.webhook))

    def task(self, task_id: str) -> Task:
        """Raises NotFound."""
        task = self.store.task(task_id)
        if task is None:
            if found := self.store.quarantined("task", ids=[task_id]):
                raise NotFound(f"task {task_id} can't be read: it is {in_words(found[0])}")
            raise NotFound(f"no task {task_id} is known: the worker hasn't found it, or it was pruned")
        return task

    def targets_by_event(self, events: Iterable[Event]) -> dict[str, list[Target]]:
        """event id → its targets, for each of these events."""
        found: dict[str, list[Target]] = {event.id: [] for event in events}
        ids = iter(found)
        while part := list(islice(ids, _BATCH)):
            for target in self.store.targets_of(part):
                found[target.event_id].append(target)
        return found

    def explain_event(self, event: Event, limit: int = 1000) -> EventFinding:
        """Why the event did or didn't reach each waiting task: those of its receivers, its targets', then others."""
        targets = self.store.targets_of([event.id])
        webhook = self.definitions.webhooks.get(event.webhook)
        tasks: dict[str, Task] = {}
        for target in targets:
            task = self.store.task(target.task_id) if target.task_id else None
            if task is not None:
                tasks[task.id] = task
        around = self._around({event.id: targets})
        cut = False
        for workflow in webhook.receivers if webhook else ():
            cut |= self._nearest(event, self._waiting(workflow), around, tasks, limit)
        others = (task for task in self._waiting(None) if webhook is None or task.workflow not in webhook.receivers)
        self._nearest(event, others, around, tasks, limit)
        found = explain_event(event, tasks.values(), self._around({event.id: targets}, tasks.values()))
        if cut:
            note = f"So many tasks wait that only {_LOOKED_AT} of a workflow were looked at here."
            found = replace(found, meaning=(*found.meaning, note))
        return found

    def _nearest(
        self, event: Event, tasks: Iterable[Task], around: Surroundings, into: dict[str, Task], limit: int
    ) -> bool:
        """Adds of these tasks those that the event came nearest to; True if there were more than are looked at."""
        room = limit - len(into)
        found = list(islice(tasks, _LOOKED_AT + 1))
        if len(found) > room:
            document = event.document()
            found.sort(key=lambda task: explain_pair(event, document, task, around).nearness, reverse=True)
        for task in found[: max(room, 0)]:
            into.setdefault(task.id, task)
        return len(found) > _LOOKED_AT

    def explain_task(self, task: Task, limit: int = 20) -> WholeTask:
        """What the task's state means, the targets on it, and the recent events that came nearest to it."""
        targets = self.store.targets_on(task.id)
        names = [webhook.name for webhook in self.definitions.receivers.get(task.workflow, ())]
        events = {event.id: event for event in self.store.events_of([target.event_id for target in targets]).values()}
        for name in names or (None,):
            for event in self.store.events(EventFilter(webhook=name, limit=_EVENTS_LOOKED_AT, listing=True)):
                events.setdefault(event.id, event)
        around = self._around(self.targets_by_event(events.values()), [task])
        near = explain_task(task, self._with_payloads(list(events)), around, limit)
        meaning = task_in_words(task, self.definitions.webhooks, targets, around.set_aside)
        return WholeTask(meaning, targets, near, item_of(task, around.set_aside))

    def _with_payloads(self, event_ids: Sequence[str]) -> Iterator[Event]:
        """These events, a few payloads in memory at a time, until so much was read that somebody waits for long."""
        room = _CHARACTERS_LOOKED_AT
        for start in range(0, len(event_ids), _PAYLOADS):
            events = self.store.events_of(event_ids[start : start + _PAYLOADS])
            yield from events.values()
            room -= sum(len(event.payload) for event in events.values())
            if room < 0:
                return

    def _waiting(self, workflow: str | None) -> Iterable[Task]:
        after = ""
        while page := self.store.waiting_tasks(after, _BATCH, workflow):
            yield from page
            after = page[-1].id

    def _around(self, targets_of: Mapping[str, list[Target]], tasks: Iterable[Task] = ()) -> Surroundings:
        targets_on: dict[str, list[Target]] = {}
        workflows: dict[str, Workflow] = {}
        looked_at = list(tasks)
        for task in looked_at:
            targets_on[task.id] = self.store.targets_on(task.id)
            workflow = self.store.workflow(task.workflow_id)
            if workflow is not None:
                workflows[task.workflow_id] = workflow
        facts = self.store.facts()
        conductor = facts.get("conductor", "up")
        return Surroundings(
            webhooks=self.definitions.webhooks,
            hide=self.hide,
            targets_of=targets_of,
            targets_on=targets_on,
            workflows=workflows,
            now=self.store.now(),
            conductor_offset=int(facts.get("conductor_clock_offset", "0")),
            clock_skew=int(self.settings.bridge_clock_skew * 1000),
            conductor_error=None if conductor == "up" else conductor,
            paused=self.store.paused(),
            set_aside=self.set_aside(targets_of, looked_at),
        )

    def set_aside(self, targets_of: Mapping[str, list[Target]], tasks: Iterable[Task] = ()) -> SetAsides:
        """What is set aside of these events and their targets, of these tasks and their workflows."""
        if not self.store.quarantine_counts():
            return {}
        ids = {*targets_of, *(str(target.id) for targets in targets_of.values() for target in targets)}
        for task in tasks:
            ids |= {task.id, task.workflow_id}
        return by_item(self.store.quarantined(ids=sorted(ids), limit=len(ids)))

    # --- replay ---------------------------------------------------------------------------------------------

    def replay(self, event_id: str) -> str:
        """Puts the event in again, as one that arrives now; returns the new event's id.

        Raises NotFound, CantReplay if its webhook is no longer defined, StoreUnavailable.
        """
        event = self.event(event_id)
        webhook = self.definitions.webhooks.get(event.webhook)
        broken = bool(self.definitions.problems)
        if webhook is None and not broken:
            raise CantReplay(
                f"the webhook {event.webhook} is no longer defined: nothing would be delivered; define it again first"
            )
        now = self.store.now()  # not this host's: tasks and holds are compared with it
        hold = webhook.hold if webhook is not None else DEFAULT_HOLD
        (committed,) = self.store.append(
            [
                NewEvent(
                    id=new_event_id(),
                    webhook=event.webhook,
                    received_at=now,
                    payload=event.payload,
                    headers=event.headers,
                    query=event.query,
                    hold_until=now + int(hold * 1000),
                    delivery_id=None,
                    replay_of=event.id,
                )
            ]
        )
        return committed.event_id

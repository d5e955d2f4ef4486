"""Decides the events that came by a callback's URL, given what look-ups found. Belongs to the
loop's thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from config.webhooks import Webhook
from store.records import NewTarget, Task
from store.rules.transitions import LIVE
from store.sql.store import Store
from worker.conductor.addressed import AddressedTask
from worker.leader.callbacks import Callbacks, LookedUp, is_signed
from worker.leader.held_events import HeldEvents
from worker.leader.matching import HeldEvent, TaskIndex
from worker.leader.rules import Plan, Rules

_UNKNOWN = "unknown"
"""Stands for the name of a workflow that Conductor doesn't have."""
_UNSIGNED_FOR_UNKNOWN = 1000
"""Workflows that events may be held for, until those that nothing signs are no longer held for
unknown ones."""
_MAY_COME_AGAIN = frozenset({"FAILED", "TIMED_OUT"})
"""Conductor may retry such a task as long as its workflow runs."""


class AddressedEvents:
    """Whatever its criteria, the task that a URL names takes the event; no other does."""

    def __init__(self, store: Store, tasks: TaskIndex, rules: Rules, held: HeldEvents):
        self._store = store
        self._tasks = tasks
        self._rules = rules
        self._held = held
        self._callbacks: Callbacks = held.callbacks
        self._unknown_tasks: list[Task] = []
        self.right_at = 0
        """When Conductor was last seen to be the right server, in Unix milliseconds; the leader
        sets it."""

    def take(self, plan: Plan) -> None:
        """Gives tasks their events, and ends what can't come to a task any more."""
        if not len(self._callbacks):
            return
        for task in (
            self._held.tasks_to_match.values()
        ):  # it may be what they wait for, which a look-up shows
            self._callbacks.look_up_again(task.workflow_id)
        for answer in self._callbacks.looked_up():
            if answer.event.id not in plan.released:
                with self._held.isolated(answer.event):
                    self._use(answer, plan)

    def newly_found(self) -> list[Task]:
        """WAIT_FOR_WEBHOOK tasks that look-ups found and no scan yet: they wait, too."""
        found, self._unknown_tasks = self._unknown_tasks, []
        return found

    def _open(self, events: Iterator[HeldEvent], plan: Plan) -> Iterator[HeldEvent]:
        known, paused = self._rules.definitions.by_name, self._rules.paused
        return (
            e
            for e in events
            if e.webhook in known and e.webhook not in paused and e.id not in plan.released
        )

    def _use(self, answer: LookedUp, plan: Plan) -> None:
        event, found = answer.event, answer.found
        if event.webhook in self._rules.paused:
            return
        webhook = self._rules.definitions.by_name.get(event.webhook)
        hold_is_over = answer.began >= event.hold_until
        if webhook is None:  # its definition may come back
            if hold_is_over:
                plan.end(event)
            return
        if found is None:
            # An empty server, or another one, knows no workflow either.
            is_proven = answer.unknown_since < self.right_at <= answer.began
            may_stay = is_signed(webhook) or len(self._callbacks) <= _UNSIGNED_FOR_UNKNOWN
            if may_stay and not (hold_is_over or is_proven):
                return
            if is_signed(webhook):
                self._refuse(answer, plan)
            else:  # somebody made it up
                plan.ignore(event, forgotten=True)
            return
        versions = webhook.receivers.get(found.workflow, frozenset())
        unfit = versions is not None and found.version not in versions
        if found.waiting is not None and not found.waiting.is_among(_tasks_of(webhook)):
            unfit = True
        if unfit or event.id in found.workers:
            self._refuse(answer, plan)
        elif _has_time(event) and found.is_used_up:
            plan.ignore(event)
        elif found.waiting is not None and self._rules.came_in_time(found.waiting, event):
            self._complete(answer, plan)
        elif found.ended is not None or any(status not in _MAY_COME_AGAIN for status in found.over):
            self._refuse(answer, plan)
        elif hold_is_over:
            plan.end(event)
        elif self._callbacks.is_crowded(event, plan.released):
            plan.ignore(event, forgotten=True)

    def _complete(self, answer: LookedUp, plan: Plan) -> None:
        assert answer.found is not None
        assert answer.found.waiting is not None
        event, place = answer.event, answer.found.waiting
        workflow_id = answer.place.workflow_id or ""
        oldest = next(
            self._open(self._callbacks.waiting_for(workflow_id, place.reference_name), plan)
        )
        if place.id in plan.taken or self._has_taker(place):
            if _has_time(event):
                plan.ignore(event)
            # Else the next look-up shows what becomes of it.
        elif oldest is not event:
            self._callbacks.look_up_again(workflow_id)
        elif place.task is None:
            target = NewTarget(
                "complete",
                answer.found.workflow,
                workflow_id=workflow_id,
                task_id=place.id,
                reference_name=place.reference_name,
            )
            plan.release(event, target)
            self._ignore_others(workflow_id, place.reference_name, plan)
        elif (task := self._tasks.get(place.id)) is not None:
            plan.take(event, task)
            self._ignore_others(workflow_id, place.reference_name, plan)
        else:
            self._unknown_tasks.append(replace(place.task, seen_at=answer.began))

    def _ignore_others(self, workflow_id: str, reference_name: str, plan: Plan) -> None:
        """A task has been taken by the first event for it. The other URLs were made before that, so
        a later task of its name isn't theirs."""
        for event in self._open(self._callbacks.waiting_for(workflow_id, reference_name), plan):
            if _has_time(event):
                plan.ignore(event)

    def _has_taker(self, place: AddressedTask) -> bool:
        """Whether another event completes the task, or has completed it since it began to wait:
        Conductor may have been asked before that. (A task that runs again may keep its id.)"""
        since = self._rules.scheduled(place)
        targets = self._store.queries.targets_on(place.id)
        return any(
            one.state in LIVE or (one.state == "done" and (one.claimed_at or 0) >= since)
            for one in targets
        )

    def _refuse(self, answer: LookedUp, plan: Plan) -> None:
        """No task can have the event. Its target says why, once its call has looked."""
        name = _UNKNOWN if answer.found is None else answer.found.workflow
        target = NewTarget(
            "complete",
            name,
            workflow_id=answer.place.workflow_id,
            reference_name=answer.place.reference_name,
        )
        plan.release(answer.event, target)


def _has_time(event: HeldEvent) -> bool:
    """Whether it is known when its URL was made; else it is settled by its workflow and reference
    name alone."""
    return event.only is not None and event.only.made_at is not None


def _tasks_of(webhook: Webhook) -> tuple[str, ...]:
    """The tasks that its URLs may complete; none stands for all."""
    return () if webhook.callback is None else webhook.callback.tasks

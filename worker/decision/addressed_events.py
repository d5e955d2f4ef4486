"""Decides the events that came by a callback's URL, given what look-ups found. Belongs to the
loop's thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from config.webhooks import Webhook
from store.processes import WorkerStore
from store.records import NewTarget, Task
from store.rules.transitions import LIVE
from worker.conductor.addressed import AddressedTask
from worker.decision.callbacks import Callbacks, LookedUp, is_signed
from worker.decision.held_events import HeldEvents
from worker.decision.matching import HeldEvent, TaskIndex
from worker.decision.rules import Plan, Rules

_UNKNOWN = "unknown"
"""Stands for the name of a workflow that Conductor doesn't have."""
_UNSIGNED_FOR_UNKNOWN = 1000
"""Workflows that events may be held for, until those that nothing signs are no longer held for
unknown ones."""
Verdict = Literal["waits", "completes", "ends", "refused", "ignored", "forgotten"]
"""What becomes of an event, given what a look-up found. ignored: another event was first for its
task. forgotten: nothing signs it, and somebody may have made it up."""
_MAY_COME_AGAIN = frozenset({"FAILED", "TIMED_OUT"})
"""Conductor may retry such a task as long as its workflow runs."""


class AddressedEvents:
    """Whatever its criteria, the task that a URL names takes the event; no other does."""

    def __init__(self, store: WorkerStore, tasks: TaskIndex, rules: Rules, held: HeldEvents):
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
        for task in self._held.tasks_to_match:  # a look-up shows whether an event is for it
            self._callbacks.look_up_again(task.workflow_id)
        for answer in self._callbacks.looked_up():
            if answer.event.id not in plan.released:
                with self._held.isolated(answer.event):
                    self._use(answer, plan)

    def newly_found(self) -> list[Task]:
        """WAIT_FOR_WEBHOOK tasks that look-ups found and no scan yet: they wait, too."""
        found, self._unknown_tasks = self._unknown_tasks, []
        return found

    def _open(self, workflow_id: str, reference_name: str, plan: Plan) -> Iterator[HeldEvent]:
        """The events for this task that may have it now, oldest first."""
        known, paused = self._rules.definitions.by_name, self._rules.paused
        for event in self._callbacks.waiting_for(workflow_id, reference_name):
            is_open = event.webhook in known and event.webhook not in paused
            if is_open and event.id not in plan.released:
                yield event

    def _use(self, answer: LookedUp, plan: Plan) -> None:
        event = answer.event
        if event.webhook in self._rules.paused:
            return
        webhook = self._rules.definitions.by_name.get(event.webhook)
        if webhook is None:  # its definition may come back
            if answer.hold_is_over:
                plan.end(event)
            return
        match self._verdict(answer, webhook, plan):
            case "waits":
                pass
            case "completes":
                self._complete(answer, plan)
            case "ends":
                plan.end(event)
            case "refused":
                self._refuse(answer, plan)
            case "ignored":
                plan.ignore(event)
            case "forgotten":
                plan.ignore(event, forgotten=True)

    def _verdict(self, answer: LookedUp, webhook: Webhook, plan: Plan) -> Verdict:
        event, found = answer.event, answer.found
        if found is None:
            return self._verdict_without_workflow(answer, webhook)
        if found.misfit(webhook, "its workflow") is not None or event.id in found.workers:
            return "refused"
        if _has_time(event) and found.is_used_up:
            return "ignored"
        if found.waiting is not None and self._rules.came_in_time(found.waiting, event):
            return "completes"
        if found.ended is not None or not _MAY_COME_AGAIN.issuperset(found.over):
            return "refused"
        if answer.hold_is_over:
            return "ends"
        if self._callbacks.is_crowded(event, plan.released):
            return "forgotten"
        return "waits"

    def _verdict_without_workflow(self, answer: LookedUp, webhook: Webhook) -> Verdict:
        """Conductor doesn't know the workflow. An empty server, or another one, knows none."""
        is_proven = answer.unknown_since < self.right_at <= answer.began
        is_real = is_signed(webhook)
        may_stay = is_real or len(self._callbacks) <= _UNSIGNED_FOR_UNKNOWN
        if may_stay and not answer.hold_is_over and not is_proven:
            return "waits"
        return "refused" if is_real else "forgotten"

    def _complete(self, answer: LookedUp, plan: Plan) -> None:
        """The event's task waits: the oldest event for it takes it."""
        assert answer.found is not None
        assert answer.found.waiting is not None
        event, place = answer.event, answer.found.waiting
        workflow_id = answer.place.workflow_id or ""
        if place.id in plan.taken or self._has_taker(place):
            if _has_time(event):
                plan.ignore(event)
            return  # else the next look-up shows what becomes of it
        if next(self._open(workflow_id, place.reference_name, plan)) is not event:
            self._callbacks.look_up_again(workflow_id)
            return
        if place.task is None:
            target = NewTarget(
                "complete",
                answer.found.workflow,
                workflow_id=workflow_id,
                task_id=place.id,
                reference_name=place.reference_name,
            )
            plan.release(event, target)
        else:
            task = self._tasks.get(place.id)
            if task is None:
                self._unknown_tasks.append(replace(place.task, seen_at=answer.began))
                return
            plan.take(event, task)
        self._ignore_others(workflow_id, place.reference_name, plan)

    def _ignore_others(self, workflow_id: str, reference_name: str, plan: Plan) -> None:
        """A task has been taken by the first event for it. The other URLs were made before that, so
        a later task of its name isn't theirs."""
        for event in self._open(workflow_id, reference_name, plan):
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

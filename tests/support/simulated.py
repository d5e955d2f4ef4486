"""A Conductor server without a network or threads, for tests of the delivery rules.

It does what a real one was seen to do.

Its clock differs from ours by `offset`. Faults are set for the next call that they fit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from store.clock import ServerClock
from store.records import Task, Workflow
from tests.support.simulated_messages import SimulatedMessages
from worker.conductor.addressed import WorkflowTasks
from worker.conductor.errors import Garbled, NotFound, NotNow, OutcomeUnknown, Refused, Unreachable
from worker.conductor.responses import End, Listed, TaskStatus, Unreadable
from worker.conductor.search import TASK_TYPE, EndInIndex

TERMINAL = ("COMPLETED", "CANCELED", "TIMED_OUT")
Fault = Literal["bad", "500", "not_now", "unreachable", "lost_before", "lost_after", "late"]


Ailment = Literal["500", "403", "hang", "garbage"]
"""What an item that is to be read alone is answered with. In a list it is left out, or can't be
read."""


def forbidden() -> NotNow:
    """The answer to a key that may not do something."""
    return NotNow("403 no", 403)


def failed(status: int) -> OutcomeUnknown:
    """The answer of a server that fails over a request."""
    return OutcomeUnknown(f"{status} Internal Server Error", status)


@dataclass
class SimulatedTask:
    """A task in the server, of a type that waits."""

    id: str
    workflow_id: str
    reference_name: str
    matches: Any
    scheduled_at: int
    status: str = "SCHEDULED"
    started_at: int = 0
    ended_at: int = 0
    worker_id: str | None = None
    output: Any = None
    kind: str = TASK_TYPE
    iteration: int = 0
    """Of the loop that it is in."""

    @property
    def waits(self) -> bool:
        return self.status not in TERMINAL


@dataclass
class SimulatedWorkflow:
    """A workflow in the server."""

    id: str
    name: str
    version: int
    started_at: int
    parent: str | None = None
    correlation_id: str | None = None
    input: Any = None
    ended: bool = False
    outcome: End | None = None
    """How it ended, if it is to be read."""


@dataclass
class SimulatedConductor:
    """Implements what the worker uses of `worker.conductor.client.Conductor`. Times are
    milliseconds."""

    now: Callable[[], int]
    offset: int = 0
    timeout: float = 10.0
    known: frozenset[str] = frozenset()
    """Names of the workflows that may be started."""
    server_clock: ServerClock = field(default_factory=ServerClock)
    tasks: dict[str, SimulatedTask] = field(default_factory=dict)
    workflows: dict[str, SimulatedWorkflow] = field(default_factory=dict)
    fault: Fault | None = None
    """Of the next call that changes something."""
    poll_fault: Literal["unreachable", "lost", "late"] | None = None
    """Of the next poll. `late`: its answer is lost, and it takes tasks only after `delay`."""
    cannot: dict[str, int] = field(default_factory=dict)
    """Ways to find tasks that the server hasn't got, each with the status of its answer."""
    ailing: dict[str, Ailment] = field(default_factory=dict)
    """Tasks and workflows that can't be read, and how that shows."""
    indexing: bool = True
    unindexed: set[str] = field(default_factory=set)
    """Tasks that the index doesn't know: the server was killed before it had told it."""
    removed: set[str] = field(default_factory=set)
    """Ended tasks and workflows that only the index still shows."""
    starts_unindexed: bool = False
    """Whether the look-up of starts asks an index that has learned of none yet."""
    reads: list[str] = field(default_factory=list)
    """The tasks that were read as whole ones, one after the other."""
    searches: list[str] = field(default_factory=list)
    """The ways that were asked for, one after the other."""
    evaluated: list[str] = field(default_factory=list)
    """The workflows that it was asked to evaluate."""
    standing: set[str] = field(default_factory=set)
    """Workflows that were started and do nothing."""
    lag: int = 0
    """Milliseconds for which the index still shows an ended task as in progress."""
    delay: int = 0
    """Milliseconds after which a `late` call takes effect."""
    late: list[tuple[int, Callable[[], Any]]] = field(default_factory=list)
    sick: set[str] = field(default_factory=set)
    """Workflows that can't be shown for now."""
    sick_answer: Callable[[], Exception] = lambda: failed(500)
    """What a look-up of such a workflow raises."""
    workflow_lookups: list[str] = field(default_factory=list)
    on_start: Callable[[SimulatedWorkflow], None] = lambda workflow: None

    def __post_init__(self) -> None:
        self.messages = SimulatedMessages(self)

    @property
    def server_time(self) -> int:
        return self.now() + self.offset

    # --- what happens in the server ---

    def begin(
        self,
        name: str,
        version: int = 1,
        parent: str | None = None,
        correlation_id: str | None = None,
        input_: Any = None,
    ) -> SimulatedWorkflow:
        """A workflow starts."""
        workflow = SimulatedWorkflow(
            f"w{len(self.workflows)}",
            name,
            version,
            self.server_time,
            parent,
            correlation_id,
            input_,
        )
        self.workflows[workflow.id] = workflow
        return workflow

    def schedule(
        self,
        workflow_id: str,
        reference_name: str,
        matches: Any,
        kind: str = TASK_TYPE,
        in_loop: bool = True,
    ) -> SimulatedTask:
        """A task comes to wait. `in_loop`: a number at the end of its name is that of its
        iteration."""
        task = SimulatedTask(
            f"t{len(self.tasks):03}",
            workflow_id,
            reference_name,
            matches,
            self.server_time,
            kind=kind,
        )
        number = reference_name.rpartition("__")[2]
        task.iteration = int(number) if in_loop and number.isdecimal() else 0
        if kind == "HUMAN":
            task.status, task.started_at = "IN_PROGRESS", self.server_time
        self.tasks[task.id] = task
        return task

    def end(self, task_id: str, status: str) -> None:
        """A task ends without an event."""
        task = self.tasks[task_id]
        assert task.waits
        task.status, task.ended_at = status, self.server_time

    def root(self, workflow_id: str) -> SimulatedWorkflow:
        """The outermost workflow around it."""
        workflow = self.workflows[workflow_id]
        return self.root(workflow.parent) if workflow.parent else workflow

    def run_late(self) -> None:
        """Calls that were lost on the way and are due take effect now."""
        due = [call for at, call in self.late if at <= self.now()]
        self.late = [(at, call) for at, call in self.late if at > self.now()]
        for call in due:
            call()

    # --- the API ---

    def within(self, seconds: float) -> SimulatedConductor:
        return self

    def server_now(self) -> int:
        return int(self.now() + self.server_clock.offset)

    def _see(self, item: str) -> None:
        """Raises what the answer of an item that ails means."""
        ailment = self.ailing.get(item)
        if ailment == "403":
            raise forbidden()
        if ailment is not None:
            kind = Garbled if ailment == "garbage" else OutcomeUnknown
            raise kind(f"{item} ails: {ailment}", 500 if ailment == "500" else 0)

    def _readable(
        self, tasks: list[SimulatedTask], unreadable: list[Unreadable] | None
    ) -> list[SimulatedTask]:
        """Those of a list that don't ail; the others are told of, half of them by their ids."""
        if unreadable is not None:
            unreadable += [
                self._unreadable(task) if int(task.id[1:]) % 2 else Unreadable(None, "it ails")
                for task in tasks
                if task.id in self.ailing
            ]
        return [task for task in tasks if task.id not in self.ailing]

    def _unreadable(self, task: SimulatedTask) -> Unreadable:
        name = self.workflows[task.workflow_id].name
        return Unreadable(task.id, "it ails", name)

    def poll(
        self,
        worker_id: str,
        domain: str | None = None,
        unreadable: list[Unreadable] | None = None,
        count: int = 100,
        not_after: float = float("inf"),
    ) -> list[Task]:
        if self.poll_fault == "unreachable":
            self.poll_fault = None
            raise Unreachable("no connection")
        fault, self.poll_fault = self.poll_fault, None
        if fault == "late":
            self.late.append((self.now() + self.delay, lambda: self._hand_out(count)))
            raise OutcomeUnknown("no answer in time")
        queued = self._hand_out(count)
        if fault == "lost":
            raise OutcomeUnknown("the answer got lost")
        if queued:
            self.server_clock.observe(self.server_time, self.now(), self.now())
        return [self._task(task) for task in self._readable(queued, unreadable)]

    def _hand_out(self, count: int) -> list[SimulatedTask]:
        waiting = (task for task in self.tasks.values() if task.kind == TASK_TYPE)
        queued = [task for task in waiting if task.status == "SCHEDULED"][: min(3, count)]
        for task in queued:
            task.status, task.started_at = "IN_PROGRESS", self.server_time
        return queued

    def _search(self, way: str) -> None:
        self.searches.append(way)
        if way in self.cannot:
            raise OutcomeUnknown("500 not supported", self.cannot[way])

    def _indexed(self, start: int) -> Iterator[list[SimulatedTask]]:
        stale = self.server_time - self.lag
        found = [
            task
            for task in self.tasks.values()
            if start < task.started_at
            and task.kind == TASK_TYPE
            and task.id not in self.unindexed
            and (task.status == "IN_PROGRESS" or task.ended_at > stale)
        ]
        for first in range(0, len(found) if self.indexing else 0, 2):
            yield found[first : first + 2]

    def waiting_ids_since(self, start: int, workflow: str = "") -> Iterator[dict[str, Listed]]:
        self._search("search")
        for page in self._indexed(start):
            yield {
                task.id: listed
                for task in page
                if (listed := self._listed(task)).workflow == workflow or not workflow
            }

    def _listed(self, task: SimulatedTask) -> Listed:
        return Listed(self.workflows[task.workflow_id].name, str(task.started_at))

    def running(self, workflow: str) -> list[str]:
        self._search("workflows")
        self._see(workflow)
        return [
            found.id
            for found in self.workflows.values()
            if found.name == workflow and not found.ended
        ]

    def waiting_in(self, workflow_id: str) -> list[Task]:
        self._see(workflow_id)
        return [
            replace(self._task(task), found_by="index", seen_at=self.now())
            for task in self.tasks.values()
            if (task.workflow_id, task.status, task.kind) == (workflow_id, "IN_PROGRESS", TASK_TYPE)
        ]

    def workflow_tasks(self, workflow_id: str) -> WorkflowTasks | None:
        self.workflow_lookups.append(workflow_id)
        if workflow_id in self.sick:
            raise self.sick_answer()
        workflow = self.workflows.get(workflow_id)
        if workflow is None:
            return None
        tasks = [
            {
                "taskId": task.id,
                "referenceTaskName": task.reference_name,
                "taskType": task.kind,
                "status": task.status,
                "scheduledTime": task.scheduled_at,
                "iteration": task.iteration,
                "workerId": task.worker_id,
                "workflowInstanceId": task.workflow_id,
                "workflowType": workflow.name,
                "inputData": {"matches": task.matches},
            }
            for task in self.tasks.values()
            if task.workflow_id == workflow.id
        ]
        status = "COMPLETED" if workflow.ended else "RUNNING"
        shown = {
            "workflowName": workflow.name,
            "workflowVersion": workflow.version,
            "status": status,
        }
        return WorkflowTasks(shown, tasks)

    def waiting_task(self, task_id: str) -> Task | TaskStatus | None:
        self._see(task_id)
        self.reads.append(task_id)
        task = self.tasks[task_id]
        if task.status != "IN_PROGRESS":
            return TaskStatus(not task.waits, task.worker_id)
        return replace(self._task(task), found_by="index", seen_at=self.now())

    def evaluate(self, workflow_id: str) -> bool:
        self._see(workflow_id)
        self.evaluated.append(workflow_id)
        return workflow_id in self.workflows

    def goes(self, workflow_id: str) -> bool:
        self._see(workflow_id)
        return workflow_id not in self.standing

    def ended_since(self, end: int) -> set[str]:
        return {task.id for task in self.tasks.values() if task.ended_at > end}

    def task(self, task_id: str) -> TaskStatus | None:
        self._see(task_id)
        task = self.tasks.get(task_id)
        if task is None or task_id in self.removed:
            return None
        return TaskStatus(not task.waits, task.worker_id)

    def complete(
        self,
        workflow_id: str,
        reference_name: str,
        task_id: str,
        output: str,
        event_id: str,
        not_after: float = 0,
    ) -> Any:
        def effect() -> str | None:
            pending = [
                task
                for task in self.tasks.values()
                if (task.workflow_id, task.reference_name, task.waits)
                == (workflow_id, reference_name, True)
            ]
            if not pending:
                return None
            task = pending[-1]
            task.status, task.ended_at = "COMPLETED", self.server_time
            task.worker_id, task.output = event_id, json.loads(output)
            return task.id

        self._see(workflow_id)
        self._see(event_id)
        for task in self.tasks.values():
            if (task.workflow_id, task.reference_name) == (workflow_id, reference_name):
                self._see(task.id)
        return self._perform(effect)

    def start(
        self,
        name: str,
        version: int | None,
        payload: str,
        correlation_id: str,
        not_after: float = 0,
        idempotency_key: str | None = None,
    ) -> Any:
        def effect() -> str:
            workflow = self.begin(name, version or 1, None, correlation_id, json.loads(payload))
            self.on_start(workflow)
            return workflow.id

        if name not in self.known:
            raise NotFound("404 No such workflow defined.")
        self._see(correlation_id.partition("#")[0])
        return self._perform(effect)

    def _perform(self, effect: Callable[[], Any]) -> Any:
        fault, self.fault = self.fault, None
        if fault == "bad":
            raise Refused("400")
        if fault == "500":
            raise OutcomeUnknown("500 Error updating task", 500)
        if fault == "not_now":
            raise NotNow("429")
        if fault == "unreachable":
            raise Unreachable("no connection")
        if fault == "late":
            self.late.append((self.now() + self.delay, effect))
        elif fault != "lost_before":
            answer = effect()
            if fault is None:
                return answer
        raise OutcomeUnknown("the connection broke")

    def workflow_versions(self) -> dict[str, list[int]]:
        """Its definitions, which it doesn't show."""
        raise forbidden()

    def webhooks(self) -> None:
        """It can have none of its own."""

    def started(self, name: str, correlation_id: str) -> str | None:
        self._see(correlation_id.partition("#")[0])
        found = [
            w.id
            for w in self.workflows.values()
            if (w.name, w.correlation_id) == (name, correlation_id)
        ]
        return (
            found[0]
            if found and found[0] not in self.removed and not self.starts_unindexed
            else None
        )

    def started_in_index(self, name: str, correlation_id: str, event_id: str = "") -> str | None:
        found = [
            w
            for w in self.workflows.values()
            if (w.name, w.correlation_id) == (name, correlation_id)
        ]
        named = [workflow.id for workflow in found if event_id in json.dumps(workflow.input)]
        return named[-1] if named and self.indexing and not self.starts_unindexed else None

    def end_in_index(self, task_id: str, event_id: str, is_named: bool) -> EndInIndex | None:
        self._see(task_id)
        task = self.tasks.get(task_id)
        if task is None or task_id in self.unindexed or not self.indexing:
            return None
        if task.status == "COMPLETED" and task.worker_id == event_id:
            return "by the event" if is_named else None
        return (
            "otherwise"
            if task.status == "CANCELED" or (task.status == "COMPLETED" and is_named)
            else None
        )

    def correlation_id(self, workflow_id: str) -> str | None:
        self._see(workflow_id)
        return self.workflows[workflow_id].correlation_id

    def completed_by(self, workflow_id: str, reference_name: str, event_id: str) -> bool:
        self._see(workflow_id)
        wanted = (workflow_id, reference_name, event_id)
        shown = [task for task in self.tasks.values() if task.id not in self.removed]
        return any((t.workflow_id, t.reference_name, t.worker_id) == wanted for t in shown)

    def runs(self, workflow_id: str) -> bool:
        self._see(workflow_id)
        return workflow_id in self.workflows and not self.workflows[workflow_id].ended

    def outcome(self, workflow_id: str) -> End | None:
        self.workflow_lookups.append(workflow_id)
        if workflow_id in self.sick:
            raise self.sick_answer()
        if workflow_id not in self.workflows:
            raise NotFound("404 No such workflow", 404)
        return self.workflows[workflow_id].outcome

    def finish(self, workflow_id: str, output: Any, status: str = "COMPLETED", **more: Any) -> None:
        """The workflow ends."""
        workflow = self.workflows[workflow_id]
        workflow.ended, workflow.outcome = True, End(status, output, self.server_time, **more)

    def workflow(self, workflow_id: str) -> Workflow | None:
        self.workflow_lookups.append(workflow_id)
        if workflow_id in self.sick:
            raise self.sick_answer()
        if workflow_id not in self.workflows:
            return None
        self._see(workflow_id)
        own, root = self.workflows[workflow_id], self.root(workflow_id)
        return Workflow(own.id, own.version, root.id, root.started_at, root.correlation_id)

    def _task(self, task: SimulatedTask) -> Task:
        return Task(
            id=task.id,
            workflow_id=task.workflow_id,
            workflow=self.workflows[task.workflow_id].name,
            reference_name=task.reference_name,
            matches=task.matches,
            scheduled_at=task.scheduled_at,
            iteration=task.iteration,
        )

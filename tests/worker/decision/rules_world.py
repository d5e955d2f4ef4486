"""A world for `test_rules`: workers on one store and one simulated Conductor, beside a reference."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import register_random
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

from config.webhooks import Definitions, Webhook
from store.errors import StoreUnavailable
from store.records import Event, Result, Target, Term
from store.rules.transitions import ENDED
from store.sqlite import SqliteStore, open_store
from tests.support import naive
from tests.support.reference import RefEvent, RefTask, Rules
from tests.support.settings import settings_with
from tests.support.simulated import SimulatedConductor, SimulatedTask, SimulatedWorkflow
from tests.worker.play import Now
from worker import retries
from worker.context import Context
from worker.decision.decider import Decider, Request
from worker.delivery.outcomes import ClaimLost
from worker.discovery import barrier
from worker.health import Health
from worker.leader import leader as leader_module
from worker.leader.leader import Tuning
from worker.leader.worker import Worker

register_random(retries.JITTER)  # so that a story can be told again
SKEW = 2000
ALL = tuple(
    map(
        Webhook.model_validate,
        [
            {"name": "a", "receivers": {"flow": "any"}, "hold": "10m"},
            {
                "name": "b",
                "receivers": {"flow": 1, "other": "any"},
                "starts": [
                    {"workflow": "flow", "when": {"$.k": "a"}},
                    {"workflow": "flow", "when": {"$.k": "a"}, "version": 2},
                    {"workflow": "missing", "when": {"$.j": {"$in": ["x"], "$not": {"$gt": "x"}}}},
                ],
                "hold": "20s",
            },
            {"name": "c", "starts": [{"workflow": "other", "when": {"$.k": {"$gte": 1}}}]},
            {"name": "d", "receivers": {"flow": [2], "sub": "any"}, "hold": "0s"},
            {
                "name": "e",
                "receivers": {"sub": "any", "flow": "any"},
                "hold": "20s",
                "metadata": False,
            },
            {
                "name": "f",
                "receivers": {"flow": "any"},
                "starts": [
                    {"workflow": "other", "when": {"$.k": "a"}},
                    {"workflow": "flow", "unless": "taken"},
                    {"workflow": "other", "when": {"$.j": "x"}, "unless": "taken"},
                ],
                "hold": "20s",
            },
            {
                "name": "g",
                "starts": [
                    {"workflow": "other", "once": {"key": "$.k"}},
                    {"workflow": "sub", "once": {"key": "$.k", "while": "kept"}},
                    {"workflow": "missing", "once": {"key": "$.k"}},
                ],
            },
        ],
    )
)
TUNING = Tuning(scan_gap=0, search_gap=float("inf"), inbox=float("inf"))


class World(RuleBasedStateMachine):
    """One worker decides at a time; others may only call."""

    def __init__(self) -> None:
        super().__init__()
        self.ms = 1_700_000_000_000
        self.tick = 0.0
        memory = Path("/dev/shm")  # what survives a power cut is not the question here
        self.folder = Path(
            tempfile.mkdtemp(prefix="rules-", dir=memory if memory.is_dir() else None)
        )
        self.patches: list[Any] = [
            mock.patch.object(time, "time", lambda: self.ms / 1000),
            mock.patch.object(leader_module, "Decider", self.make_decider),
            mock.patch.object(barrier, "LAG", 0.0),  # nothing here is indexed late
        ]
        for patch in self.patches:
            patch.start()
        self.store: SqliteStore = open_store(f"sqlite:///{self.folder}/bridge.db")
        self.definitions = Definitions(ALL)
        self.reference = Rules(self.definitions, SKEW)
        self.were_removed: set[str] = set()
        """Webhooks whose definition was missing for a time: a call then can't know whether it wants
        the metadata."""
        self.seq = 0
        self.polled: set[str] = set()
        """Tasks whose poll answers reached a worker, or that an index search has shown."""
        self.by_index_alone = False
        self.search_due = True
        self.in_hand: list[tuple[Worker, Target, Event]] = []
        self.unsettled: list[tuple[Worker, Result]] = []
        self.store_fault = ""
        self.were_sick: set[str] = set()
        """Workflows whose look-up has failed at any time."""
        self.workers: list[Worker] = []
        self.killed: list[leader_module.Leader] = []

    @initialize(offset=st.sampled_from([0, 40, 3000, -3000]))
    def begin(self, offset: int) -> None:
        self.conductor = SimulatedConductor(
            lambda: self.ms,
            offset,
            known=frozenset({"flow", "other", "sub"}),
            on_start=self.workflow_started,
        )
        # The clocks' offset is known from any answer, but for its precision.
        self.conductor.server_clock.observe(self.ms + offset, self.ms, self.ms)
        self.helper = self.new_worker()
        self.worker = self.new_worker()
        self.lead()

    def lead(self) -> None:
        """The worker is elected; holds may end as if its first discovery were over."""
        assert self.worker.elect()
        self.leader.barrier.reconciled(self.monotonic())

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.finish()
        finally:
            for patch in self.patches:
                patch.stop()
            for worker in self.workers:
                worker.end_term()
                worker.close()
            for killed in self.killed:
                killed.end()
            self.store._connections.close()
            shutil.rmtree(self.folder)

    # --- the pieces ---

    @property
    def leader(self) -> leader_module.Leader:
        assert self.worker.leader is not None
        return self.worker.leader

    def new_worker(self) -> Worker:
        made = settings_with(
            bridge_database=f"sqlite:///{self.folder}/bridge.db",
            bridge_clock_skew="2s",
            bridge_worker_metrics="off",
        )
        source: Any = mock.Mock(check=lambda: False)
        type(source).current = property(lambda _: self.definitions)
        conductor: Any = self.conductor
        context = Context(made, self.store, conductor, source, Health(self.store.leadership), self)
        worker = Worker(context, f"worker{len(self.workers)}", TUNING)
        self.workers.append(worker)
        worker._pools.index = worker._pools.workflows = Now()
        worker._executor.submit = lambda claimed: self.in_hand.extend(
            (worker, *one) for one in claimed
        )  # type: ignore[method-assign]
        return worker

    def monotonic(self) -> float:
        self.tick += 1e-6  # what comes later is later
        return self.ms / 1000 + self.tick

    def make_decider(self, *given: Any) -> Decider:
        machine = self

        class Spy(Decider):
            def decide(self, term: Term, request: Request) -> Any:
                if machine.store.leadership.leader()[0] != term.holder:  # type: ignore[index]
                    # LeadershipLost, or there was nothing to write.
                    return super().decide(term, request)
                assert request.barrier is not None
                assert request.barrier.holds_up_to() == request.began
                waiting = self.tasks.ids()
                machine.required_are(waiting)
                committed = False
                decide = machine.store.decisions.decide

                def store_decide(*given: Any) -> Any:
                    nonlocal committed
                    if machine.store_fault == "before":
                        raise StoreUnavailable
                    answer = decide(*given)
                    committed = True
                    if machine.store_fault == "after":
                        raise StoreUnavailable
                    return answer

                try:
                    with mock.patch.object(machine.store.decisions, "decide", store_decide):
                        answer = super().decide(term, request)
                    committed = True
                finally:
                    if committed:
                        in_doubt = {doubt.id: doubt for doubt in self.workflows._doubts.all()}
                        assert in_doubt.keys() <= machine.were_sick
                        tasks = [machine.ref_task(task_id, in_doubt) for task_id in waiting]
                        machine.reference.decide(tasks, request.began, request.now, request.blocked)
                return answer

        return Spy(*given)

    def ref_task(self, task_id: str, in_doubt: Collection[str]) -> RefTask:
        task = self.conductor.tasks[task_id]
        own, root = (
            self.conductor.workflows[task.workflow_id],
            self.conductor.root(task.workflow_id),
        )
        offset = self.conductor.offset
        return RefTask(
            task.id,
            own.name,
            own.version,
            task.scheduled_at - offset,
            root.started_at - offset,
            root.correlation_id,
            task.matches,
            own.id,
            task.reference_name,
            own.id in in_doubt,
        )

    def given(self, task_id: str) -> bool:
        """Whether an event has the task, or has had it."""
        events = self.reference.events.values()
        return any(
            event.takers.get(task_id) in ("pending", "done", "cancelled", "unknown")
            for event in events
        )

    def required_are(self, waiting: list[str]) -> None:
        """Rule 4: the snapshot holds what the queue held and, where it is to be searched, what the
        index knows."""
        live = {
            task.id
            for task in self.conductor.tasks.values()
            if task.waits and not self.given(task.id)
        }
        if self.by_index_alone or self.search_due:
            self.index_shows(live)
        self.search_due = False
        assert live & self.polled <= set(waiting), "a waiting task is missing in the snapshot"
        assert not [task_id for task_id in waiting if self.given(task_id)], "a task is given twice"

    def index_shows(self, tasks: set[str]) -> None:
        """A search, which leaves out tasks of workflows that are no receivers."""
        workflows, receivers = self.conductor.workflows, self.definitions.by_receiver
        shown = {
            id_
            for id_ in tasks
            if workflows[self.conductor.tasks[id_].workflow_id].name in receivers
        }
        self.by_index_alone |= bool(shown - self.polled)
        self.polled |= shown

    def compare(self) -> None:
        """The store holds what the reference says."""
        targets = self.store.queries.targets_of(list(self.reference.events))
        for event in self.reference.events.values():
            stored = self.store.queries.event(event.id)
            assert stored is not None
            own = [target for target in targets if target.event_id == event.id]
            assert {t.task_id for t in own if t.kind == "complete"} == set(event.takers), event
            assert {t.task_id for t in own if t.only_versions is not None} == event.in_doubt, event
            starts = {
                (t.workflow, str(t.correlation_id)): t.version for t in own if t.kind == "start"
            }
            assert starts == event.versions, event
            assert (stored.hold != "no") == event.held, event
            assert (stored.decided_at is not None) == event.decided, event
            assert stored.status == event.status, event
            final = stored.status != "pending" and not event.held
            assert (stored.settled_at is not None) == final, event

    def workflow_started(self, workflow: SimulatedWorkflow) -> None:
        """By an event: it waits at once, and its sub-workflow too."""
        for other in self.of_one_key(workflow.name, str(workflow.correlation_id)):
            assert other is workflow or (workflow.name == "other" and other.ended), (
                "two workflows of one key"
            )
        self.conductor.schedule(workflow.id, "wait", {})
        sub = self.conductor.begin("sub", parent=workflow.id)
        self.conductor.schedule(sub.id, "wait", {})

    def of_one_key(self, name: str, correlation_id: str) -> list[SimulatedWorkflow]:
        """The workflows that webhook g started by the entry that this is a start of, for the same
        value of the key."""
        events = self.reference.events
        value = events[correlation_id.split("#")[0]].payload.get("k")
        if events[correlation_id.split("#")[0]].webhook != "g" or value is None:
            return []
        named = [
            workflow for workflow in self.conductor.workflows.values() if workflow.name == name
        ]
        return [
            workflow
            for workflow in named
            if (event_id := str(workflow.correlation_id).split("#")[0]) in events
            and events[event_id].webhook == "g"
            and naive.equal(events[event_id].payload.get("k"), value)
        ]

    def live(self) -> list[SimulatedTask]:
        return [task for task in self.conductor.tasks.values() if task.waits]

    def fall_sick(self, workflows: set[str]) -> None:
        self.conductor.sick = workflows
        self.were_sick |= workflows

    def decide(self) -> None:
        with self.polls_noticed():
            while self.leader.decide():
                pass

    @contextmanager
    def polls_noticed(self) -> Iterator[None]:
        poll = self.conductor.poll
        # Tasks of receivers that are added are searched for.
        self.search_due |= bool(self.definitions.by_receiver.keys() - self.leader._index.receivers)

        def noticed(*given: Any) -> Any:
            tasks = poll(*given)
            self.polled |= {task.id for task in tasks}
            return tasks

        with mock.patch.object(self.conductor, "poll", noticed):
            yield

    def call(self, index: int, fault: Any, delay: int, then: str) -> None:
        """A call is made for a target in hand, if there is one."""
        if index < 0:
            return
        worker, target, event = self.in_hand.pop(index)
        self.conductor.fault, self.conductor.delay = fault, delay
        try:
            result = worker._executor._calls.outcome(target, event).result
        except ClaimLost:
            return
        finally:
            self.conductor.fault = None
        if then == "record":
            self.record(worker, result)
        elif then == "later":
            self.unsettled.append((worker, result))

    def record(self, worker: Worker, result: Result) -> None:
        target = result.target
        [stored] = [
            t for t in self.store.queries.targets_of([target.event_id]) if t.id == target.id
        ]
        counts = (stored.state, stored.claimed_by, stored.attempts) == (
            "claimed",
            worker.id,
            target.attempts,
        )
        self.store.claims.record_results(worker.id, [result], self.ms)
        [after] = [t for t in self.store.queries.targets_of([target.event_id]) if t.id == target.id]
        assert after.state == (result.state if counts else stored.state)
        if counts and result.state in ENDED:
            self.true_to_conductor(target, "unfit" if result.unfit else result.state)
            self.reference.settled(target, "unfit" if result.unfit else result.state)
        self.compare()

    def true_to_conductor(self, target: Target, state: str) -> None:
        """What is recorded of a target is what Conductor shows."""
        if target.kind == "start":
            assert len(self.started(target.workflow, target.correlation_id)) == (state == "done")
            if state == "skipped":
                there = self.of_one_key(target.workflow, str(target.correlation_id))
                [after] = [
                    t for t in self.store.queries.targets_of([target.event_id]) if t.id == target.id
                ]
                assert after.workflow_id in {workflow.id for workflow in there}
            return
        assert target.task_id is not None
        if target.only_versions is not None and state in ("done", "unfit"):
            version = self.conductor.workflows[str(target.workflow_id)].version
            assert (version in target.only_versions) == (state == "done")
        if state == "unfit":
            return
        if state == "unknown":
            assert target.task_id in self.conductor.removed
            return
        named = [
            task
            for task in self.conductor.tasks.values()
            if (task.workflow_id, task.reference_name)
            == (target.workflow_id, target.reference_name)
        ]
        effect = [task.id for task in named if task.worker_id == target.event_id]
        # One that timed out and its retry may both have been given to the event, which then goes to
        # the newest retry.
        others = self.reference.events[target.event_id].takers.keys() & {
            task.id for task in named
        } - {target.task_id}
        assert len(effect) == 1 if state == "done" else len(effect) <= bool(others)
        assert state == "failed" or not self.conductor.tasks[target.task_id].waits

    def name(self, task_id: str) -> tuple[str, str]:
        task = self.conductor.tasks[task_id]
        return task.workflow_id, task.reference_name

    def started(self, name: str, correlation_id: str | None) -> list[SimulatedWorkflow]:
        return [
            w
            for w in self.conductor.workflows.values()
            if (w.name, w.correlation_id) == (name, correlation_id)
        ]

    # --- the end ---

    def finish(self) -> None:
        """Without further faults everything comes to an end, and each effect is there exactly
        once."""
        # New ones have every task looked at again, which may hide what was forgotten.
        if self.definitions.webhooks != ALL:
            self.definitions = self.reference.definitions = Definitions(ALL)
        self.conductor.sick.clear()
        self.in_hand.clear()
        self.unsettled.clear()
        for _ in range(200):
            self.ms += 17_000
            self.conductor.run_late()
            self.decide()
            self.compare()
            self.the_helper_claims(10)
            if not self.in_hand and not any(map(self.goes_on, self.reference.events.values())):
                break
            for worker, target, event in self.in_hand:
                self.record(worker, worker._executor._calls.outcome(target, event).result)
            self.in_hand.clear()
        else:
            raise AssertionError("it never comes to an end")
        self.ms += 700_000
        self.decide()
        self.compare()
        for over in self.reference.events.values():
            self.ended_well(over)

    def goes_on(self, event: RefEvent) -> bool:
        """Whether it is to be decided again, or has a call that is made again, perhaps a minute
        later."""
        return (event.freed and event.held) or "pending" in (
            *event.takers.values(),
            *event.starts.values(),
        )

    def ended_well(self, event: RefEvent) -> None:
        """Conductor shows what the event was applied to, once each."""
        assert event.status != "pending"
        completed = [task for task in self.conductor.tasks.values() if task.worker_id == event.id]
        # A task that timed out and its retry are one to the workflow: they have one name, and one
        # effect.
        names = {self.name(task_id) for task_id, state in event.takers.items() if state == "done"}
        unknown = {
            self.name(task_id) for task_id, state in event.takers.items() if state == "unknown"
        }
        found = sorted(map(self.name, (task.id for task in completed)))
        assert [name for name in found if name not in unknown - names] == sorted(names)
        webhook = next(w for w in ALL if w.name == event.webhook)
        for task in completed:
            assert {
                key: value for key, value in task.output.items() if key != "_webhook"
            } == event.payload
            assert (
                "_webhook" in task.output
            ) == webhook.metadata or webhook.name in self.were_removed
        for key, state in event.starts.items():
            assert len(self.started(*key)) == (state == "done")

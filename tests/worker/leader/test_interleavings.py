"""Workers and their threads in any order: claims, calls, heartbeats, hand-overs and stops, one step
at a time.

What a thread does between two messages or two writes to the store is one step here, so every
interleaving that matters can be drawn. A thread that was about to do something as its term ended
does it later: heartbeats and discoveries keep the term that they were given.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from config.process import WakeUp
from config.webhooks import Definitions, Webhook
from store.errors import StoreUnavailable
from store.records import NewEvent
from store.sqlite import SqliteStore, open_store
from store.sqlite.signals import SqliteListener
from tests.support.examples import at_most, examples
from tests.support.settings import settings_with
from tests.support.simulated import SimulatedConductor, SimulatedTask
from tests.worker.play import Later
from worker.context import Context
from worker.health import Health
from worker.leader.leader import Leader, TermOver, Tuning
from worker.leader.worker import Worker

pytestmark = pytest.mark.usefixtures("quiet")
WEBHOOK = Webhook.model_validate(
    {"name": "w", "receivers": {"flow": "any"}, "starts": [{"workflow": "other"}]}
)

# None: the store works; more often than not.
_FAILING_LOOP = [None, None, None, "tasks.adopt", "decisions.decide", "leadership.resign"]
_FAILING_EXECUTOR = [None, None, "claims.claim", "claims.record_results", "claims.give_back"]


class Played:
    """One worker whose threads the test runs."""

    def __init__(self, worker: Worker, pool: Later) -> None:
        self.worker = worker
        self.pool = pool
        self.stopping = False
        self.killed = False

    @property
    def executor(self) -> Any:
        return self.worker._executor

    @property
    def ended(self) -> bool:
        return self.killed or (self.stopping and self.executor.ended)


class Machine(RuleBasedStateMachine):
    """Three workers at a time; the ended ones are replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.ms = 1_700_000_000_000
        memory = Path("/dev/shm")
        self.folder = Path(
            tempfile.mkdtemp(prefix="play-", dir=memory if memory.is_dir() else None)
        )
        self.patches: list[Any] = [
            mock.patch.object(time, "time", lambda: self.ms / 1000),
            mock.patch.object(WakeUp, "wait", lambda _, seconds: self.pass_by(seconds)),
            mock.patch.object(SqliteListener, "wait", lambda _, seconds: self.pass_by(seconds)),
        ]
        for patch in self.patches:
            patch.start()
        self.store: SqliteStore = open_store(f"sqlite:///{self.folder}/bridge.db")
        self.conductor = SimulatedConductor(lambda: self.ms, known=frozenset({"flow", "other"}))
        self.workers: list[Played] = []
        self.terms: list[tuple[Played, Leader]] = []
        """Every term that a thread may still have in its hands."""
        self.events = 0
        self.waited: list[SimulatedTask] = []
        """The tasks that waited when the last event came."""
        self.polled_by_others: set[str] = set()
        for _ in range(3):
            self.new_worker()

    def new_worker(self) -> None:
        source: Any = mock.Mock(check=lambda: False, current=Definitions((WEBHOOK,)))
        conductor: Any = self.conductor
        made = settings_with(
            bridge_database=f"sqlite:///{self.folder}/bridge.db", bridge_worker_metrics="off"
        )
        number = len(self.workers)
        context = Context(made, self.store, conductor, source, Health(self.store.leadership), self)
        worker = Worker(context, f"worker{number}", Tuning(inbox=float("inf")))
        pool = Later()
        worker._executor._pool = pool
        self.workers.append(Played(worker, pool))

    def monotonic(self) -> float:
        return self.ms / 1000

    def pass_by(self, seconds: float) -> None:
        # A wait that ends too early would be a term that isn't settled.
        self.ms += math.ceil(max(0.0, seconds) * 1000)

    def living(self) -> list[Played]:
        return [played for played in self.workers if not played.ended]

    def teardown(self) -> None:
        try:
            self.finish()
        finally:
            for played in self.workers:
                if played.worker.leader is not None:
                    played.worker.leader.end()
                played.worker.close()
            for _, term_ in self.terms:
                term_.end()
            for patch in self.patches:
                patch.stop()
            self.store.close()
            shutil.rmtree(self.folder)

    # --- the world ---

    @rule(ms=st.sampled_from([1, 60, 300, 2500, 7000, 17_000]))
    def time_passes(self, ms: int) -> None:
        self.ms += ms
        self.conductor.run_late()

    @rule()
    def an_event_arrives(self) -> None:
        self.events += 1
        self.waited = [task for task in self.conductor.tasks.values() if task.waits]
        self.store.deliveries.append(
            [NewEvent(f"event{self.events}", "w", self.ms, "{}", {}, {}, self.ms + 600_000)]
        )

    @rule(fault=st.sampled_from([None, "lost_after", "lost_before", "unreachable", "late"]))
    def the_network_fails_once(self, fault: Any) -> None:
        self.conductor.fault, self.conductor.delay = fault, 5000

    @rule(polled_by_another=st.booleans())
    def a_task_waits(self, polled_by_another: bool) -> None:
        task = self.conductor.schedule(self.conductor.begin("flow").id, "wait", {})
        if polled_by_another:
            task.status, task.started_at = "IN_PROGRESS", self.conductor.server_time
            self.polled_by_others.add(task.id)

    def failing(self, method: str | None) -> AbstractContextManager[object]:
        """The store can't be used for this method of one of its parts."""
        if method is None:
            return nullcontext()
        part, name = method.split(".")
        return mock.patch.object(
            getattr(self.store, part), name, side_effect=StoreUnavailable("locked")
        )

    # --- the loop's thread ---

    @rule(data=st.data(), fails=st.sampled_from(_FAILING_LOOP))
    def a_loop_steps(self, data: st.DataObject, fails: str | None) -> None:
        played = data.draw(st.sampled_from([one for one in self.living() if not one.stopping]))
        elect = played.worker.elect

        def noted() -> bool:  # a term may end in the step in which it began
            elected = elect()
            if played.worker.leader is not None:
                self.terms.append((played, played.worker.leader))
            return elected

        with self.failing(fails), mock.patch.object(played.worker, "elect", noted):
            played.worker.step()

    # --- threads that were given a term, over or not ---

    @precondition(lambda self: self.terms)
    @rule(data=st.data())
    def a_heartbeat(self, data: st.DataObject) -> None:
        played, given = data.draw(st.sampled_from(self.terms))
        if not played.killed:
            given.renew()

    @precondition(lambda self: self.terms)
    @rule(data=st.data())
    def a_heartbeat_that_began_before_the_end(self, data: st.DataObject) -> None:
        played, given = data.draw(st.sampled_from(self.terms))
        before = self.store.leadership.leader()
        if not played.killed:
            with mock.patch.object(given.heartbeat, "over", False):
                given.renew()
        after = self.store.leadership.leader()
        assert (before and before[0]) == (after and after[0]), "a heartbeat gives nobody the lead"

    @precondition(lambda self: self.terms)
    @rule(data=st.data())
    def a_discovery(self, data: st.DataObject) -> None:
        played, given = data.draw(st.sampled_from(self.terms))
        if not played.killed:
            try:
                given.discover()
            except TermOver:
                assert given.heartbeat.over

    # --- the executor's thread, and those that call ---

    @rule(data=st.data())
    def messages_are_taken(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.living())).executor.take_messages(0)

    @rule(data=st.data(), fails=st.sampled_from(_FAILING_EXECUTOR))
    def a_caller_works(self, data: st.DataObject, fails: str | None) -> None:
        played = data.draw(st.sampled_from(self.living()))
        with self.failing(fails):
            played.executor.work(self.ms / 1000)

    @rule(data=st.data())
    def a_call_is_made(self, data: st.DataObject) -> None:
        if busy := [played for played in self.living() if played.pool.jobs]:
            played = data.draw(st.sampled_from(busy))
            played.pool.run(data.draw(st.integers(0, len(played.pool.jobs) - 1)))

    # --- ends ---

    @rule(data=st.data())
    def a_worker_is_asked_to_stop(self, data: st.DataObject) -> None:
        """Its loop ends the term, and the executor ends what is in flight whenever its threads come
        to it."""
        played = data.draw(st.sampled_from(self.living()))
        if not played.stopping:
            played.stopping = True
            played.worker.stop()
            played.worker.end_term()
            played.executor.ask_to_stop()
            self.new_worker()

    @rule(data=st.data())
    def a_worker_is_killed(self, data: st.DataObject) -> None:
        played = data.draw(st.sampled_from(self.living()))
        played.killed = True
        self.store.leadership._unlock(played.worker.id)  # as the kernel does
        self.new_worker()

    # --- the end ---

    def drain(self, played: Played) -> None:
        """The rest of a stop, without further faults."""
        for _ in range(100):
            played.executor.take_messages(0)
            played.executor.work(self.ms / 1000)
            if played.ended:
                return
            played.pool.run_all()
            self.ms += 500
        raise AssertionError("it never stops")

    def finish(self) -> None:
        """All stop in the end; what they leave behind, one worker brings to its end, each effect
        once."""
        self.conductor.fault = None
        for played in self.living():
            if not played.stopping:
                played.stopping = True
                played.worker.end_term()
                played.executor.ask_to_stop()
            self.drain(played)
        unsettled = any(not term.barrier.settled for _, term in self.terms)  # its term runs out
        assert (
            self.store.leadership.leader() is None
            or unsettled
            or any(played.killed for played in self.workers)
        )
        self.ms += 700_000
        self.new_worker()
        last = self.workers[-1]
        for _ in range(12):
            self.conductor.run_late()
            last.worker.step()
            last.worker.as_leader(Leader.discover)
            last.executor.take_messages(0)
            last.executor.work(self.ms / 1000)
            while last.pool.jobs:  # threads that are free begin at once: a call that began 20 s late would be another's
                last.pool.run_all()
                last.executor.take_messages(0)
                last.executor.work(self.ms / 1000)
            self.ms += 20_000
        for number in range(1, self.events + 1):
            event_id = f"event{number}"
            event = self.store.queries.event(event_id)
            assert event is not None
            assert event.status == "delivered", event
            assert (
                len([w for w in self.conductor.workflows.values() if w.correlation_id == event_id])
                == 1
            )
            named = {
                task.id for task in self.conductor.tasks.values() if task.worker_id == event_id
            }
            targets = [
                t
                for t in self.store.queries.targets_of([event_id])
                if t.kind == "complete" and t.state == "done"
            ]
            assert named == {target.task_id for target in targets}
        left = {task.id for task in self.waited if task.waits}
        if any(task.worker_id == f"event{self.events}" for task in self.conductor.tasks.values()):
            left -= self.polled_by_others  # only for an event without a taker is the index searched
        assert left == set()
        last.worker.end_term()


TestInterleavings = examples(Machine.TestCase)
TestInterleavings.settings = settings(max_examples=at_most(120), stateful_step_count=40)

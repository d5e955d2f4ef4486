"""The delivery rules as a whole: decider, store, claims and look-ups against a reference, in any order of events.

A hypothesis state machine plays platforms (events arrive), users (workflows start, end, time out), other programs
(they poll our tasks), the network (answers get lost, calls take effect late), the clock, and crashes of the worker.
After each decision the store must hold what `reference.Rules` says; at the end Conductor must show each effect exactly
once.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from config.webhooks import Definitions, Webhook
from store.errors import LeadershipLost, StoreUnavailable
from store.one_target import place_of
from store.records import Event, NewEvent, Result, Target, Term
from store.sqlite import SqliteStore, open_store
from tests.criteria import naive
from tests.examples import at_most, examples
from tests.settings import settings_with
from tests.worker.reference import RefEvent, RefTask, Rules
from tests.worker.simulated import SimulatedConductor, SimulatedTask, SimulatedWorkflow
from worker.conductor.errors import ConductorError
from worker.context import Context
from worker.delivery.outcomes import ClaimLost, claim_lasts
from worker.discovery.state import QUIET
from worker.health import Health
from worker.leader import leader as leader_module
from worker.leader.decider import Decider
from worker.leader.tuning import Tuning
from worker.leader.worker import Worker

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
            {"name": "e", "receivers": {"sub": "any", "flow": "any"}, "hold": "20s", "metadata": False},
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
PAYLOADS: list[dict[str, Any]] = [
    {"k": 1},
    {"k": 1.0},
    {"k": "1"},
    {"k": True},
    {"k": "a"},
    {"k": "a", "j": "x"},
    {"k": None},
    {},
]
MATCHES: list[Any] = [
    None,
    {},
    {"$.k": 1},
    {"$.k": "1"},
    {"$.k": "a"},
    {"$.k": "true"},
    {"$.k": "a", "$.j": "x"},
    {"$.k": None},
    {"$.[": 1},
    "nonsense",
]


FAULTS = st.sampled_from(
    [None, None, None, "bad", "not_now", "unreachable", "lost_before", "lost_after", "lost_after", "late", "late"]
)
DELAYS = st.sampled_from([5, 2000, 9999])
FATES = st.sampled_from(["record", "record", "record", "later", "crash"])


TUNING = Tuning(scan_gap=0, predecessor_grace=0, search_gap=float("inf"), inbox=0, index_threads=0, workflow_threads=0)


class Machine(RuleBasedStateMachine):
    """One worker decides at a time; others may only call."""

    def __init__(self) -> None:
        super().__init__()
        self.ms = 1_700_000_000_000
        memory = Path("/dev/shm")  # what survives a power cut is not the question here
        self.folder = Path(tempfile.mkdtemp(prefix="rules-", dir=memory if memory.is_dir() else None))
        self.patches: list[Any] = [
            mock.patch.object(time, "time", lambda: self.ms / 1000),
            mock.patch.object(leader_module, "Decider", self.make_decider),
        ]
        for patch in self.patches:
            patch.start()
        self.store: SqliteStore = open_store(f"sqlite:///{self.folder}/bridge.db")
        self.definitions = Definitions(ALL)
        self.reference = Rules(self.definitions, SKEW)
        self.were_removed: set[str] = set()
        """Webhooks whose definition was missing for a time: a call then can't know whether it wants the metadata."""
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
            lambda: self.ms, offset, known=frozenset({"flow", "other", "sub"}), on_start=self.workflow_started
        )
        # The clocks' offset is known from any answer, but for its precision.
        self.conductor.server_clock.observe(self.ms + offset, self.ms, self.ms)
        self.helper = self.new_worker()
        self.worker = self.new_worker()
        assert self.worker.elect()

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
            bridge_database=f"sqlite:///{self.folder}/bridge.db", bridge_clock_skew="2s", bridge_worker_metrics="off"
        )
        source: Any = mock.Mock(check=lambda: False)
        type(source).current = property(lambda _: self.definitions)
        conductor: Any = self.conductor
        context = Context(made, self.store, conductor, source, Health(self.store.leadership), self)
        worker = Worker(context, f"worker{len(self.workers)}", TUNING)
        self.workers.append(worker)
        worker._executor.submit = lambda claimed: self.in_hand.extend((worker, *one) for one in claimed)  # type: ignore[method-assign]
        return worker

    def monotonic(self) -> float:
        return self.ms / 1000

    def make_decider(self, *given: Any) -> Decider:
        machine = self

        class Spy(Decider):
            def decide(self, term: Term, *arguments: Any) -> Any:
                if machine.store.leadership.leader()[0] != term.holder:  # type: ignore[index]
                    return super().decide(term, *arguments)  # LeadershipLost, or there was nothing to write
                _, _, began, now, _, known, _ = arguments
                assert known.complete and not known.awaited
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
                        answer = super().decide(term, *arguments)
                    committed = True
                finally:
                    if committed:
                        in_doubt = self.workflows.in_doubt
                        assert in_doubt.keys() <= machine.were_sick
                        tasks = [machine.ref_task(task_id, in_doubt) for task_id in waiting]
                        machine.reference.decide(tasks, began, now)
                return answer

        return Spy(*given)

    def ref_task(self, task_id: str, in_doubt: Collection[str]) -> RefTask:
        task = self.conductor.tasks[task_id]
        own, root = self.conductor.workflows[task.workflow_id], self.conductor.root(task.workflow_id)
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
        return any(event.takers.get(task_id) in ("pending", "done", "cancelled") for event in events)

    def required_are(self, waiting: list[str]) -> None:
        """Rule 4: the snapshot holds what the queue held and, where it is to be searched, what the index knows."""
        live = {task.id for task in self.conductor.tasks.values() if task.waits and not self.given(task.id)}
        if self.by_index_alone or self.search_due:
            self.by_index_alone |= bool(live - self.polled)
            self.polled |= live
        self.search_due = False
        assert live & self.polled <= set(waiting), "a waiting task is missing in the snapshot"
        assert not [task_id for task_id in waiting if self.given(task_id)], "a task is given twice"

    def compare(self) -> None:
        """The store holds what the reference says."""
        targets = self.store.queries.targets_of(list(self.reference.events))
        for event in self.reference.events.values():
            stored = self.store.queries.event(event.id)
            assert stored is not None
            own = [target for target in targets if target.event_id == event.id]
            assert {t.task_id for t in own if t.kind == "complete"} == set(event.takers), event
            assert {t.task_id for t in own if t.only_versions is not None} == event.in_doubt, event
            starts = {(t.workflow, str(t.correlation_id)): t.version for t in own if t.kind == "start"}
            assert starts == event.versions, event
            assert (stored.hold != "no") == event.held, event
            assert (stored.decided_at is not None) == event.decided, event
            assert stored.status == event.status, event
            final = stored.status != "pending" and not event.held
            assert (stored.settled_at is not None) == final, event

    # --- platforms and users ---

    @rule(
        webhook=st.sampled_from("abcdefg"),
        payload=st.sampled_from(PAYLOADS),
        again=st.booleans(),
        wait=st.integers(0, 2),
    )
    def an_event_arrives(self, webhook: str, payload: dict[str, Any], again: bool, wait: int) -> None:
        self.ms += wait
        hold = next(int(w.hold * 1000) for w in ALL if w.name == webhook)
        self.seq += 1
        new = NewEvent(
            f"event{self.seq}", webhook, self.ms, json.dumps(payload), {}, {}, self.ms + hold, f"delivery {self.seq}"
        )
        [committed] = self.store.deliveries.append([new])
        assert committed.event_id == new.id
        if again:
            [repeated] = self.store.deliveries.append([replace(new, id=f"{new.id} again")])
            assert repeated.duplicate
            assert repeated.event_id == new.id
        self.reference.events[new.id] = RefEvent(self.seq, new.id, webhook, self.ms, new.hold_until, payload)

    @rule(back=st.integers(1, 9), which=st.integers(0, 9), goes_round=st.booleans())
    def an_event_is_replayed_to_one_target(self, back: int, which: int, goes_round: bool) -> None:
        """One of the newest events. `goes_round`: then its task's loop comes to the next iteration."""
        newest = range(max(1, self.seq - back), self.seq + 1)
        targets = self.store.queries.targets_of([f"event{number}" for number in newest])
        if not targets:
            return
        chosen = targets[which % len(targets)]
        old = self.reference.events[chosen.event_id]
        self.seq += 1
        hold = next(int(w.hold * 1000) for w in ALL if w.name == old.webhook)
        only = place_of(chosen)
        new = NewEvent(
            f"event{self.seq}",
            old.webhook,
            self.ms,
            json.dumps(old.payload),
            {},
            {},
            self.ms + hold,
            replay_of=old.id,
            origin=old.id,
            only=only,
        )
        self.store.deliveries.append([new])
        self.reference.events[new.id] = RefEvent(
            self.seq, new.id, old.webhook, self.ms, new.hold_until, old.payload, only=only
        )
        if goes_round and only.kind == "complete":
            self.conductor.schedule(str(only.workflow_id), f"{only.reference_name}__{len(self.conductor.tasks)}", {})

    @rule(
        name=st.sampled_from(["flow", "other", "stranger"]),
        version=st.integers(1, 2),
        matches=st.sampled_from(MATCHES),
        tasks=st.integers(1, 2),
    )
    def a_workflow_starts(self, name: str, version: int, matches: Any, tasks: int) -> None:
        workflow = self.conductor.begin(name, version)
        for number in range(tasks):
            self.conductor.schedule(workflow.id, f"wait{number}", matches)

    def workflow_started(self, workflow: SimulatedWorkflow) -> None:
        """By an event: it waits at once, and its sub-workflow too."""
        for other in self.of_one_key(workflow.name, str(workflow.correlation_id)):
            assert other is workflow or (workflow.name == "other" and other.ended), "two workflows of one key"
        self.conductor.schedule(workflow.id, "wait", {})
        sub = self.conductor.begin("sub", parent=workflow.id)
        self.conductor.schedule(sub.id, "wait", {})

    def of_one_key(self, name: str, correlation_id: str) -> list[SimulatedWorkflow]:
        """The workflows that webhook g started by the entry that this is a start of, for the same value of the key."""
        events = self.reference.events
        value = events[correlation_id.split("#")[0]].payload.get("k")
        if events[correlation_id.split("#")[0]].webhook != "g" or value is None:
            return []
        named = [workflow for workflow in self.conductor.workflows.values() if workflow.name == name]
        return [
            workflow
            for workflow in named
            if (event_id := str(workflow.correlation_id).split("#")[0]) in events
            and events[event_id].webhook == "g"
            and naive.equal(events[event_id].payload.get("k"), value)
        ]

    @precondition(lambda self: self.conductor.workflows)
    @rule(data=st.data())
    def a_workflow_ends(self, data: st.DataObject) -> None:
        """But for its tasks, which others may still complete: only a start of the same key looks."""
        self.conductor.workflows[data.draw(st.sampled_from(sorted(self.conductor.workflows)))].ended = True

    @precondition(lambda self: self.conductor.workflows)
    @rule(data=st.data(), matches=st.sampled_from(MATCHES), sub=st.booleans())
    def a_workflow_goes_on(self, data: st.DataObject, matches: Any, sub: bool) -> None:
        workflow_id = data.draw(st.sampled_from(sorted(self.conductor.workflows)))
        if sub:
            workflow_id = self.conductor.begin("sub", parent=workflow_id).id
        self.conductor.schedule(workflow_id, f"wait__{len(self.conductor.tasks)}", matches)

    def live(self) -> list[SimulatedTask]:
        return [task for task in self.conductor.tasks.values() if task.waits]

    @precondition(lambda self: self.live())
    @rule(data=st.data(), how=st.sampled_from(["CANCELED", "COMPLETED", "TIMED_OUT"]))
    def a_task_ends(self, data: st.DataObject, how: str) -> None:
        task = data.draw(st.sampled_from(self.live()))
        self.conductor.end(task.id, how)
        if how == "TIMED_OUT":  # it is tried again under the same name
            self.conductor.schedule(task.workflow_id, task.reference_name, task.matches)

    @rule(
        events=st.lists(st.tuples(st.sampled_from("abbcdefgg"), st.sampled_from(PAYLOADS)), min_size=1, max_size=2),
        version=st.integers(1, 2),
        matches=st.sampled_from([None, {}, {"$.k": "a"}, {"$.k": 1}]),
        tasks=st.integers(1, 2),
        order=st.sampled_from(["events first", "tasks first", "running"]),
        foreign=st.booleans(),
        calls=st.lists(st.tuples(FAULTS, DELAYS, FATES), max_size=3),
        again=st.booleans(),
        sick=st.booleans(),
    )
    def a_whole_story(
        self,
        events: list[tuple[str, Any]],
        version: int,
        matches: Any,
        tasks: int,
        order: str,
        foreign: bool,
        calls: list[tuple[Any, int, str]],
        again: bool,
        sick: bool,
    ) -> None:
        """What single rules would rarely come to: tasks and events, their decision, their calls, and what follows."""
        if sick:  # the workflow that is begun next
            self.fall_sick({f"w{len(self.conductor.workflows)}"})
        if order == "running":
            workflow = self.conductor.begin("flow", version)
            self.time_passes(2500)
        if order == "tasks first":
            self.a_workflow_starts("flow", version, matches, tasks)
            if foreign:
                self.somebody_else_polls()
        for webhook, payload in events:
            self.an_event_arrives(webhook, payload, False, 1)
        self.the_worker_decides(None, "")
        if order == "events first":
            self.a_workflow_starts("flow", version, matches, tasks)
        elif order == "running":
            for number in range(tasks):
                self.conductor.schedule(workflow.id, f"wait{number}", matches)
        if foreign:
            self.somebody_else_polls()
        for call in calls:
            self.call(0 if self.in_hand else -1, *call)
        if again:
            self.the_worker_decides(None, "")

    @rule(
        ms=st.sampled_from([1000, 11_000, 17_000]),
        calls=st.lists(st.tuples(FAULTS, DELAYS, FATES), min_size=1, max_size=3),
    )
    def the_helper_works(self, ms: int, calls: list[tuple[Any, int, str]]) -> None:
        """It claims what is due or was left behind, some time later."""
        self.time_passes(ms)
        self.the_helper_claims(len(calls))
        for call in calls:
            self.call(len(self.in_hand) - 1, *call)

    # --- other programs, the network, the clock ---

    @rule()
    def somebody_else_polls(self) -> None:
        for task in self.conductor.tasks.values():
            if task.status == "SCHEDULED":
                task.status, task.started_at = "IN_PROGRESS", self.conductor.server_time

    @rule(ms=st.sampled_from([1, 300, 1900, 2500, 11_000, 17_000, 61_000, 700_000]))
    def time_passes(self, ms: int) -> None:
        self.ms += ms
        self.conductor.run_late()
        self.leader.renew()

    @rule(ms=st.sampled_from([0, 5000]))
    def the_index_lags(self, ms: int) -> None:
        self.conductor.lag = ms

    @precondition(lambda self: self.conductor.workflows)
    @rule(data=st.data(), pick=st.integers(0, 3))
    def look_ups_fail_from_now_on(self, data: st.DataObject, pick: int) -> None:
        """Of some workflows, or of none any more."""
        some = st.sets(st.sampled_from(sorted(self.conductor.workflows)), max_size=3)
        self.fall_sick(data.draw(some) if pick else set())

    @rule(
        webhook=st.sampled_from("aabdef"),
        versions=st.lists(st.integers(1, 2), min_size=1, max_size=2),
        tasks_first=st.booleans(),
        waits=st.lists(st.sampled_from([300, 2500, 11_000, 61_000]), min_size=1, max_size=3),
        heals=st.booleans(),
        ends=st.booleans(),
        calls=st.lists(st.tuples(FAULTS, DELAYS, FATES), max_size=2),
    )
    def a_story_of_doubt(
        self,
        webhook: str,
        versions: list[int],
        tasks_first: bool,
        waits: list[int],
        heals: bool,
        ends: bool,
        calls: list[tuple[Any, int, str]],
    ) -> None:
        """Workflows whose look-ups fail run as an event comes that their tasks match, and heal or don't."""
        workflows = [self.conductor.begin("flow", version) for version in versions]
        self.fall_sick({workflows[0].id})
        self.time_passes(2500)
        for first in (tasks_first, not tasks_first):
            if first:
                tasks = [self.conductor.schedule(workflow.id, "wait", {}) for workflow in workflows]
            else:
                self.an_event_arrives(webhook, {"k": 1}, False, 1)
            self.the_worker_decides(None, "")
            self.time_passes(5)
        if ends and tasks[0].waits:
            self.conductor.end(tasks[0].id, "CANCELED")
        for number, ms in enumerate(waits):
            if heals and number == len(waits) - 1:
                self.fall_sick(set())
                self.time_passes(31_000)
            self.time_passes(ms)
            self.the_worker_decides(None, "")
            for call in calls:
                self.call(0 if self.in_hand else -1, *call)

    def fall_sick(self, workflows: set[str]) -> None:
        self.conductor.sick = workflows
        self.were_sick |= workflows

    @rule(only=st.sampled_from(["abcdefg", "abcdefg", "abcdefg", "bcde", "a"]))
    def definitions_change(self, only: str) -> None:
        self.definitions = Definitions(tuple(w for w in ALL if w.name in only))
        self.were_removed |= {w.name for w in ALL if w.name not in only}
        self.reference.definitions = self.definitions

    # --- the worker ---

    @rule(
        poll=st.sampled_from([None, None, None, "lost", "unreachable"]),
        store=st.sampled_from(["", "", "", "before", "after"]),
    )
    def the_worker_decides(self, poll: Any, store: str) -> None:
        self.conductor.poll_fault, self.store_fault = poll, store
        try:
            self.decide()
        except ConductorError:
            if poll == "lost":
                self.search_due = True
                self.time_passes(int(QUIET * 1000))
        except StoreUnavailable:  # as in Worker._step
            self.worker.end_term()
            assert self.worker.elect()
            self.search_due = True
        self.conductor.poll_fault, self.store_fault = None, ""
        self.compare()

    def decide(self) -> None:
        with self.polls_noticed():
            while self.leader.decide():
                pass

    @contextmanager
    def polls_noticed(self) -> Iterator[None]:
        poll = self.conductor.poll

        def noticed(*given: Any) -> Any:
            tasks = poll(*given)
            self.polled |= {task.id for task in tasks}
            return tasks

        with mock.patch.object(self.conductor, "poll", noticed):
            yield

    @rule()
    def the_worker_discovers(self) -> None:
        before = set(self.leader.decider.tasks.ids())
        self.leader.discover()
        self.leader.read_inbox()
        live = {task.id for task in self.live()}
        known = set(self.leader.decider.tasks.ids())
        assert not (before - known) & live, "a task that still waits was dropped"
        if self.leader.scanner.searched_to:
            found = {task.id for task in self.live() if task.status == "IN_PROGRESS"}
            self.by_index_alone |= bool({t for t in found if not self.given(t)} - self.polled)
            self.polled |= found

    @rule(in_scan=st.booleans())
    def the_worker_is_killed(self, in_scan: bool) -> None:
        """Between any two steps, or as it has polled and not stored."""
        if in_scan:
            killed = mock.patch.object(self.store.tasks, "adopt", side_effect=KeyboardInterrupt)
            with killed, suppress(KeyboardInterrupt, ConductorError):
                self.leader.decide()
        self.killed.append(self.leader)
        self.worker.leader = None
        self.store.leadership._unlock(self.worker.id)  # as the kernel does
        self.in_hand = [one for one in self.in_hand if one[0] is not self.worker]
        self.unsettled = [one for one in self.unsettled if one[0] is not self.worker]
        self.worker = self.new_worker()
        assert self.worker.elect()
        self.search_due = True
        self.compare()

    @rule()
    def the_worker_hangs_and_another_takes_over(self) -> None:
        old, hung, self.worker = self.worker, self.leader, self.new_worker()
        assert not self.worker.elect()
        self.ms += 6001
        self.conductor.run_late()
        assert self.worker.elect()
        self.search_due = True
        # It wakes up, polls, and finds that it isn't to decide any more; what it polled it hands over.
        try:
            with self.polls_noticed():
                hung.decide()
        except LeadershipLost:
            pass
        old.end_term()
        self.leader.renew()  # its death would be noticed from now on
        self.helper = old
        self.compare()

    # --- calls ---

    @rule(limit=st.integers(1, 3))
    def the_helper_claims(self, limit: int) -> None:
        lease = int(claim_lasts(self.conductor.longest_call) * 1000)
        targets = self.store.claims.claim(self.helper.id, self.ms, self.ms - lease, limit)
        events = self.store.queries.events_of([target.event_id for target in targets])
        self.in_hand += [(self.helper, target, events[target.event_id]) for target in targets]

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data(), fault=FAULTS, delay=DELAYS, then=FATES)
    def a_call_is_made(self, data: st.DataObject, fault: Any, delay: int, then: str) -> None:
        self.call(data.draw(st.integers(0, len(self.in_hand) - 1)), fault, delay, then)

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
        # After a crash nobody knows of the result; the claim runs out.

    @precondition(lambda self: self.unsettled)
    @rule()
    def a_result_is_recorded_late(self) -> None:
        self.record(*self.unsettled.pop(0))

    def record(self, worker: Worker, result: Result) -> None:
        target = result.target
        [stored] = [t for t in self.store.queries.targets_of([target.event_id]) if t.id == target.id]
        counts = (stored.state, stored.claimed_by, stored.attempts) == ("claimed", worker.id, target.attempts)
        self.store.claims.record_results(worker.id, [result], self.ms)
        [after] = [t for t in self.store.queries.targets_of([target.event_id]) if t.id == target.id]
        assert after.state == (result.state if counts else stored.state)
        if counts and result.state in ("done", "skipped", "cancelled", "failed"):
            self.true_to_conductor(target, "unfit" if result.unfit else result.state)
            self.reference.settled(target, "unfit" if result.unfit else result.state)
        self.compare()

    def true_to_conductor(self, target: Target, state: str) -> None:
        """What is recorded of a target is what Conductor shows."""
        if target.kind == "start":
            assert len(self.started(target.workflow, target.correlation_id)) == (state == "done")
            if state == "skipped":
                there = self.of_one_key(target.workflow, str(target.correlation_id))
                [after] = [t for t in self.store.queries.targets_of([target.event_id]) if t.id == target.id]
                assert after.workflow_id in {workflow.id for workflow in there}
            return
        assert target.task_id is not None
        if target.only_versions is not None and state in ("done", "unfit"):
            version = self.conductor.workflows[str(target.workflow_id)].version
            assert (version in target.only_versions) == (state == "done")
        if state == "unfit":
            return
        named = [
            task
            for task in self.conductor.tasks.values()
            if (task.workflow_id, task.reference_name) == (target.workflow_id, target.reference_name)
        ]
        effect = [task.id for task in named if task.worker_id == target.event_id]
        # One that timed out and its retry may both have been given to the event, which then goes to the newest retry.
        others = self.reference.events[target.event_id].takers.keys() & {task.id for task in named} - {target.task_id}
        assert len(effect) == 1 if state == "done" else len(effect) <= bool(others)
        assert state == "failed" or not self.conductor.tasks[target.task_id].waits

    def name(self, task_id: str) -> tuple[str, str]:
        task = self.conductor.tasks[task_id]
        return task.workflow_id, task.reference_name

    def started(self, name: str, correlation_id: str | None) -> list[SimulatedWorkflow]:
        return [w for w in self.conductor.workflows.values() if (w.name, w.correlation_id) == (name, correlation_id)]

    # --- the end ---

    def finish(self) -> None:
        """Without further faults everything comes to an end, and each effect is there exactly once."""
        if (
            self.definitions.webhooks != ALL
        ):  # new ones have every task looked at again, which may hide what was forgotten
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
        """Whether it is to be decided again, or has a call that is made again, perhaps a minute later."""
        return (event.freed and event.held) or "pending" in (*event.takers.values(), *event.starts.values())

    def ended_well(self, event: RefEvent) -> None:
        """Conductor shows what the event was applied to, once each."""
        assert event.status != "pending"
        completed = [task for task in self.conductor.tasks.values() if task.worker_id == event.id]
        # A task that timed out and its retry are one to the workflow: they have one name, and one effect.
        names = {self.name(task_id) for task_id, state in event.takers.items() if state == "done"}
        assert sorted(map(self.name, (task.id for task in completed))) == sorted(names)
        webhook = next(w for w in ALL if w.name == event.webhook)
        for task in completed:
            assert {key: value for key, value in task.output.items() if key != "_webhook"} == event.payload
            assert ("_webhook" in task.output) == webhook.metadata or webhook.name in self.were_removed
        for key, state in event.starts.items():
            assert len(self.started(*key)) == (state == "done")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of decisions needn't be logged."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.configure(**before)


TestRules = examples(Machine.TestCase)
TestRules.settings = settings(
    max_examples=at_most(150),
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)

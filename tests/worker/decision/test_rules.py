"""The delivery rules as a whole: decider, store, claims and look-ups against a reference, in any
order of events.

A hypothesis state machine plays platforms (events arrive), users (workflows start, end, time out),
other programs (they poll our tasks), the network (answers get lost, calls take effect late), the
clock, and crashes of the worker. After each decision the store must hold what `reference.Rules`
says; at the end Conductor must show each effect exactly once.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from config.webhooks import Definitions
from store.errors import LeadershipLost, StoreUnavailable
from store.records import NewEvent, place_of
from tests.support.examples import at_most, examples
from tests.support.reference import RefEvent
from tests.worker.decision.rules_world import ALL, World
from worker.conductor.errors import ConductorError
from worker.delivery.outcomes import claim_lasts

pytestmark = [pytest.mark.usefixtures("quiet"), pytest.mark.slow]
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
    [
        None,
        None,
        None,
        "bad",
        "not_now",
        "unreachable",
        "lost_before",
        "lost_after",
        "lost_after",
        "late",
        "late",
    ]
)
DELAYS = st.sampled_from([5, 2000, 9999])
FATES = st.sampled_from(["record", "record", "record", "later", "crash"])


class Machine(World):
    """What may happen, in any order."""

    # --- platforms and users ---

    @rule(
        webhook=st.sampled_from("abcdefg"),
        payload=st.sampled_from(PAYLOADS),
        again=st.booleans(),
        wait=st.integers(0, 2),
    )
    def an_event_arrives(
        self, webhook: str, payload: dict[str, Any], again: bool, wait: int
    ) -> None:
        self.ms += wait
        hold = next(int(w.hold * 1000) for w in ALL if w.name == webhook)
        self.seq += 1
        new = NewEvent(
            f"event{self.seq}",
            webhook,
            self.ms,
            json.dumps(payload),
            {},
            {},
            self.ms + hold,
            f"delivery {self.seq}",
        )
        [committed] = self.store.deliveries.append([new])
        assert committed.event_id == new.id
        if again:
            [repeated] = self.store.deliveries.append([replace(new, id=f"{new.id} again")])
            assert repeated.duplicate
            assert repeated.event_id == new.id
        self.reference.events[new.id] = RefEvent(
            self.seq, new.id, webhook, self.ms, new.hold_until, payload
        )

    @rule(back=st.integers(1, 9), which=st.integers(0, 9), goes_round=st.booleans())
    def an_event_is_replayed_to_one_target(self, back: int, which: int, goes_round: bool) -> None:
        """One of the newest events. `goes_round`: then its task's loop comes to the next
        iteration."""
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
            self.conductor.schedule(
                str(only.workflow_id), f"{only.reference_name}__{len(self.conductor.tasks)}", {}
            )

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

    @precondition(lambda self: self.conductor.workflows)
    @rule(data=st.data())
    def a_workflow_ends(self, data: st.DataObject) -> None:
        """But for its tasks, which others may still complete: only a start of the same key looks."""
        self.conductor.workflows[
            data.draw(st.sampled_from(sorted(self.conductor.workflows)))
        ].ended = True

    @precondition(lambda self: self.conductor.workflows)
    @rule(data=st.data(), matches=st.sampled_from(MATCHES), sub=st.booleans())
    def a_workflow_goes_on(self, data: st.DataObject, matches: Any, sub: bool) -> None:
        workflow_id = data.draw(st.sampled_from(sorted(self.conductor.workflows)))
        if sub:
            workflow_id = self.conductor.begin("sub", parent=workflow_id).id
        self.conductor.schedule(workflow_id, f"wait__{len(self.conductor.tasks)}", matches)

    @precondition(lambda self: self.live())
    @rule(data=st.data(), how=st.sampled_from(["CANCELED", "COMPLETED", "TIMED_OUT"]))
    def a_task_ends(self, data: st.DataObject, how: str) -> None:
        task = data.draw(st.sampled_from(self.live()))
        self.conductor.end(task.id, how)
        if how == "TIMED_OUT":  # it is tried again under the same name
            self.conductor.schedule(task.workflow_id, task.reference_name, task.matches)

    @rule(task=st.integers(0, 9), shown=st.booleans())
    def what_has_ended_is_removed(self, task: int, shown: bool) -> None:
        """As in a loop that keeps its last iterations, and by archiving. `shown`: the index still
        knows the task."""
        ended = [one.id for one in self.conductor.tasks.values() if not one.waits]
        newest = ended[-1 - task :][:1]
        self.conductor.removed.update(newest)
        if not shown:
            self.conductor.unindexed.update(newest)
        self.conductor.removed |= {one.id for one in self.conductor.workflows.values() if one.ended}

    @rule(
        events=st.lists(
            st.tuples(st.sampled_from("abbcdefgg"), st.sampled_from(PAYLOADS)),
            min_size=1,
            max_size=2,
        ),
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
        """What single rules would rarely come to: tasks and events, their decision, their calls,
        and what follows."""
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
        """Workflows whose look-ups fail run as an event comes that their tasks match, and heal or
        don't."""
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
        except StoreUnavailable:  # as in Worker._step
            self.worker.end_term()
            self.lead()
            self.search_due = True
        self.conductor.poll_fault, self.store_fault = None, ""
        self.compare()

    @rule()
    def the_worker_discovers(self) -> None:
        before = set(self.leader.decider.tasks.ids())
        self.leader.discover()
        self.leader.inbox.handle()
        live = {task.id for task in self.live()}
        known = set(self.leader.decider.tasks.ids())
        assert not (before - known) & live, "a task that still waits was dropped"
        if self.leader.scanner.searched_to:
            self.index_shows(
                {t.id for t in self.live() if t.status == "IN_PROGRESS" and not self.given(t.id)}
            )

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
        self.lead()
        self.search_due = True
        self.compare()

    @rule()
    def the_worker_hangs_and_another_takes_over(self) -> None:
        old, hung, self.worker = self.worker, self.leader, self.new_worker()
        assert not self.worker.elect()
        self.ms += 6001
        self.conductor.run_late()
        self.lead()
        self.search_due = True
        # It wakes up, polls, and finds that it isn't to decide any more; the index knows what it
        # polled.
        try:
            with self.polls_noticed():
                hung.decide()
        except LeadershipLost:
            pass
        old.end_term()
        assert not old.elect()  # as it asks again: if it couldn't resign, it lets go of its lock
        self.leader.renew()  # its death would be noticed from now on
        self.helper = old
        self.compare()

    # --- calls ---

    @rule(limit=st.integers(1, 3))
    def the_helper_claims(self, limit: int) -> None:
        lease = int(claim_lasts(self.conductor.timeout) * 1000)
        targets = self.store.claims.claim(self.helper.id, self.ms, self.ms - lease, limit)
        events = self.store.queries.events_of([target.event_id for target in targets])
        self.in_hand += [(self.helper, target, events[target.event_id]) for target in targets]

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data(), fault=FAULTS, delay=DELAYS, then=FATES)
    def a_call_is_made(self, data: st.DataObject, fault: Any, delay: int, then: str) -> None:
        self.call(data.draw(st.integers(0, len(self.in_hand) - 1)), fault, delay, then)

        # After a crash nobody knows of the result; the claim runs out.

    @precondition(lambda self: self.unsettled)
    @rule()
    def a_result_is_recorded_late(self) -> None:
        self.record(*self.unsettled.pop(0))


TestRules = examples(Machine.TestCase)
TestRules.settings = settings(
    max_examples=at_most(150),
    stateful_step_count=40,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ],
)

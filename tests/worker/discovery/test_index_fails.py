"""While Conductor's index fails, only events wait whose taker only it may know."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

import pytest

from config.webhooks import Definitions, Webhook
from store.records import NewEvent
from tests.support.clock import Ticking
from tests.support.simulated import Ailment
from tests.support.worker_bench import Bench as LoopBench
from tests.support.worker_bench import leader_of
from worker.conductor.client import HANDED_OUT_WITHIN
from worker.conductor.search import TASK_TYPE
from worker.discovery.barrier import LAG, LONG_WAIT
from worker.discovery.discovery import AGAIN_AFTER, Reconciled
from worker.leader.leader import Leader


class Bench(LoopBench):
    """One worker, at a server whose index has known tasks alone, and whose clock goes when it is
    told to."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.clock = Ticking(1000.0)
        self.source.current = Definitions(
            tuple(
                map(
                    Webhook.model_validate,
                    [
                        {"name": "elsewhere", "receivers": {"another": "any"}},
                        {"name": "w", "receivers": {"flow": "any"}},
                        {"name": "other", "receivers": {"flow": "any"}},
                        {"name": "starts", "starts": [{"workflow": "flow"}]},
                    ],
                )
            )
        )

    def begin(self) -> Leader:
        leader = leader_of(self.deciding())
        leader.decide()
        leader.barrier.found_alone(self.clock.seconds)
        leader.decide()
        return leader

    def task(self, key: str, workflow: str = "flow") -> str:
        return self.conductor.schedule(self.conductor.begin(workflow).id, "wait", {"$.key": key}).id

    def foreign(self, key: str, workflow: str = "flow") -> str:
        """A task that somebody else has polled: only the index knows it."""
        task = self.task(key, workflow)
        self.conductor.tasks[task].status = "IN_PROGRESS"
        self.conductor.tasks[task].started_at = self.conductor.server_time
        return task

    def event(self, webhook: str, key: str = "") -> str:
        now = int(time.time() * 1000)
        id_ = f"event {len(self.made)} {time.perf_counter_ns()}"
        self.store.deliveries.append(
            [NewEvent(id_, webhook, now, json.dumps({"key": key}), {}, {}, now + 600_000)]
        )
        return id_

    def decided(self, *event_ids: str) -> list[bool]:
        events = [self.store.queries.event(event_id) for event_id in event_ids]
        return [event is not None and event.decided_at is not None for event in events]

    def takers(self, event_id: str) -> list[str | None]:
        return [
            target.task_id
            for target in self.store.queries.targets_of([event_id])
            if target.kind == "complete"
        ]

    def hold(self, event_id: str) -> str:
        event = self.store.queries.event(event_id)
        assert event is not None
        return event.hold

    def fail(self, fails: bool = True) -> None:
        self.conductor.cannot = dict.fromkeys(("search", "workflows"), 503) if fails else {}

    def fail_again(self, leader: Leader) -> None:
        """Scans go on failing for longer than events with a known taker wait."""
        for _ in range(3):
            self.clock.seconds += 20
            leader.decide()


def after_holds() -> AbstractContextManager[object]:
    """Holds of events that came before it are over within it."""
    later = time.time() + 700
    return mock.patch.object(time, "time", lambda: later)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_events_without_receivers_and_those_with_a_known_taker_are_decided(bench: Bench) -> None:
    leader = bench.begin()
    known, unknown = bench.task("known"), bench.foreign("unknown")
    bench.fail()
    lacks, starts, taken = (
        bench.event("w", "unknown"),
        bench.event("starts"),
        bench.event("other", "known"),
    )
    leader.decide()
    assert bench.decided(lacks, starts, taken) == [False, True, False], (
        "the index may know another taker"
    )
    bench.fail_again(leader)
    assert bench.decided(lacks, starts, taken) == [False, True, True]
    assert bench.takers(taken) == [known]
    assert bench.store.reports.read().index_fails == "w: 500 not supported"
    bench.fail(False)
    bench.clock.seconds += 20
    leader.decide()
    assert not bench.store.reports.read().index_fails
    assert bench.decided(lacks) == [True]
    assert bench.takers(lacks) == [unknown]


def test_events_of_one_webhook_are_decided_in_order_all_the_same(bench: Bench) -> None:
    leader = bench.begin()
    bench.task("known")
    bench.fail()
    events = [bench.event("w", key) for key in ("known", "nobody", "known", "nobody")]
    bench.fail_again(leader)
    assert bench.decided(*events) == [True, False, False, False]
    late = bench.event("w", "known")
    leader.decide()
    assert bench.decided(late) == [False]
    bench.fail(False)
    bench.clock.seconds += 20
    leader.decide()
    assert bench.decided(*events, late) == [True] * 5


def test_no_hold_ends_before_the_index_has_been_asked(bench: Bench) -> None:
    leader = bench.begin()
    held = bench.event("w", "nobody")
    leader.decide()
    bench.fail()
    with after_holds():
        leader.decide()
        assert bench.hold(held) == "held"
        bench.fail(False)
        bench.clock.seconds += 20
        leader.decide()
        assert bench.hold(held) == "no"


@pytest.mark.parametrize("passes", [20, LONG_WAIT])
def test_no_hold_ends_while_an_index_that_was_never_of_use_gives_no_answer(
    bench: Bench, passes: float
) -> None:
    """A Conductor that is very slow: its queue has been emptied, and nobody knows by whom."""
    leader = leader_of(bench.deciding())
    bench.fail()
    leader.decide()
    task, event = bench.foreign("key"), bench.event("w", "key")
    bench.fail_again(leader)
    assert bench.hold(event) == "held"
    with after_holds():
        bench.fail_again(leader)
        assert bench.hold(event) == "held"
        bench.fail(passes == LONG_WAIT)
        bench.clock.seconds += passes
        leader.decide()
    assert bench.hold(event) == "no"
    assert bench.takers(event) == ([] if passes == LONG_WAIT else [task])


def test_an_event_that_is_decided_after_its_hold_expires_no_sooner_than_one_that_was_held(
    bench: Bench,
) -> None:
    """As it comes out of a backlog, while the index is still too slow to answer."""
    leader = leader_of(bench.deciding())
    bench.fail()
    leader.decide()
    task, event, nobodys = bench.foreign("key"), bench.event("w", "key"), bench.event("w", "nobody")
    with after_holds():
        leader.decide()
        bench.fail_again(leader)
        taken = bench.event("w", "taken")
        bench.task("taken")
        bench.fail_again(leader)
        assert bench.decided(taken) == [True], "it waits for no event that came before it"
        assert [bench.hold(event), bench.hold(nobodys)] == ["held", "held"]
        bench.fail(False)
        bench.clock.seconds += 20
        leader.decide()
    assert bench.takers(event) == [task]
    assert [bench.hold(event), bench.hold(nobodys)] == ["no", "no"]


def discover(leader: Leader) -> None:
    leader.discover()
    leader.inbox.handle()


def leading_without(bench: Bench) -> tuple[Leader, str]:
    """A leader after its first discovery, and a task that came since and that neither queue nor
    index shows."""
    leader = leader_of(bench.deciding())
    leader.decide()
    discover(leader)
    hidden = bench.foreign("key")
    bench.conductor.unindexed = {hidden}
    return leader, hidden


@pytest.mark.parametrize("another_leads", [False, True])
def test_after_an_outage_no_hold_ends_before_all_running_workflows_were_read(
    bench: Bench, another_leads: bool
) -> None:
    """A Conductor that was killed may have handed out tasks that its index never shows."""
    leader, hidden = leading_without(bench)
    held = bench.event("w", "key")
    leader.decide()
    late, nobodys = bench.event("w", "key"), bench.event("w", "nobody")
    bench.conductor.poll_fault = "unreachable"
    leader.step()
    if another_leads:
        bench.made[0].end_term()
        leader = leader_of(bench.deciding())
    with after_holds():
        leader.step()
        leader.step()
        assert [bench.hold(event) for event in (held, late, nobodys)] == ["held"] * 3
        bench.conductor.tasks[hidden].kind = "not shown yet"
        discover(leader)
        leader.decide()
        assert [bench.hold(event) for event in (held, late, nobodys)] == ["held"] * 3
        bench.conductor.tasks[hidden].kind = TASK_TYPE
        bench.clock.seconds += HANDED_OUT_WITHIN + LAG
        discover(leader)
        leader.decide()
        leader.decide()
    assert bench.takers(held) == [hidden]
    assert [bench.hold(event) for event in (late, nobodys)] == ["no"] * 2


def outage(bench: Bench, leader: Leader) -> None:
    """Conductor was away, a minute ago."""
    bench.conductor.poll_fault = "unreachable"
    leader.step()
    leader.step()
    bench.clock.seconds += HANDED_OUT_WITHIN + LAG


@pytest.mark.parametrize(
    ("ailing", "others_end"),
    [
        ({"flow": "500", "another": "500"}, False),
        ({"flow": "500", "another": "403"}, False),
        ({"flow": "500"}, True),
        ({"the workflow": "500"}, True),
    ],
)
def test_what_a_reconciliation_could_not_read_ends_no_hold_after_an_outage(
    bench: Bench, ailing: dict[str, Ailment], others_end: bool
) -> None:
    """At a Conductor that is just up again."""
    leader, hidden = leading_without(bench)
    bench.conductor.begin("another")
    held, nobodys = bench.event("w", "key"), bench.event("elsewhere")
    leader.decide()
    outage(bench, leader)
    workflow = bench.conductor.tasks[hidden].workflow_id
    bench.conductor.ailing = {
        workflow if name == "the workflow" else name: ailment for name, ailment in ailing.items()
    }
    with after_holds():
        leader.decide()
        discover(leader)
        discover(leader)
        bench.event("elsewhere")  # looks again, and no look shows what isn't indexed
        leader.decide()
        assert bench.hold(held) == "held"
        assert (bench.hold(nobodys) == "no") == others_end
        bench.conductor.ailing = {}
        bench.clock.seconds += AGAIN_AFTER
        discover(leader)
        leader.decide()
    assert bench.takers(held) == [hidden]
    assert bench.hold(nobodys) == "no"


def test_a_workflow_that_is_read_a_moment_later_needs_no_other_reconciliation(
    bench: Bench,
) -> None:
    """At a Conductor that is slow, where in each one some reads fail."""
    leader, hidden = leading_without(bench)
    held, nobodys = bench.event("w", "key"), bench.event("w")
    leader.decide()
    outage(bench, leader)
    bench.conductor.ailing = {bench.conductor.tasks[hidden].workflow_id: "hang"}
    with after_holds():
        leader.decide()
        discover(leader)
        leader.decide()
        assert bench.hold(held) == "held"
        bench.conductor.ailing = {}
        bench.clock.seconds += 2
        leader.read_suspects()
        discover(leader)
        leader.decide()
    assert bench.takers(held) == [hidden]
    assert bench.hold(nobodys) == "no"


def test_after_a_leader_died_no_hold_ends_before_all_running_workflows_were_read(
    bench: Bench,
) -> None:
    """Conductor may have died with it, as on a machine that lost power."""
    leader, hidden = leading_without(bench)
    held, nobodys = bench.event("w", "key"), bench.event("w")
    leader.decide()
    leader.end()
    bench.made[0].leader = None
    with after_holds():
        bench.clock.seconds += 700
        leader = leader_of(bench.deciding())
        leader.step()
        leader.step()
        assert bench.hold(held) == "held"
        discover(leader)
        leader.decide()
    assert bench.takers(held) == [hidden]
    assert bench.hold(nobodys) == "no", "the first reconciliation is late enough"


def test_a_receiver_that_is_added_during_a_reconciliation_is_read_too(bench: Bench) -> None:
    leader = leader_of(bench.deciding())
    hidden = bench.foreign("key", "new")
    bench.conductor.unindexed = {hidden}
    leader.decide()
    discover(leader)
    outage(bench, leader)
    held = bench.event("w", "key")
    leader.decide()
    found = leader._discovery.run(leader.scanner.searched_to)
    [ended] = [one for one in found if isinstance(one, Reconciled)]
    bench.source.current = Definitions(
        (Webhook.model_validate({"name": "w", "receivers": {"flow": "any", "new": "any"}}),)
    )
    with after_holds():
        leader.decide()
        leader._handle(ended)
        leader.decide()
        assert bench.hold(held) == "held"
        bench.clock.seconds += AGAIN_AFTER
        discover(leader)
        leader.decide()
    assert bench.takers(held) == [hidden]


def test_a_look_that_has_failed_for_long_ends_no_hold_after_an_outage(bench: Bench) -> None:
    leader = bench.begin()
    bench.fail()
    leader.decide()
    bench.clock.seconds += LONG_WAIT
    leader.decide()
    hidden = bench.foreign("key")
    bench.conductor.unindexed = {hidden}
    held = bench.event("w", "key")
    leader.decide()
    leader.decide()
    bench.conductor.poll_fault = "unreachable"
    leader.step()
    with after_holds():
        leader.step()
        leader.step()
        assert bench.hold(held) == "held"
        bench.fail(False)
        discover(leader)
        leader.decide()
    assert bench.takers(held) == [hidden]


def test_a_running_workflow_that_cannot_be_read_holds_up_only_holds_for_its_kind(
    bench: Bench,
) -> None:
    leader = leader_of(bench.deciding())
    leader.decide()
    bench.conductor.ailing = {bench.conductor.begin("flow").id: "500"}
    bench.conductor.begin("another")
    discover(leader)
    theirs, others = bench.event("w"), bench.event("elsewhere")
    leader.decide()
    with after_holds():
        leader.decide()
    assert [bench.hold(theirs), bench.hold(others)] == ["held", "no"]


def test_a_task_that_was_put_off_and_then_cannot_be_read_is_no_new_one(bench: Bench) -> None:
    """No hold ends that ended before a look showed it."""
    leader = leader_of(bench.deciding())
    bench.fail()
    tasks = [bench.foreign(f"key {number}") for number in range(250)]
    held = bench.event("w", "key 200")
    bench.fail_again(leader)
    bench.conductor.ailing = {tasks[200]: "hang"}
    with after_holds():
        leader.decide()
        bench.fail(False)
        bench.clock.seconds += 20
        leader.decide()
        leader.read_suspects()
        leader.decide()
        assert bench.hold(held) == "held"
        bench.conductor.ailing = {}
        bench.clock.seconds += 2
        leader.read_suspects()
        leader.decide()
    assert bench.takers(held) == [tasks[200]]


def test_tasks_that_cannot_be_read_are_quarantined_and_found_by_the_next_worker(
    bench: Bench,
) -> None:
    leader = bench.begin()
    sick = bench.foreign("sick")
    bench.conductor.ailing = {sick: "garbage"}
    for _ in range(4):
        leader.decide()
        bench.clock.seconds += 20
        leader.read_suspects()
    [shown] = bench.store.quarantine.items("task")
    assert shown.id == sick
    assert shown.tries >= 3
    bench.made[0].end_term()
    bench.conductor.ailing.clear()
    leader = leader_of(bench.deciding())
    leader.decide()
    discover(leader)
    assert bench.state(sick) == "waiting"
    assert bench.store.quarantine.items("task") == []

"""What fails alone while events are decided is set aside, and the rest goes on in order."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from store.errors import LeadershipLost, StoreUnavailable, Unstorable
from store.event_filter import EventFilter
from store.records import Decision, Event, NewTarget, SetAside
from store.sql import rows
from store.sql.event_rows import tasks_of
from store.sqlite.event_rows import SqliteEventRows
from tests.store.contract.makers import ME
from tests.worker.leader.test_decider import SECOND, Bench, settle
from worker.leader import decider as decide
from worker.leader.task_index import TaskIndex, WaitingTask


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    with mock.patch.object(time, "time", lambda: bench.ms / 1000):
        yield bench
    bench.store._connections.close()


@contextmanager
def poison(*event_ids: str, error: type[BaseException] = RuntimeError) -> Iterator[None]:
    """The payload of these events can't be read in a way that nobody foresaw."""
    document = Event.document

    def poisoned(event: Event, metadata: bool = True) -> dict[str, Any]:
        if event.id in event_ids:
            raise error("poison")
        return document(event, metadata)

    with mock.patch.object(Event, "document", poisoned):
        yield


@contextmanager
def refusing(bench: Bench, *event_ids: str) -> Iterator[list[int]]:
    """The store refuses what is decided of these events; the sizes of the batches that it was given."""
    decide_, sizes = bench.store.decisions.decide, list[int]()

    def refuse(holder: str, decisions: Sequence[Decision], expired: Sequence[str], *more: Any) -> Any:
        sizes.append(len(decisions) + len(expired))
        if {*expired, *(decision.event_id for decision in decisions)} & set(event_ids):
            raise Unstorable("too large")
        return decide_(holder, decisions, expired, *more)

    with mock.patch.object(bench.store.decisions, "decide", refuse):
        yield sizes


@contextmanager
def no_target_for(task_id: str) -> Iterator[None]:
    """The store refuses the part of a large decision with this task."""
    add_missing = SqliteEventRows.add_missing

    def refuse(events: SqliteEventRows, transaction: Any, new_rows: Any) -> Any:
        if task_id in tasks_of(new_rows):
            raise Unstorable("too large")
        return add_missing(events, transaction, new_rows)

    with mock.patch.object(SqliteEventRows, "add_missing", refuse):
        yield


def aside(bench: Bench) -> list[tuple[str, str, int]]:
    return [(item.kind, item.id, item.tries) for item in bench.store.quarantine.items()]


def hold(bench: Bench) -> str:
    """An event that is held, and whose workflow runs since before it."""
    event = bench.arrive()
    bench.decide()
    assert bench.event(event).hold == "held"
    return event


# --- events ---


def test_an_event_that_fails_is_set_aside_and_the_others_are_decided_in_order(bench: Bench) -> None:
    tasks = [bench.wait() for _ in range(2)]
    bench.define({"name": "w", "receivers": {"flow": "any"}, "pace": "1/s"})
    first, sick, second = (bench.arrive(n=number) for number in range(3))
    with poison(sick):
        bench.decide()
    assert bench.takers(first) == [task.id for task in tasks]
    assert bench.event(second).hold == "held"
    assert (bench.event(sick).decided_at, bench.event(sick).status) == (None, "pending")
    [item] = bench.store.quarantine.items()
    assert (item.kind, item.id, item.webhook, item.reason) == ("event", sick, "w", "RuntimeError: poison")


def test_it_is_tried_again_ever_more_rarely_for_ever_and_decided_when_it_can_be(bench: Bench) -> None:
    sick = bench.arrive(hold=100_000)
    tries = 0
    with poison(sick):
        bench.decide()
        for _ in range(3000):
            bench.ms += SECOND
            bench.decide()
            [item] = bench.store.quarantine.items()
            tries = item.tries
            assert item.due_at <= bench.ms + 301 * SECOND
    assert 15 < tries < 30
    [item] = bench.store.quarantine.items()
    assert item.since < bench.ms - 2999 * SECOND
    bench.ms += 301 * SECOND
    bench.decide()
    assert (bench.event(sick).hold, bench.store.quarantine.items()) == ("held", [])


def test_one_that_is_set_aside_is_tried_again_by_the_next_worker_too(bench: Bench) -> None:
    task = bench.wait()
    sick = bench.arrive()
    with poison(sick):
        bench.decide()
    bench.restart()
    bench.ms += 2 * SECOND
    bench.decide()
    assert (bench.takers(sick), bench.store.quarantine.items()) == ([task.id], [])


def test_a_paused_webhooks_event_that_was_set_aside_waits_for_the_webhook(bench: Bench) -> None:
    sick = bench.arrive()
    with poison(sick):
        bench.decide()
    bench.store.pauses.pause("w", bench.ms)
    for _ in range(2):
        bench.ms += 2 * SECOND
        bench.decide()
    assert (bench.event(sick).decided_at, bench.store.quarantine.items()) == (None, [])
    bench.store.pauses.resume("w")
    bench.decide()
    assert bench.event(sick).hold == "held"


def test_a_paused_webhooks_held_event_that_was_set_aside_is_held_again_afterwards(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    bench.ms += SECOND
    taken, over = hold(bench), hold(bench)
    with poison(taken, over):
        bench.restart()
    bench.store.pauses.pause("w", bench.ms)
    for _ in range(2):
        bench.ms += 2 * SECOND
        bench.decide()
    assert bench.store.quarantine.items() == []
    bench.store.pauses.resume("w")
    task = bench.wait(workflow=workflow)
    bench.decide()
    assert bench.takers(taken) == [task.id]
    bench.ms += 700 * SECOND
    bench.decide()
    assert bench.event(over).status == "expired"


def test_what_was_set_aside_and_comes_behind_a_refused_decision_is_held_again_afterwards(bench: Bench) -> None:
    gone = bench.wait()
    sick = bench.arrive()
    [(target, _)] = bench.decide()
    late = hold(bench)
    with poison(late):
        bench.restart()
    bench.ms += 2 * SECOND
    settle(bench, target, "cancelled")
    with refusing(bench, sick):
        bench.decide()
    assert aside(bench) == [("event", sick, 1)]
    bench.decide()
    task = bench.wait(workflow=gone.workflow_id)
    bench.decide()
    assert bench.takers(late) == [task.id]


@pytest.mark.parametrize("error", [LeadershipLost, StoreUnavailable])
def test_what_says_nothing_about_the_event_is_raised(bench: Bench, error: type[Exception]) -> None:
    event = bench.arrive()
    with poison(event, error=error), pytest.raises(error):
        bench.decide()
    assert bench.store.quarantine.items() == []


@pytest.mark.parametrize("number", [1, 7, 40])
def test_a_decision_that_the_store_refuses_is_narrowed_down_and_what_follows_is_decided_anew(
    bench: Bench, number: int
) -> None:
    """The event that was refused gives its task to the next one."""
    events = [bench.arrive(n=place) for place in range(number)]
    task = bench.wait({"$.go": 1})
    sick, next_one = bench.arrive(go=1), bench.arrive(go=1)
    task.scheduled_at = bench.ms
    with refusing(bench, sick) as sizes:
        bench.decide()
        assert bench.decider.unfinished
        bench.decide()
    assert bench.takers(next_one) == [task.id]
    assert aside(bench) == [("event", sick, 1)]
    assert all(bench.event(event).hold == "held" for event in events)
    assert len(sizes) < 20
    assert not bench.decider.unfinished


def test_a_held_event_whose_payload_cannot_be_read_is_passed_over_and_taken_later(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    bench.ms += SECOND
    sick, well = hold(bench), hold(bench)
    bench.ms += SECOND
    task = bench.wait(workflow=workflow)
    with poison(sick):
        bench.restart()
        bench.decide()
    assert bench.takers(well) == [task.id]
    assert aside(bench) == [("event", sick, 1)]
    assert bench.event(sick).hold == "aside"
    bench.ms += 2 * SECOND
    late = bench.wait(workflow=workflow)
    bench.decide()
    assert (bench.takers(sick), bench.store.quarantine.items()) == ([late.id], [])


def test_a_freed_event_that_fails_is_set_aside_and_free_again_later(bench: Bench) -> None:
    gone = bench.wait()
    event = bench.arrive()
    [(target, _)] = bench.decide()
    settle(bench, target, "cancelled")
    with poison(event):
        bench.decide()
    assert bench.event(event).hold == "aside"
    assert bench.store.decisions.agenda(9).freed == []
    bench.ms += 2 * SECOND
    task = bench.wait(workflow=gone.workflow_id)
    bench.decide()
    assert bench.takers(event) == [gone.id, task.id]


def test_a_hold_whose_end_is_refused_holds_up_no_others_end(bench: Bench) -> None:
    events = [bench.arrive(hold=5) for _ in range(5)]
    bench.decide()
    bench.ms += 6 * SECOND
    with refusing(bench, events[2]):
        for _ in range(2):
            bench.decide()
    assert [bench.event(event).status for event in events] == ["expired", "expired", "pending", "expired", "expired"]
    assert aside(bench) == [("event", events[2], 1)]
    bench.ms += 2 * SECOND
    bench.decide()
    assert (bench.event(events[2]).status, bench.store.quarantine.items()) == ("expired", [])


def test_what_a_worker_reads_as_it_begins_is_narrowed_down_too(bench: Bench) -> None:
    sick, well = hold(bench), hold(bench)
    with poison(sick):
        bench.restart()
    assert [event.id for event in bench.store.decisions.held(0, 9)] == [well]
    assert aside(bench) == [("event", sick, 1)]


@contextmanager
def no_room_aside_for(bench: Bench, *event_ids: str) -> Iterator[list[int]]:
    """The store refuses to set these events aside; the time of each such try."""
    set_aside, tries = bench.store.quarantine.set_aside, list[int]()

    def refuse(items: Sequence[SetAside]) -> None:
        if {item.id for item in items} & set(event_ids):
            tries.append(bench.ms)
            raise Unstorable("too large")
        set_aside(items)

    with mock.patch.object(bench.store.quarantine, "set_aside", refuse):
        yield tries


def test_an_event_that_can_be_neither_decided_nor_set_aside_holds_up_none_that_comes_after_it(bench: Bench) -> None:
    task = bench.wait()
    sick, well = bench.arrive(), bench.arrive()
    with refusing(bench, sick), no_room_aside_for(bench, sick) as tries:
        bench.decide()
        assert bench.decider.unfinished
        bench.decide()
        assert not bench.decider.unfinished
        assert bench.takers(well) == [task.id]
        for _ in range(3000):
            bench.ms += SECOND
            bench.decide()
        assert len(tries) < 30, "it is tried ever more rarely"
        bench.ms += 301 * SECOND
    bench.decide()
    assert bench.event(sick).hold == "no"


@pytest.mark.parametrize("state", ["undecided", "held", "freed"])
def test_an_event_that_fails_and_cannot_be_set_aside_is_tried_again_at_its_times(bench: Bench, state: str) -> None:
    workflow = bench.conductor.begin("flow").id
    bench.ms += SECOND
    if state == "freed":
        bench.wait(workflow=workflow)
    sick = bench.arrive(hold=10_000)
    if state != "undecided":
        for target, _ in bench.decide():
            settle(bench, target, "cancelled")
    with poison(sick), no_room_aside_for(bench, sick) as tries:
        if state == "held":
            bench.restart()
        for _ in range(300):
            bench.ms += SECOND
            bench.decide()
    assert 2 < len(tries) < 20
    bench.ms += 301 * SECOND
    bench.decide()
    assert bench.event(sick).hold == "held"
    bench.conductor.schedule(workflow, "again", {})
    bench.decide()
    assert len(bench.takers(sick)) == (2 if state == "freed" else 1)


def test_a_decision_in_parts_that_can_be_neither_written_nor_set_aside_is_tried_again_at_its_times(
    bench: Bench,
) -> None:
    tasks = [bench.wait() for _ in range(5)]
    sick = bench.arrive()
    with no_target_for(tasks[1].id), no_room_aside_for(bench, sick) as tries:
        with mock.patch("worker.leader.plan.STEP", 3):
            bench.decide()
        for _ in range(300):
            bench.ms += SECOND
            bench.decide()
        assert 2 < len(tries) < 20
    bench.ms += 301 * SECOND
    for _ in range(3):
        bench.decide()
    assert bench.takers(sick) == [task.id for task in tasks]


# --- tasks ---


@contextmanager
def no_room_for(*task_ids: str) -> Iterator[None]:
    add = TaskIndex.add

    def refuse(index: TaskIndex, task: WaitingTask) -> None:
        if task.id in task_ids:
            raise TypeError("unhashable")
        add(index, task)

    with mock.patch.object(TaskIndex, "add", refuse):
        yield


def test_a_task_that_cannot_be_used_is_set_aside_and_the_others_take_what_comes(bench: Bench) -> None:
    sick, well = bench.wait(), bench.wait()
    event = bench.arrive()
    with no_room_for(sick.id):
        bench.decide()
        assert bench.takers(event) == [well.id]
        bench.ms += 2 * SECOND
        bench.decide()
    assert aside(bench) == [("task", sick.id, 2)]
    bench.ms += 2 * SECOND
    bench.decide()
    assert sick.id in bench.decider.tasks
    assert bench.store.quarantine.items() == []


def test_a_task_whose_look_for_held_events_fails_takes_one_at_its_next_try(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    bench.ms += SECOND
    first, second = hold(bench), hold(bench)
    sick, well = bench.wait(workflow=workflow), bench.wait(workflow=workflow)
    oldest_for = bench.decider.held._oldest_for

    def fail(task: WaitingTask, plan: Any) -> Any:
        if task.id == sick.id:
            raise RuntimeError
        return oldest_for(task, plan)

    with mock.patch.object(bench.decider.held, "_oldest_for", fail):
        bench.decide()
    assert (bench.takers(first), aside(bench)) == ([well.id], [("task", sick.id, 1)])
    bench.ms += SECOND
    bench.decide()
    assert (bench.takers(second), bench.store.quarantine.items()) == ([sick.id], [])


def test_a_task_that_was_set_aside_and_has_ended_is_forgotten(bench: Bench) -> None:
    sick = bench.wait()
    with no_room_for(sick.id):
        bench.decide()
    bench.store.tasks.drop(ME, [sick.id], bench.ms)
    bench.decider.drop_tasks([sick.id])
    bench.decide()
    assert bench.store.quarantine.items() == []
    bench.ms += 10 * SECOND
    bench.decide()
    assert sick.id not in bench.decider.tasks


def test_a_path_that_cannot_be_evaluated_selects_nothing_and_holds_up_nobody(bench: Bench) -> None:
    sick, well = bench.wait({"$.sick": 1}), bench.wait({"$.n": 1})
    key = decide.Document.keys.__globals__["comparison_key"]

    def fail(value: Any) -> Any:
        if value == "poison":
            raise RuntimeError
        return key(value)

    event = bench.arrive(n=1, sick="poison")
    with (
        mock.patch("worker.leader.task_index.comparison_key", fail),
        mock.patch("worker.leader.held_index._signature", lambda _: 0),
    ):
        bench.decide()
    assert bench.takers(event) == [well.id]
    assert sick.id in bench.decider.tasks


def test_what_another_set_aside_is_left_alone(bench: Bench) -> None:
    """Discovery has suspects of its own."""
    item = SetAside("task", "t9", None, "500", bench.ms, 3, bench.ms - 1)
    bench.store.quarantine.set_aside([item])
    bench.arrive()
    bench.decide()
    assert bench.store.quarantine.items() == [item]


def test_the_end_of_an_undefined_webhooks_event_may_be_refused_too(bench: Bench) -> None:
    sick, well = bench.arrive("unknown", hold=1), bench.arrive("unknown", hold=1)
    bench.ms += 61 * SECOND
    with refusing(bench, sick):
        for _ in range(2):
            bench.decide()
    assert (bench.event(well).status, aside(bench)) == ("expired", [("event", sick, 1)])
    bench.ms += 2 * SECOND
    bench.decide()
    assert (bench.event(sick).status, bench.store.quarantine.items()) == ("expired", [])


def test_a_decision_with_very_many_targets_may_be_refused_too(bench: Bench) -> None:
    bench.define({"name": "w", "receivers": {"flow": "any"}}, {"name": "v", "receivers": {"sub": "any"}})
    for _ in range(5):
        bench.wait()
    other = bench.wait(name="sub")
    sick, well = bench.arrive(), bench.arrive("v")
    refuse = mock.patch.object(bench.store.large_decisions, "record", side_effect=Unstorable("too large"))
    with mock.patch("worker.leader.plan.STEP", 3), refuse:
        for _ in range(2):
            bench.decide()
    assert (bench.takers(well), aside(bench)) == ([other.id], [("event", sick, 1)])
    bench.ms += 2 * SECOND
    bench.decide()
    assert (len(bench.takers(sick)), bench.store.quarantine.items()) == (5, [])


def test_a_decision_whose_targets_cannot_be_written_holds_up_no_other_with_very_many(bench: Bench) -> None:
    bench.define({"name": "w", "receivers": {"flow": "any"}}, {"name": "v", "receivers": {"sub": "any"}})
    tasks = [bench.wait() for _ in range(5)]
    others = [bench.wait(name="sub") for _ in range(5)]
    sick, well = bench.arrive(), bench.arrive("v")
    targets_in = rows.targets_in

    def garbled(part: str) -> list[NewTarget]:
        if tasks[0].id in part:
            raise ValueError("garbled")
        return targets_in(part)

    with mock.patch("worker.leader.plan.STEP", 3), mock.patch.object(rows, "targets_in", garbled):
        for _ in range(3):
            bench.decide()
        assert (len(bench.takers(well)), bench.takers(sick)) == (len(others), [])
        assert aside(bench) == [("event", sick, 1)]
        assert not bench.decider.unfinished, "it isn't tried again at once"
        bench.restart()
        assert bench.event(sick).hold == "writing"
        bench.ms += 60 * SECOND
        bench.decide()
        assert aside(bench) == [("event", sick, 3)]
    bench.ms += 60 * SECOND
    for _ in range(3):
        bench.decide()
    assert (bench.takers(sick), bench.store.quarantine.items()) == ([task.id for task in tasks], [])
    assert bench.event(sick).hold == "no"


def test_tasks_of_a_decision_that_cannot_be_written_go_to_no_other_event_under_the_next_worker(bench: Bench) -> None:
    tasks = [bench.wait() for _ in range(5)]
    sick = bench.arrive()
    with no_target_for(tasks[1].id):
        with mock.patch("worker.leader.plan.STEP", 3), mock.patch.object(rows, "PART", 2):
            for _ in range(3):
                bench.decide()
        assert (aside(bench), bench.takers(sick)) == ([("event", sick, 1)], [])
        bench.restart()
        bench.ms += SECOND
        other = bench.arrive()
        bench.decide()
        assert (bench.takers(other), bench.event(other).hold) == ([], "held")
    bench.ms += 60 * SECOND
    for _ in range(4):
        bench.decide()
    assert bench.takers(sick) == [task.id for task in tasks]
    assert (bench.event(sick).hold, bench.event(other).hold, bench.store.quarantine.items()) == ("no", "held", [])


@pytest.mark.parametrize("column", ["headers", "query"])
@pytest.mark.parametrize("undecided", [True, False])
def test_an_event_whose_row_cannot_be_read_is_set_aside_and_the_others_are_decided(
    bench: Bench, column: str, undecided: bool
) -> None:
    sick = bench.arrive() if undecided else hold(bench)
    garble(bench, f"UPDATE events SET {column} = '{{' WHERE id = ?", sick)
    well = bench.arrive()
    bench.restart()
    bench.decide()
    assert bench.event(well).hold == "held"
    assert aside(bench) == [("event", sick, 1)]
    assert "can't be read" in bench.store.quarantine.items()[0].reason
    garble(bench, f"UPDATE events SET {column} = '{{}}' WHERE id = ?", sick)
    bench.ms += 2 * SECOND
    bench.decide()
    assert (bench.event(sick).hold, bench.store.quarantine.items()) == ("held", [])


FOREIGN = ["headers = CAST(x'7bff7d' AS TEXT)", "payload = CAST(x'7bff7d' AS TEXT)", "query = x'ff'"]
"""What another program might have written: SQLite takes it for a text."""


@pytest.mark.parametrize("column", [*FOREIGN, "received_at = 'soon'", "hold_until = x'ff'", "settled_at = 'soon'"])
@pytest.mark.parametrize("undecided", [True, False])
def test_an_event_in_whose_row_is_what_no_bridge_wrote_is_set_aside_and_the_others_are_decided(
    bench: Bench, column: str, undecided: bool
) -> None:
    sick = bench.arrive() if undecided else hold(bench)
    garble(bench, f"UPDATE events SET {column} WHERE id = ?", sick)
    well = bench.arrive()
    bench.restart()
    bench.decide()
    assert bench.event(well).hold == "held"
    assert aside(bench) == [("event", sick, 1)]
    assert "can't be read" in bench.store.quarantine.items()[0].reason
    assert len(bench.store.queries.events(EventFilter())) == 2


def test_an_event_whose_hold_is_none_holds_up_no_other(bench: Bench) -> None:
    sick, well = hold(bench), hold(bench)
    garble(bench, "UPDATE events SET held = 77 WHERE id = ?", sick)
    bench.restart()
    bench.decide()
    assert [event.id for event in bench.store.decisions.held(0, 9)] == [well]
    assert len(bench.store.queries.events(EventFilter())) == 2


FOREIGN_TASK = [
    "matches = CAST(x'7bff7d' AS TEXT)",
    "matches = x'ff'",
    "id = CAST(id || x'ff' AS TEXT)",
    "workflow = CAST(x'ff' AS TEXT)",
    "scheduled_at = 'soon'",
    "response_timeout = x'ff'",
]


@pytest.mark.parametrize("column", FOREIGN_TASK)
def test_a_task_in_whose_row_is_what_no_bridge_wrote_is_broken_and_the_others_wait(bench: Bench, column: str) -> None:
    sick, well = bench.wait(), bench.wait()
    bench.decide()
    garble(bench, f"UPDATE tasks SET {column} WHERE id = ?", sick.id)
    with mock.patch.object(decide, "_PAGE", 2):
        bench.restart()
    event = bench.arrive()
    bench.decide()
    assert bench.takers(event) == [well.id]
    assert len(bench.store.queries.waiting_tasks()) == 1


def test_targets_in_whose_rows_is_what_no_bridge_wrote_keep_no_others_from_being_claimed(bench: Bench) -> None:
    for column in ("error = CAST(x'ff' AS TEXT)", "only_versions = x'ff'", "task_id = CAST(x'ff' AS TEXT)"):
        bench.wait()
        event = bench.arrive()
        bench.decide()
        garble(bench, f"UPDATE targets SET {column}, state = 'pending' WHERE event_id = ?", event)
    assert len(bench.store.claims.claim("me", bench.ms + 10, 0, 9)) == 3


def test_a_task_whose_row_cannot_be_read_is_broken_and_the_others_wait(bench: Bench) -> None:
    sick, well = bench.wait(), bench.wait()
    bench.decide()
    garble(bench, "UPDATE tasks SET matches = 'nonsense' WHERE id = ?", sick.id)
    bench.restart()
    event = bench.arrive()
    bench.decide()
    assert bench.takers(event) == [well.id]
    found = bench.store.queries.task(sick.id)
    assert found is not None and found.broken is not None and "can't be read" in found.broken


def garble(bench: Bench, sql: str, id_: str) -> None:
    with bench.store._connections.transaction() as db:
        db.execute(sql, (id_,))

"""Whatever text and numbers come from Conductor or the relay: the store takes them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store.delivery_records import WithoutEvent
from store.records import Change, Result, SetAside, Workflow
from store.reports import Reports
from store.sql.store import Store
from tests.support.deciding import adopt
from tests.support.makers import (
    ME,
    NOW,
    arrive,
    decide,
    event,
    ids,
    new_event,
    return_tasks,
    start,
    task,
)

HALF = "half \ud83d and \udca9 of two"
KEPT = "half \ufffd and \ufffd of two"
NUL = "a\0b"


def test_criteria_are_compared_as_they_came_also_after_the_store(
    store: Store, other: Store
) -> None:
    odd = {f"$['{HALF}']": HALF, "$.nul": NUL, "$.deep": [{HALF: 1}], "$.emoji": "💩"}
    [fresh] = adopt(store, ME, [task(matches=odd, broken=f"no path: {HALF}")], NOW)
    [found] = other.queries.waiting_tasks()
    assert fresh.matches == found.matches == odd
    assert found.broken == f"no path: {KEPT}"
    assert other.queries.broken_tasks() == [found]


def test_a_task_is_known_by_the_names_under_which_it_is_read_again(store: Store) -> None:
    odd = replace(
        task(),
        id=f"t{HALF}",
        workflow_id=f"w{NUL}",
        workflow=HALF,
        reference_name=HALF + NUL,
        domain=HALF,
    )
    [fresh] = adopt(store, ME, [odd, task(2)], NOW)[:1]
    assert store.queries.task(fresh.id) == fresh
    assert store.queries.task(odd.id.replace(NUL, "")) == fresh
    assert (fresh.workflow, fresh.domain) == (KEPT, KEPT)
    assert adopt(store, ME, [odd], NOW) == [], "it is known"
    return_tasks(store, replace(odd, id=f"u{NUL}{HALF}"))
    [returned] = store.decisions.agenda(9).returned
    assert store.queries.task(returned.id) == returned
    store.tasks.wait_again(ME, [returned.id])
    store.tasks.drop(ME, [odd.id], NOW)
    assert store.queries.task(fresh.id).state == "gone"  # type: ignore[union-attr]


def test_an_answer_of_conductors_that_is_no_text_is_recorded(store: Store) -> None:
    decide(store, arrive(store), replace(start(), correlation_id=HALF, workflow=HALF), claim=0)
    [target] = store.claims.claim("me", NOW, 0, 1)
    assert target.workflow == KEPT
    store.claims.record_results("me", [Result(target, "failed", HALF, workflow_id=HALF)], NOW)
    [target] = store.queries.targets_of(["e1"])
    assert (target.state, target.error, target.workflow_id) == ("failed", KEPT, KEPT)
    store.quarantine.set_aside([SetAside("target", HALF, HALF, HALF, NOW, 1, NOW)])
    assert store.quarantine.items(ids=[HALF])[0].reason == KEPT
    store.reports.write(Reports(conductor=HALF))
    assert store.reports.read().conductor == KEPT


@pytest.mark.parametrize(
    ("odd", "kept"),
    [
        *(
            (text, text)
            for text in (
                "",
                "null",
                "NULL",
                "{a,b}",
                '"',
                "\\",
                'a\\"b',
                "it's",
                "%s %",
                "a\nb\t",
                " é💩 ",
            )
        ),
        (HALF, KEPT),
        (f'\\{HALF}"', f'\\{KEPT}"'),
    ],
)
def test_a_decision_and_its_result_keep_text_to_the_letter(
    store: Store, odd: str, kept: str
) -> None:
    plain, others = start(), replace(start(2), workflow=odd, correlation_id=odd, input=odd)
    claimed = decide(store, arrive(store), plain, others, claim=2)
    assert [(target.workflow, target.correlation_id) for target in claimed] == [
        ("flow", "start#1"),
        (kept, kept),
    ]
    assert [target.input for target in claimed] == [None, kept]
    results = [Result(target, "failed", odd, workflow_id=odd or None) for target in claimed]
    store.claims.record_results("me", results, NOW)
    found = store.queries.targets_of(["e1"])
    assert [(target.error, target.workflow_id) for target in found] == [(kept, kept or None)] * 2


def test_what_is_accepted_is_known_again_by_a_delivery_id_that_is_no_text(store: Store) -> None:
    for odd in (HALF, f"{HALF}{NUL}"):
        first, again = (
            store.deliveries.append([new_event(f"{number}{len(odd)}", delivery_id=odd)])[0]
            for number in range(2)
        )
        assert not first.duplicate
        assert again.duplicate
        assert again.event_id == first.event_id
    store.without_events.record([WithoutEvent("w", NOW, 401, HALF, HALF)], {("w", "rejected"): 1})
    assert store.without_events.rejections()[0].reason == KEPT
    store.changes.record(Change(NOW, HALF, "edited", "w", HALF))
    assert store.changes.newest()[0].detail == KEPT


def test_nothing_is_found_under_a_name_that_is_no_text(store: Store) -> None:
    assert store.queries.event(HALF) is None
    assert store.queries.task(HALF) is None
    assert store.queries.waiting_tasks(workflow=HALF) == []
    assert store.queries.events_of([HALF]) == {}


def test_an_item_whose_id_contains_nul_is_taken_back_and_no_other(store: Store) -> None:
    names = [f"w{NUL}", "wa"]
    store.quarantine.set_aside(
        [SetAside("workflow", name, None, "why", NOW, 3, NOW) for name in names]
    )
    store.quarantine.take_back("workflow", names[:1])
    assert ids(store.quarantine.items("workflow")) == names[1:]


@pytest.mark.parametrize("odd", [9_999_999_999, 2**63, 2**100, -1])
def test_numbers_beyond_what_a_store_keeps_are_its_bounds(store: Store, odd: int) -> None:
    [fresh] = adopt(store, ME, [task(response_timeout=odd, scheduled_at=odd)], NOW)
    assert store.queries.task("t1") == fresh
    assert fresh.response_timeout == (2**31 - 1 if odd > 0 else 0)
    assert fresh.scheduled_at == max(0, min(odd, 2**63 - 1))
    store.workflows.remember([Workflow("w1", odd, "w1", odd, HALF)])
    found = store.workflows.find("w1")
    assert found is not None
    assert found.version == fresh.response_timeout
    assert found.root_started_at == fresh.scheduled_at
    assert event(store, arrive(store)).status == "pending", "others go on"

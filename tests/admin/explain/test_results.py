"""Two hundred tasks that differ in one thing are one line of the answer."""

from __future__ import annotations

from unittest import mock

from admin.explain.results import Comparison, Verdict, answer, shown_first
from criteria.matches import Criterion


def compared(
    workflow: str, verdict: Verdict, *, ref: bool = False, action: bool = True
) -> Comparison:
    criteria = (
        Criterion("$.ref", "main", ["dev"], ref),
        Criterion("$.action", "opened", ["opened"], action),
    )
    return Comparison(mock.Mock(), mock.Mock(workflow=workflow), verdict, "a reason", criteria)


def test_tasks_that_differ_alike_are_told_once() -> None:
    tasks = [compared("deploy", "differs")] * 200 + [compared("audit", "out of reach")] * 201
    assert answer(tasks) == "No waiting task took it: 200 tasks of deploy differ in $.ref."
    assert shown_first(tasks) == ([(tasks[0], 200)], 201)


def test_a_few_are_told_one_by_one() -> None:
    tasks = [
        compared("deploy", "differs"),
        compared("deploy", "differs"),
        compared("b", "differs", ref=True, action=False),
    ]
    assert [number for _, number in shown_first(tasks)[0]] == [1, 1, 1]
    assert (
        answer(tasks)
        == "No waiting task took it: 2 tasks of deploy differ in $.ref; the task of b differs in $.action."
    )
    assert answer([*tasks, compared("c", "differs")]).endswith(
        "; the task of b differs in $.action; and 1 more."
    )


def test_who_matches_but_is_out_of_reach_is_told() -> None:
    forgotten = compared("deploy", "out of reach", ref=True)
    assert shown_first([forgotten]) == ([(forgotten, 1)], 0)
    assert answer([forgotten]) == "No waiting task took it: the task of deploy is out of reach."
    assert answer([compared("deploy", "out of reach")]).endswith(
        "all 1 that were compared are out of reach."
    )
    assert answer([]) == "No task is known to be waiting."


def test_takers_come_first() -> None:
    tasks = [compared("deploy", "taken", ref=True)] * 2 + [compared("deploy", "differs")] * 9
    assert answer(tasks) == "This event took 2 tasks of deploy; 9 tasks of deploy differ in $.ref."

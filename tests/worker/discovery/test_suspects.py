"""Items that can't be read are tried again, each at its own times."""

from __future__ import annotations

from worker.discovery.suspects import SHOWN_AFTER, Suspect, Suspects, patience


def suspects() -> Suspects:
    return Suspects(lambda tries: float(tries))


def test_a_suspect_is_due_again_later_after_each_failure() -> None:
    all_ = suspects()
    all_.failed("task", "t1", "500", 10)
    assert all_.due(10.9, 5) == []
    assert all_.due(11, 5) == [Suspect("task", "t1", "500", 10, 1, 11)]
    all_.failed("task", "t1", "403", 11)
    assert all_.due(13, 5) == [Suspect("task", "t1", "403", 10, 2, 13)]


def test_those_that_have_waited_longest_come_first_and_only_so_many() -> None:
    all_ = suspects()
    for number, at in enumerate([5, 3, 4]):
        all_.failed("workflow", f"w{number}", "500", at)
    assert [item.id for item in all_.due(100, 2)] == ["w1", "w2"]


def test_what_could_be_read_is_forgotten() -> None:
    all_ = suspects()
    all_.failed("task", "t1", "500", 0)
    all_.failed("workflow", "t1", "500", 0)
    all_.read("task", ["t1", "t2"])
    assert ("task", "t1") not in all_
    assert ("workflow", "t1") in all_


def test_people_are_told_of_what_goes_on_failing_and_of_its_end() -> None:
    all_ = suspects()
    for number in range(SHOWN_AFTER - 1):
        all_.failed("task", "t1", "500", number)
    assert all_.news() == ([], [])
    all_.failed("task", "t1", "500", 10)
    show, gone = all_.news()
    assert ([item.id for item in show], gone) == (["t1"], [])
    assert all_.news() == (show, gone), "until it is told"
    all_.told(show, gone)
    assert all_.news() == ([], [])
    all_.failed("task", "t1", "500", 20)
    assert [item.tries for item in all_.news()[0]] == [SHOWN_AFTER + 1]
    all_.read("task", ["t1"])
    assert all_.news() == ([], [("task", "t1")])
    all_.told([], [("task", "t1")])
    assert all_.news() == ([], [])


def test_what_the_worker_before_has_set_aside_is_tried_at_once_and_its_end_told() -> None:
    all_ = suspects()
    all_.remember("task", "t1", "500", 3, 10)
    assert [item.id for item in all_.due(10, 5)] == ["t1"]
    assert all_.news() == ([], [])
    all_.read("task", ["t1"])
    assert all_.news() == ([], [("task", "t1")])


def test_an_answer_is_waited_for_longer_at_each_try() -> None:
    assert [patience(tries) for tries in range(6)] == [1, 2, 4, 8, 16, 16]

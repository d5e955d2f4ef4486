"""Reading Conductor's index page by page, against a stand-in on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.worker.conductor.stand_in import POLLED, Answer, Request, StandIn
from worker.conductor.client import Conductor
from worker.conductor.errors import OutcomeUnknown
from worker.conductor.responses import Unreadable
from worker.conductor.server import Server


def paged(server: StandIn, page: int) -> Conductor:
    return Conductor(Server(server.url), 30, page=page)


def test_a_search_pages_by_the_start_of_the_last_and_within_one_moment_by_number(
    server: StandIn, conductor: Conductor
) -> None:
    starts = [10, 20, 20, 20, 20, 20, 30]
    tasks: list[dict[str, Any]] = [{**POLLED, "taskId": f"t{n}", "startTime": at} for n, at in enumerate(starts)]

    def found_by(asked: Request) -> Answer:
        [query], [first] = asked.query["query"], asked.query["start"]
        assert "taskType='WAIT_FOR_WEBHOOK' AND status='IN_PROGRESS'" in query
        assert asked.query["sort"] == ["startTime:ASC"]
        since = int(query.rpartition(">")[2])
        found = [task for task in tasks if task["startTime"] > since]
        return Answer({"results": found[int(first) : int(first) + 3]})

    server.answers = [found_by]
    found = [task.id for page in paged(server, 3).waiting_since(0) for task in page]
    assert found == ["t0", "t1", "t2", "t3", "t4", "t5", "t6"]
    assert len(server.requests) < 8


def test_a_search_leaves_out_what_the_index_shows_as_ended(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"results": [POLLED, {**POLLED, "taskId": "t2", "status": "COMPLETED"}]})]
    [page] = conductor.waiting_since(0)
    assert [(task.id, task.found_by) for task in page] == [("t1", "index")]


def test_tasks_that_ended_are_found_by_their_end(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"results": [{"taskId": "t1"}, {"taskId": "t2"}]})]
    assert conductor.ended_since(5) == {"t1", "t2"}
    assert server.last.path == "/api/tasks/search"
    assert server.last.query["query"] == ["taskType='WAIT_FOR_WEBHOOK' AND endTime>5"]


def test_a_task_that_goes_on_has_not_ended_whatever_its_end_says(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"results": [{"taskId": "t1", "status": "IN_PROGRESS"}]})]
    assert conductor.ended_since(5) == set()


def test_summaries_give_ids_and_names_and_page_by_times_as_texts(server: StandIn, conductor: Conductor) -> None:
    def found_by(asked: Request) -> Answer:
        since = int(asked.query["query"][0].rpartition(">")[2])
        found = [
            {
                "taskId": f"t{second}",
                "workflowType": "flow" if second % 2 else None,
                "status": "IN_PROGRESS",
                "startTime": f"2026-11-25T01:30:0{second}.020Z",
            }
            for second in range(5)
            if 1795570200020 + 1000 * second > since
        ]
        return Answer({"results": found[: int(asked.query["size"][0])]})

    server.answers = [found_by]
    found = [item for page in paged(server, 3).waiting_ids_since(0) for item in page.items()]
    assert found == [("t0", ""), ("t1", "flow"), ("t2", ""), ("t3", "flow"), ("t4", "")]
    assert {request.path for request in server.requests} == {"/api/tasks/search"}


def listing(tasks: list[dict[str, Any]], sick: set[str]) -> Callable[[Request], Answer]:
    """Answers searches among these tasks, and 500 to each page that has a sick one; ids can be had of all."""

    def found_by(asked: Request) -> Answer:
        [query], [first], [size] = asked.query["query"], asked.query["start"], asked.query["size"]
        since = int(query.rpartition(">")[2])
        found = [task for task in tasks if task["startTime"] > since][int(first) : int(first) + int(size)]
        if asked.path.endswith("v2") and any(task["taskId"] in sick for task in found):
            return Answer({"message": "Error"}, 500)
        return Answer({"results": found})

    return found_by


@pytest.mark.parametrize("starts", [list(range(10, 30)), [10] * 20, [10, 11] * 10])
def test_a_page_that_cannot_be_had_is_narrowed_down_to_the_task_that_is_to_blame(
    server: StandIn, conductor: Conductor, starts: list[int]
) -> None:
    tasks = [{**POLLED, "taskId": f"t{n:02}", "startTime": at} for n, at in enumerate(sorted(starts))]
    server.answers = [listing(tasks, {"t03", "t04", "t19"})]
    unreadable: list[Unreadable] = []
    found = [task.id for page in paged(server, 8).waiting_since(0, unreadable) for task in page]
    assert sorted(set(found)) == [f"t{n:02}" for n in range(20) if n not in (3, 4, 19)]
    assert {(item.id, item.workflow) for item in unreadable} == {(id_, "flow") for id_ in ("t03", "t04", "t19")}


def test_a_search_that_fails_for_any_task_is_not_narrowed(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"message": "not supported"}, 500)]
    with pytest.raises(OutcomeUnknown):
        list(conductor.waiting_since(0))
    assert len(server.requests) == 2


def test_a_search_is_narrowed_only_so_often(server: StandIn, conductor: Conductor) -> None:
    tasks = [{**POLLED, "taskId": f"t{n:03}", "startTime": n + 1} for n in range(300)]
    server.answers = [listing(tasks, {task["taskId"] for task in tasks})]
    with pytest.raises(OutcomeUnknown):
        list(conductor.waiting_since(0))

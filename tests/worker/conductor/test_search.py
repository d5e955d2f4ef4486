"""Reading Conductor's index page by page, against a stand-in on this machine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.stand_in import POLLED, Answer, Request, StandIn
from worker.conductor.client import Conductor
from worker.conductor.server import Server


def paged(server: StandIn, page: int) -> Conductor:
    return Conductor(Server(server.url), 30, page=page)


def test_a_search_pages_by_the_start_of_the_last_and_within_one_moment_by_number(
    server: StandIn, conductor: Conductor
) -> None:
    starts = [10, 20, 20, 20, 20, 20, 30]
    tasks: list[dict[str, Any]] = [
        {**POLLED, "taskId": f"t{n}", "startTime": at} for n, at in enumerate(starts)
    ]

    def found_by(asked: Request) -> Answer:
        [query], [first] = asked.query["query"], asked.query["start"]
        assert "taskType='WAIT_FOR_WEBHOOK' AND status='IN_PROGRESS'" in query
        assert asked.query["sort"] == ["startTime:ASC"]
        since = int(query.rpartition(">")[2])
        found = [task for task in tasks if task["startTime"] > since]
        return Answer({"results": found[int(first) : int(first) + 3]})

    server.answers = [found_by]
    found = [id_ for page in paged(server, 3).waiting_ids_since(0) for id_ in page]
    assert found == ["t0", "t1", "t2", "t3", "t4", "t5", "t6"]
    assert len(server.requests) < 8


def test_a_search_leaves_out_what_the_index_shows_as_ended(
    server: StandIn, conductor: Conductor
) -> None:
    server.answers = [
        Answer({"results": [POLLED, {**POLLED, "taskId": "t2", "status": "COMPLETED"}]})
    ]
    [page] = conductor.waiting_ids_since(0)
    assert {id_: listed.workflow for id_, listed in page.items()} == {"t1": "flow"}


def test_tasks_that_ended_are_found_by_their_end(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"results": [{"taskId": "t1"}, {"taskId": "t2"}]})]
    assert conductor.ended_since(5) == {"t1", "t2"}
    assert server.last.path == "/api/tasks/search"
    assert server.last.query["query"] == ["taskType='WAIT_FOR_WEBHOOK' AND endTime>5"]


def test_a_task_that_goes_on_has_not_ended_whatever_its_end_says(
    server: StandIn, conductor: Conductor
) -> None:
    server.answers = [Answer({"results": [{"taskId": "t1", "status": "IN_PROGRESS"}]})]
    assert conductor.ended_since(5) == set()


def test_summaries_give_ids_and_names_and_page_by_times_as_texts(
    server: StandIn, conductor: Conductor
) -> None:
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
    pages = paged(server, 3).waiting_ids_since(0)
    found = [(id_, listed.workflow) for page in pages for id_, listed in page.items()]
    assert found == [("t0", ""), ("t1", "flow"), ("t2", ""), ("t3", "flow"), ("t4", "")]
    assert {request.path for request in server.requests} == {"/api/tasks/search"}


@pytest.mark.parametrize(
    ("status", "output", "is_named", "found"),
    [
        ("COMPLETED", "{a=1, _webhook={name=w, eventId=event-1}}", True, "by the event"),
        ("COMPLETED", '{"_webhook": {"eventId": "event-1"}}', False, "by the event"),
        ("COMPLETED", "{a=1, _webhook={name=w, eventId=event-2}}", True, "otherwise"),
        ("COMPLETED", "{a=1}", False, None),
        ("COMPLETED", None, True, None),  # large, and kept elsewhere
        ("CANCELED", "{}", False, "otherwise"),
        ("TIMED_OUT", "{}", True, None),  # there may be a retry
        ("IN_PROGRESS", "{}", True, None),  # the index lags
    ],
)
def test_the_end_of_a_task_is_what_its_summary_proves(
    server: StandIn,
    conductor: Conductor,
    status: str,
    output: str | None,
    is_named: bool,
    found: str | None,
) -> None:
    kept = {"externalOutputPayloadStoragePath": "x.json"} if output is None else {}
    summary = {"taskId": "t1", "status": status, "output": output or "{}", **kept}
    server.answers = [Answer({"results": [{**summary, "taskId": "t1x"}, summary]})]
    assert conductor.end_in_index("t1", "event-1", is_named) == found
    assert server.last.query["query"] == ["taskId='t1'"]


@pytest.mark.parametrize(
    "key", ["it's", 'a"b', "a,b", "a*", "(a)", "a AND b", "\u00fcn", "a\\b", ""]
)
def test_the_index_is_not_asked_for_what_it_reads_in_a_way_of_its_own(
    server: StandIn, conductor: Conductor, key: str
) -> None:
    assert conductor.started_in_index("flow", key) is None
    assert server.requests == []


def test_a_start_in_the_index_has_the_name_the_key_and_the_events_id(
    server: StandIn, conductor: Conductor
) -> None:
    def summary(
        workflow_id: str, name: str = "flow", key: str = "+49 1/a#2", event_id: str = "event-1"
    ) -> Any:
        names = f"{{_webhook={{eventId={event_id}}}}}"
        return {
            "workflowId": workflow_id,
            "workflowType": name,
            "correlationId": key,
            "input": names,
        }

    others = [
        summary("w1", name="other"),
        summary("w2", key="+49-1/a"),
        summary("w3", event_id="event-2"),
    ]
    server.answers = [Answer({"results": [*others, summary("w4", key="+49-1/a#2")]})]
    assert conductor.started_in_index("flow", "+49-1/a#2", "event-1") == "w4"
    assert conductor.started_in_index("flow", "+49-1/a#2", "event-9") is None

"""Polling Conductor's queue, against a stand-in on this machine."""

from __future__ import annotations

import time

import pytest

from tests.support.stand_in import POLLED, Answer, StandIn
from worker.conductor.client import Conductor
from worker.conductor.errors import OutcomeUnknown


def test_a_poll_never_waits_and_takes_a_batch(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer([POLLED])]
    [task] = conductor.poll("me", "billing")
    assert (server.last.method, server.last.path) == (
        "GET",
        "/api/tasks/poll/batch/WAIT_FOR_WEBHOOK",
    )
    assert server.last.query == {
        "workerid": ["me"],
        "count": ["100"],
        "timeout": ["0"],
        "domain": ["billing"],
    }
    assert (task.id, task.workflow_id, task.workflow, task.reference_name) == (
        "t1",
        "w1",
        "flow",
        "wait",
    )
    assert (task.matches, task.scheduled_at) == ({"$.n": 1}, 1_700_000_000_100)
    assert (task.domain, task.found_by, task.state) == ("billing", "queue", "waiting")


@pytest.mark.parametrize("answer", [Answer([]), Answer("", 204), Answer("")])
def test_an_empty_queue_gives_no_tasks(
    server: StandIn, conductor: Conductor, answer: Answer
) -> None:
    server.answers = [answer]
    assert conductor.poll("me") == []


def test_a_poll_tells_how_the_clocks_differ_also_when_a_task_was_polled_before(
    server: StandIn, conductor: Conductor
) -> None:
    ahead = 3_600_000
    started = int(time.time() * 1000) + ahead
    server.answers = [Answer([{**POLLED, "startTime": 5}, {**POLLED, "startTime": started}])]
    conductor.poll("me")
    assert abs(conductor.server_clock.offset - ahead) < 60_000


def test_a_poll_whose_answer_breaks_off_is_not_repeated_unseen(
    server: StandIn, conductor: Conductor
) -> None:
    for close in ("before", "middle"):
        server.requests.clear()
        server.answers = [Answer([POLLED], close=close), Answer([])]
        with pytest.raises(OutcomeUnknown):
            conductor.poll("me")
        assert len(server.requests) == 1

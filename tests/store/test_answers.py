"""What of a workflow's output a sender gets, and which workflow that is."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from store.answers import (
    LARGEST,
    NO_WORKFLOW,
    TOO_LARGE,
    Answer,
    OpenAnswer,
    TargetOf,
    answer_of,
    workflow_of,
)
from store.records import TargetKind, TargetState

OUTPUT = {
    "reply": "hi",
    "secret": "s3cret",
    "list": [1, 2.5, None],
    "none": None,
    "odd": "\0 \ud800",
}


def answer(path: str, status: str = "COMPLETED", output: Any = OUTPUT) -> Answer:
    return answer_of(OpenAnswer("e1", "w", path, 0), "w1", status, output)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$.reply", "hi"),
        ("$.list", [1, 2.5, None]),
        ("$.list[*]", [1, 2.5, None]),
        ("$.none", None),
        ("$.missing", None),
        ("$.list[?(@ > 9)]", []),
        ("$.odd", "\0 \ud800"),
    ],
)
def test_what_the_path_selects_is_the_answer_and_nothing_else(path: str, value: object) -> None:
    found = answer(path)
    assert found.body is not None
    assert (found.event_id, found.outcome, found.workflow_id, json.loads(found.body)) == (
        "e1",
        "COMPLETED",
        "w1",
        value,
    )
    assert found.body.encode(), "a surrogate is escaped"
    assert "s3cret" not in found.body


@pytest.mark.parametrize("output", [None, [], "text", 5, {}])
def test_an_output_of_any_kind_has_an_answer(output: object) -> None:
    assert answer("$.reply", output=output).body == "null"


@pytest.mark.parametrize("status", ["FAILED", "TERMINATED", "TIMED_OUT"])
def test_of_a_workflow_that_did_not_complete_only_its_status_is_kept(status: str) -> None:
    assert answer("$.reply", status) == Answer("e1", status, "w1")


@pytest.mark.parametrize("character", ["x", "é", "字", "\n"])
def test_an_answer_may_have_so_many_bytes_as_it_is_sent_and_no_more(character: str) -> None:
    most = LARGEST // len(character.encode())
    assert answer("$.reply", output={"reply": character * most}).outcome == "COMPLETED"
    assert answer("$.reply", output={"reply": character * (most + 1)}) == Answer(
        "e1", TOO_LARGE, "w1"
    )
    in_json = (LARGEST - len(b'{"a":""}')) // len(
        json.dumps(character, ensure_ascii=False).encode()[1:-1]
    )
    assert answer("$.reply", output={"reply": {"a": character * in_json}}).outcome == "COMPLETED"
    assert (
        answer("$.reply", output={"reply": {"a": character * (in_json + 1)}}).outcome == TOO_LARGE
    )
    assert not {TOO_LARGE, *NO_WORKFLOW.values()} & {
        "COMPLETED",
        "FAILED",
        "TERMINATED",
        "TIMED_OUT",
    }


T = tuple[TargetKind, TargetState]


@pytest.mark.parametrize(
    ("is_settled", "targets", "expected"),
    [
        (False, [], (False, None)),
        (True, [], (True, None)),
        (False, [("start", "done")], (True, "w0")),
        (False, [("complete", "done"), ("start", "done")], (True, "w1")),
        (False, [("complete", "done"), ("start", "claimed")], (False, None)),
        (True, [("complete", "done"), ("start", "failed")], (True, "w0")),
        (
            False,
            [("complete", "cancelled"), ("complete", "pending"), ("complete", "done")],
            (False, None),
        ),
        (False, [("complete", "cancelled")], (False, None)),
        (True, [("start", "failed"), ("complete", "unknown")], (True, None)),
        (False, [("message", "done")], (True, "w0")),
        (False, [("message", "queued")], (False, None)),
        (False, [("message", "done"), ("complete", "claimed")], (False, None)),
        (False, [("message", "skipped"), ("message", "done")], (True, "w1")),
        (True, [("message", "skipped"), ("message", "cancelled")], (True, None)),
    ],
)
def test_the_first_start_decides_or_else_the_first_completion_or_message(
    is_settled: bool, targets: list[T], expected: tuple[bool, str | None]
) -> None:
    found = [
        TargetOf(number, kind, state, f"w{number}", "flow")
        for number, (kind, state) in enumerate(targets)
    ]
    is_known, workflow = workflow_of(is_settled, found[::-1])
    assert (is_known, workflow and workflow.workflow_id) == expected


def test_a_start_that_was_skipped_without_a_known_workflow_is_waited_for() -> None:
    assert workflow_of(True, [TargetOf(1, "start", "skipped", None, "flow")]) == (False, None)


def test_values_that_are_parts_of_each_other_are_written_no_further_than_needed() -> None:
    output: object = {"x": "y" * LARGEST}
    for _ in range(50):
        output = {"n": output}
    tracemalloc.start()
    try:
        found = answer_of(OpenAnswer("e1", "w", "$..*", 0), "w1", "COMPLETED", output)
        assert found.outcome == TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 10 * LARGEST
    finally:
        tracemalloc.stop()

"""An event's story tells what its sender was answered that waited for a workflow."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from admin.explain.story import waiting_sender_steps
from store.answers import Answer, Waited
from store.delivery_records import AnswerWanted
from tests.admin.conftest import Cli
from tests.support.sample import Sample

NOW = 1_700_000_000_000
WANTED = AnswerWanted("$.reply", NOW + 20_000)
WAITS = "+0 Its sender waits for its workflow, and for `$.reply` of the output."


def told(
    answer: Answer | None = None, at: int = NOW + 30_000, shows_body: bool = True
) -> list[str]:
    return [
        f"+{one.at - NOW} {one.what}"
        for one in waiting_sender_steps(Waited(WANTED, answer), NOW, at, shows_body)
    ]


def test_what_was_answered_in_time_is_told() -> None:
    answer = Answer("e1", "COMPLETED", "w1", '"hi"', NOW + 900)
    assert told(answer) == [WAITS, '+900 Its workflow completed; the answer is "hi".']
    assert told(answer, shows_body=False)[1] == "+900 Its workflow completed; the answer is hidden."
    *_, last = waiting_sender_steps(Waited(WANTED, answer), NOW, NOW, True)
    assert last.workflow_id == "w1"
    long = told(Answer("e1", "COMPLETED", "w1", f'"{"x" * 1000}"', NOW + 900))[1]
    assert long.endswith("….")
    assert len(long) < 300


def test_what_was_not_answered_in_time_is_told() -> None:
    assert told() == [
        WAITS,
        "+20000 Its workflow didn't end in time: a sender that still waited was answered 202.",
    ]
    assert told(at=NOW + 9) == [WAITS, "+20000 Next: a sender that still waits is answered 202."]
    late = Answer("e1", "COMPLETED", "w1", "1", NOW + 25_000)
    assert told(late)[1:] == [
        "+20000 Its workflow didn't end in time: a sender that still waited was answered 202.",
        "+25000 Its workflow completed; the answer is 1. Nobody waited any more; whoever delivers it again gets it.",
    ]


@pytest.mark.parametrize("outcome", ["FAILED", "gone", "too_large", "unreadable", "expired"])
def test_every_other_end_is_told(outcome: str) -> None:
    *_, last = waiting_sender_steps(
        Waited(WANTED, Answer("e1", outcome, "w1", None, NOW + 900)), NOW, NOW, True
    )
    assert (last.what, last.went_wrong) == (f"Its sender is answered 502: {outcome}.", True)


def test_command_line_and_page_show_it(cli: Cli, client: FlaskClient, sample: Sample) -> None:
    event_id = sample.events["delivered"]
    sample.store.answers.want({event_id: AnswerWanted("$.reply", sample.store.now() + 20_000)})
    sample.store.answers.record([Answer(event_id, "FAILED", "w1")])
    assert "Its sender is answered 502: FAILED" in cli("events", "show", event_id).stdout
    assert "Its sender is answered 502: FAILED" in client.get(f"/events/{event_id}").text

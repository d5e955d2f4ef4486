"""Tells what the sender of an event was answered that waited for the end of a workflow: pure."""

from __future__ import annotations

from collections.abc import Iterator

from admin.explain.results import Happening
from store import answers
from store.answers import Answer, Waited

_SHOWN = 200
"""Characters of an answer that are shown."""


def tell_waited(waited: Waited, received_at: int, now: int, shows_body: bool) -> Iterator[Happening]:
    """What happened about the answer. `shows_body`: whether people may see it."""
    until, answer = waited.wanted.wait_until, waited.answer
    path = waited.wanted.output
    yield Happening(received_at, f"Its sender waits for its workflow, and for `{path}` of the output.")
    if answer is None or answer.answered_at > until:
        if until <= now:
            yield Happening(until, "Its workflow hadn't ended in time: whoever waited was answered 202.")
        else:
            yield Happening(until, "Next: whoever waits until then is answered 202.")
    if answer is not None:
        what, went_wrong = _answer(answer, shows_body)
        late = " Nobody waited any more; whoever delivers it again gets it." if answer.answered_at > until else ""
        yield Happening(answer.answered_at, f"{what}{late}", went_wrong, answer.workflow_id)


def _answer(answer: Answer, shows_body: bool) -> tuple[str, bool]:
    match answer.outcome:
        case answers.COMPLETED:
            body = answer.body or "null"
            text = body if len(body) <= _SHOWN else body[:_SHOWN] + "…"
            return f"Its workflow completed; the answer{f' is {text}' if shows_body else ' is hidden'}.", False
        case answers.NO_WORKFLOW:
            return "It neither started nor resumed a workflow: its sender is answered 202.", False
        case answers.TOO_LARGE:
            return "Its workflow completed, but what it answered is too large: its sender is answered 502.", True
        case answers.UNREADABLE:
            return "Its workflow completed, but nothing can be made of its output: its sender is answered 502.", True
        case answers.GONE:
            return "Conductor doesn't have its workflow any more: its sender is answered 502.", True
    return f"Its workflow ended as {answer.outcome}: its sender is answered 502.", True

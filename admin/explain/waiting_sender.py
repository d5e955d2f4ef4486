"""The steps of an event whose sender waits for the end of a workflow: pure."""

from __future__ import annotations

from collections.abc import Iterator

from admin.explain.results import StoryStep
from store import answers
from store.answers import Answer, Waited

_SHOWN = 200
"""Characters of an answer that are shown."""


def waiting_sender_steps(waited: Waited, received_at: int, now: int, shows_body: bool) -> Iterator[StoryStep]:
    """The steps of the answer. `shows_body`: whether people may see it."""
    until, answer = waited.wanted.wait_until, waited.answer
    path = waited.wanted.output
    yield StoryStep(received_at, f"Its sender waits for its workflow, and for `{path}` of the output.")
    if answer is None or answer.answered_at > until:
        if until <= now:
            yield StoryStep(until, "Its workflow didn't end in time: a sender that still waited was answered 202.")
        else:
            yield StoryStep(until, "Next: a sender that still waits is answered 202.")
    if answer is not None:
        what, went_wrong = _answer(answer, shows_body)
        late = " Nobody waited any more; whoever delivers it again gets it." if answer.answered_at > until else ""
        yield StoryStep(answer.answered_at, f"{what}{late}", went_wrong, answer.workflow_id)


def _answer(answer: Answer, shows_body: bool) -> tuple[str, bool]:
    match answer.outcome:
        case answers.COMPLETED:
            body = answer.body or "null"
            text = body if len(body) <= _SHOWN else body[:_SHOWN] + "…"
            return f"Its workflow completed; the answer{f' is {text}' if shows_body else ' is hidden'}.", False
        case outcome if outcome in answers.NO_WORKFLOW.values():
            return f"It neither started nor resumed a workflow: its sender is answered 502 ({outcome}).", True
        case answers.TOO_LARGE:
            return "Its workflow completed, but its answer is too large: its sender is answered 502.", True
        case answers.UNREADABLE:
            return "Its workflow completed, but its output can't be used: its sender is answered 502.", True
        case answers.GONE:
            return "Conductor no longer has its workflow: its sender is answered 502.", True
    return f"Its workflow ended as {answer.outcome}: its sender is answered 502.", True

"""One poll of Conductor: the request, and what its answer says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from store.answers import COMPLETED, TOO_LARGE, UNREADABLE, Answer, OpenAnswer, answer_of
from worker.answers.schedule import Found, Poll
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError, NotFound, NotNow, Unreachable, is_denied
from worker.conductor.responses import End

log = structlog.get_logger()

_LIST_PATIENCE = 2.0
"""Seconds to wait for a list."""
_READ_PATIENCE = 2.0
"""Seconds to wait for a workflow; twice as long each time it failed."""


@dataclass(frozen=True, slots=True)
class PollResult:
    """The result of a poll."""

    poll: Poll
    error: ConductorError | None = None
    unreachable: bool = False
    """Whether Conductor wasn't reached, or wouldn't answer anything now."""
    running: frozenset[str] | None = None
    """Of a list."""
    no_lists: bool = False
    """Whether the server never answers with such a list."""
    found: Found = "failed"
    """Of a read."""
    ended_at: int | None = None
    answers: tuple[Answer, ...] = ()


def run_poll(conductor: Conductor, poll: Poll, wanted: Sequence[OpenAnswer]) -> PollResult:
    """Makes the request. `wanted`: what is answered if the workflow has ended. Raises nothing."""
    try:
        if poll.read is None:
            return PollResult(poll, running=frozenset(conductor.within(_LIST_PATIENCE).running(poll.flow)))
        patience = _READ_PATIENCE * 2 ** min(poll.read.failures, 10)
        end = conductor.within(patience).outcome(poll.read.id)
        if end is None:
            return PollResult(poll, found="running")
        answers = tuple(answer_for(one, poll.read.id, end) for one in wanted)
        return PollResult(poll, found="ended", ended_at=end.ended_at, answers=answers)
    except NotFound as error:
        return PollResult(poll, error, found="gone", no_lists=True)
    except (Unreachable, NotNow) as error:
        # A permission that is missing says nothing about other calls, or other workflows.
        denied = is_denied(error)
        return PollResult(poll, error, unreachable=not denied, no_lists=denied)
    except ConductorError as error:
        return PollResult(poll, error, no_lists=is_denied(error))
    except Exception as error:  # without an outcome, the workflow would never be looked at again
        log.exception("polling a workflow failed unexpectedly")
        return PollResult(poll, ConductorError(f"{type(error).__name__}: {error}"))


def answer_for(wanted: OpenAnswer, workflow_id: str, end: End) -> Answer:
    """The answer to one event."""
    if end.is_apart and end.status == COMPLETED:
        return Answer(wanted.event_id, TOO_LARGE, workflow_id)
    try:
        return answer_of(wanted, workflow_id, end.status, end.output)
    except Exception as error:
        log.error("a workflow's output can't be used for an answer", workflow_id=workflow_id, error=ascii(str(error)))
        return Answer(wanted.event_id, UNREADABLE, workflow_id)

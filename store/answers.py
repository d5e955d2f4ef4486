"""What a sender is answered that waits for the end of a workflow (`respond: {wait: …, output: …}`).

An event whose sender waits has a row of its own: open until the workflow has ended, then its
answer. All times are Unix milliseconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from criteria.inputs import text_of_found, value_at
from store.delivery_records import AnswerWanted
from store.records import EventStatus, TargetKind, TargetState
from store.rules.transitions import FAILED

COMPLETED = "COMPLETED"
"""The outcome with a body: Conductor's word."""
GONE = "gone"
"""The outcome if Conductor doesn't have the workflow any more."""
NO_WORKFLOW: Mapping[EventStatus, str] = MappingProxyType(
    {"failed": "start_failed", "expired": "expired", "ignored": "ignored"}
)
"""The outcomes if the event came to its end and neither started nor resumed any workflow, by its
status."""
TOO_LARGE = "too_large"
"""The outcome if the workflow completed, but the body would be larger than `LARGEST`, or Conductor
doesn't show the output, since it is too large for that."""
UNREADABLE = "unreadable"
"""The outcome if the workflow completed, but nothing can be made of its output: it is nested too
deeply, or the path would take too long."""
ANSWERING: tuple[TargetKind, ...] = ("start", "complete", "message")
"""The kinds of targets whose workflow may be the answer, the first kind first."""
LARGEST = 1024 * 1024
"""Bytes of a body as it is sent."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_GIVEN_UP: frozenset[TargetState] = FAILED | {"cancelled"}
_REACHED: frozenset[TargetState] = frozenset({"done", "skipped"})


@dataclass(frozen=True, slots=True)
class OpenAnswer:
    """An answer that a sender waits for."""

    event_id: str
    webhook: str
    output: str
    wait_until: int


@dataclass(frozen=True, slots=True)
class Answer:
    """How the workflow ended, and what of its output the sender gets."""

    event_id: str
    outcome: str
    """The workflow's status in Conductor's words; else `GONE`, `TOO_LARGE`, `UNREADABLE` or one of
    `NO_WORKFLOW`."""
    workflow_id: str | None = None
    body: str | None = None
    """JSON; None unless it is `COMPLETED`."""
    answered_at: int = 0
    """Set by the store."""


class Waited(NamedTuple):
    """A row as people see it."""

    wanted: AnswerWanted
    answer: Answer | None
    """None while it is open."""


class TargetOf(NamedTuple):
    """What decides which workflow an event is answered with."""

    id: int
    kind: TargetKind
    state: TargetState
    workflow_id: str | None
    workflow: str


class AnsweringWorkflow(NamedTuple):
    """A workflow whose end is the answer."""

    workflow: str
    """Its name."""
    workflow_id: str


def answer_of(wanted: OpenAnswer, workflow_id: str, status: str, output: Any) -> Answer:
    """The answer, given the status and the output with which the workflow ended. Only what the path
    selects is kept: null if that is nothing, a list if it may select several values."""
    if status != COMPLETED:
        return Answer(wanted.event_id, status, workflow_id)
    value = value_at(wanted.output, output)
    body = text_of_found(value, LARGEST, _as_json)
    sent = value if isinstance(value, str) else body
    if len(sent.encode("utf-8", "replace")) > LARGEST:
        return Answer(wanted.event_id, TOO_LARGE, workflow_id)
    return Answer(wanted.event_id, COMPLETED, workflow_id, body)


def _as_json(value: Any) -> str:
    """As short as UTF-8 allows; a lone surrogate needs an escape."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(value, separators=(",", ":")) if _SURROGATE.search(text) else text


def workflow_of(
    is_settled: bool, targets: Iterable[TargetOf]
) -> tuple[bool, AnsweringWorkflow | None]:
    """Whether it is known by now which workflow answers an event, and that workflow; None if there
    won't be any.

    It is the first that the event started, else the first that it resumed, else the first that got
    a message of it; a start that was skipped by `once` counts, with the workflow that is there. It
    can't be told while the first may still be made.
    """
    ordered = sorted(targets)
    for kind in ANSWERING:
        first = next(
            (target for target in ordered if target.kind == kind and not _is_given_up(target)), None
        )
        if first is not None:
            if first.state not in _REACHED or first.workflow_id is None:
                return False, None
            return True, AnsweringWorkflow(first.workflow, first.workflow_id)
    return is_settled, None


def _is_given_up(target: TargetOf) -> bool:
    return target.state in _GIVEN_UP or (target.kind == "message" and target.state == "skipped")

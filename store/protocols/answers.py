"""Where relay and worker meet for senders that wait for the end of a workflow (`store.answers`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from store.answers import Answer, Answered, AnsweringWorkflow, OpenAnswer, Waited
from store.delivery_records import AnswerWanted

_NONE: Mapping[int, str | None] = MappingProxyType({})


class Answers(Protocol):
    """`Deliveries.append` opens an answer for each event with an `answer` that wasn't known.

    A worker looks for workflows to watch with `open` and `workflows`, and records how they ended. A relay learns by
    the news `answers`. Answers are deleted with their events.
    """

    def want(self, wanted: Mapping[str, AnswerWanted]) -> None:
        """Somebody waits for answers to events, by their ids, that may be there already: opens each, or extends its
        time if it is open. The leader is told. Nothing changes for those that are answered or don't exist."""

    def open(self, now: int, after: OpenAnswer | None = None, limit: int = 1000) -> list[OpenAnswer]:
        """The open answers for which somebody waits now or later, in the order in which their time ends; those after
        that one. The cost doesn't grow with those for which nobody waits any more."""

    def wanted(self, event_ids: Sequence[str]) -> list[OpenAnswer]:
        """Those of these events whose answers are open, whether or not somebody still waits."""

    def workflows(
        self, event_ids: Sequence[str], reached: Mapping[int, str | None] = _NONE
    ) -> dict[str, AnsweringWorkflow | None]:
        """event id → the workflow whose end is the answer; None if the event has come to its end without one.

        Events are left out for which that isn't known yet, or that don't exist. `reached`: targets whose calls have
        taken effect, although that may not be recorded yet → the workflow started. See `store.answers.workflow_of`.
        """

    def record(self, answers: Sequence[Answer]) -> None:
        """Records answers, in one transaction, and tells the relays. An event's first answer counts; later ones, and
        those that nobody asked for, are ignored."""

    def since(self, at: int, after: str = "", limit: int = 1000) -> list[Answered]:
        """The answers recorded later than that time, or at that time for an event whose id is greater than `after`: in
        the order of time and id. One that is recorded meanwhile may become visible after a later one."""

    def among(self, event_ids: Sequence[str]) -> list[Answered]:
        """Those of these events that have been answered."""

    def of_events(self, event_ids: Sequence[str]) -> dict[str, Answer]:
        """event id → its answer, of those that have been answered. Bodies may be large: see `among`."""

    def waited(self, event_id: str) -> Waited | None:
        """What somebody waits for, or waited, who delivered this event; None if nobody did."""

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
        """Opens the answers to these events, by id, or extends the time of those that are open, and wakes the leader.
        Nothing changes for events that are answered or don't exist."""

    def open(self, now: int, after: OpenAnswer | None = None, limit: int = 1000) -> list[OpenAnswer]:
        """The open answers whose senders may still wait, by the end of their time, beginning after `after`. The cost
        doesn't grow with those whose time has ended."""

    def wanted(self, event_ids: Sequence[str]) -> list[OpenAnswer]:
        """The open answers among those of these events, whether or not a sender still waits."""

    def workflows(
        self, event_ids: Sequence[str], reached: Mapping[int, str | None] = _NONE
    ) -> dict[str, AnsweringWorkflow | None]:
        """event id → the workflow whose end is the answer; None if the event ended without one.

        Events for which that isn't known yet, or that don't exist, are left out. `reached`: targets whose calls have
        taken effect, although that may not be recorded yet → the workflow started. See `store.answers.workflow_of`.
        """

    def record(self, answers: Sequence[Answer]) -> None:
        """Records answers, in one transaction, and tells the relays. An event's first answer counts; later ones, and
        those that no sender asked for, are ignored."""

    def since(self, at: int, after: str = "", limit: int = 1000) -> list[Answered]:
        """The answers recorded later than that time, or at that time for an event whose id is greater than `after`: in
        the order of time and id. One that is recorded meanwhile may become visible after a later one."""

    def among(self, event_ids: Sequence[str]) -> list[Answered]:
        """Those of these events that have been answered."""

    def of_events(self, event_ids: Sequence[str]) -> dict[str, Answer]:
        """event id → its answer, of those that have been answered. Bodies may be large: see `among`."""

    def waited(self, event_id: str) -> Waited | None:
        """What the sender of this event waits or waited for; None if it didn't wait."""

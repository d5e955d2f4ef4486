"""What the leader uses: its leadership, and what it reads and writes as leader."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from store.records import Agenda, Decision, Event, Target, Task, Term, Workflow


class Leadership(Protocol):
    """One worker at a time is leader, and decides. It loses leadership if it doesn't renew its term."""

    def elect(self, worker: str, seconds: float) -> Term | None:
        """Makes this worker leader for this many seconds, if the last term has run out or its holder is known to be
        dead.

        None while another worker is leader. If the caller is already leader, this renews its term, in which it is its
        own predecessor.
        """

    def renew(self, term: Term, seconds: float) -> bool:
        """Extends the term to this many seconds from now; False if leadership was lost. Never begins a new term."""

    def resign(self, term: Term) -> None:
        """Ends the term: another worker can be elected at once.

        If it raises, leadership may be given up or not; others may consider the worker dead.
        """

    def leader(self) -> tuple[str, int] | None:
        """The leader's id, and when its term ends; None if there is no leader."""


class Decisions(Protocol):
    """What there is to decide, and the decisions."""

    def agenda(self, limit: int, without: Collection[str] = ()) -> Agenda:
        """What there is to decide: up to `limit` of each kind, and no more payload than `store.turns.BYTES`.

        Leaves out paused webhooks and those in `without`. Each webhook's events come in order of arrival (`seq`). If
        there are more than are read at once, webhooks take turns, and so do returned tasks. What stays undecided is
        read again by the next call, or in a later turn. The cost grows neither with the events left out nor with later
        ones.
        """

    def is_quiet(self) -> bool:
        """Whether the agenda would be empty: nothing to decide, and no webhook paused. Takes less than the agenda."""

    def held(self, after_seq: int, limit: int, webhook: str | None = None) -> list[Event]:
        """Held events of one webhook or all, after that number, in order of arrival.

        Fewer than `limit` if their payloads are large; none only if there are no more.
        """

    def decide(
        self,
        term: Term,
        decisions: Sequence[Decision],
        expired: Sequence[str],
        now: int,
        claim_for: str | None,
        claim: int,
    ) -> list[Target]:
        """Writes decisions, all or none: targets, the tasks they take, and each event's status and hold.

        Ends the hold of the `expired` events (by id). In the same transaction, claims the first `claim` targets without
        a pace for the worker `claim_for`, and returns them. The first start with a once key holds the key.

        Raises LeadershipLost once another worker is leader.
        """


class LargeDecisions(Protocol):
    """Decisions with more targets than should be written in one transaction.

    Both methods raise LeadershipLost once another worker is leader.
    """

    def record(self, term: Term, decision: Decision, now: int) -> None:
        """Records the decision, which must not hold the event, in steps: it stands once the last one is committed.

        From then on its event is decided, and `write_next` writes its targets.
        """

    def write_next(self, term: Term, now: int, without: Collection[str] = ()) -> bool:
        """Writes the next part of a recorded decision; False if there is nothing left to write.

        Skips the events `without` (by id). Raises PartRefused if the database refuses this decision's part.

        A new leader calls this until it returns False, before it reads which tasks wait. Parts of a decision that
        wasn't recorded completely are deleted; its event is undecided.
        """

    def promised_tasks(self) -> Iterator[str]:
        """The ids of the tasks in parts that `write_next` has yet to write, read a bounded number of parts at a time.

        Each has its event, and waits for no other, though its state is still `waiting`.
        """


class Tasks(Protocol):
    """Tasks waiting for an event. All methods but `hand_over` raise LeadershipLost once another worker is leader."""

    def adopt(self, term: Term, tasks: Sequence[Task], now: int) -> list[Task]:
        """Stores tasks that were found waiting; returns those that weren't known to wait before.

        A settled task that the index shows doesn't wait again, since an index may lag. One that has returned, or was
        handed over, waits from now on.
        """

    def drop(self, term: Term, task_ids: Sequence[str], now: int) -> None:
        """The tasks no longer wait: Conductor has ended them."""

    def look_again(self, term: Term, task_ids: Sequence[str]) -> None:
        """Returned tasks wait from now on."""

    def hand_over(self, tasks: Sequence[Task], now: int) -> None:
        """Leaves tasks that were polled while leadership was being lost to the next leader, as returned ones."""


class KnownWorkflows(Protocol):
    """What was looked up about workflows."""

    def find(self, workflow_id: str) -> Workflow | None:
        """The workflow, if it was looked up before."""

    def remember(self, workflows: Sequence[Workflow]) -> None:
        """Stores what was looked up, for as long as a task of the workflow is kept."""

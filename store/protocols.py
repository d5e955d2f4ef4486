"""Time, wake-ups and leadership, which each database does in its own way."""

from __future__ import annotations

from typing import Literal, Protocol

from store.records import Term

Topic = Literal["events", "targets", "answers"]
"""What a listener waits for. `events`: there may be something to decide. `targets`: there may be something to claim.
`answers`: there may be an answer for a sender that waits."""


class Clock(Protocol):
    """The time that all processes on one store agree on."""

    def now(self) -> int:
        """The store's time, in Unix milliseconds. Needs no round trip, and never raises."""


class Listener(Protocol):
    """Waits for changes in the store, for one thread. None of its methods raises StoreUnavailable."""

    def wait(self, seconds: float) -> bool:
        """Returns when there may be changes since the last wait, when it is woken, or after that time; False if only
        the time is over.

        It may return for no reason, and changes may be missed while the store can't be reached: so poll at intervals
        too.
        """

    def wake(self) -> None:
        """Ends the current wait, or else the next one. May be called from any thread, and from signal handlers."""

    def close(self) -> None:
        """Stops listening."""


class Signals(Protocol):
    """How one process learns about another's commits at once."""

    def notify(self, topic: Topic) -> None:
        """Wakes the listeners of all processes. A lost wake-up costs only time: every process polls at intervals
        too."""

    def listener(self, topic: Topic) -> Listener:
        """Listens from now on. The leader waits for `events`, the other workers for `targets`, and relays
        for `answers`."""


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

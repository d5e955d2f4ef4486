"""What several processes use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from store.records import SetAside, SetAsideKind

News = Literal["events", "targets", "answers"]
"""What a listener waits for. `events`: there may be something to decide. `targets`: there may be something to claim.
`answers`: there may be an answer for a sender that waits."""


class Clock(Protocol):
    """The time that all processes on one store agree on."""

    def now(self) -> int:
        """The store's time, in Unix milliseconds. Needs no round trip, and never raises."""


class Facts(Protocol):
    """What the processes last reported about themselves: conductor (up or the error), definitions errors, …"""

    def all(self) -> dict[str, str]:
        """name → what was reported."""

    def set(self, name: str, value: str | None) -> None:
        """Sets the fact; None deletes it."""


class KeptDefinitions(Protocol):
    """The last good definitions, for a process that starts while their files are broken. They hold no secrets."""

    def all(self) -> dict[str, str]:
        """file name → what `config.last_good` keeps of it."""

    def keep(self, kept: Mapping[str, str]) -> None:
        """Replaces all of them; only what differs is written."""


class Pauses(Protocol):
    """Webhooks whose deliveries are accepted but not decided."""

    def pause(self, webhook: str, now: int) -> None:
        """Pauses the webhook from now on, unless it is paused already."""

    def resume(self, webhook: str) -> bool:
        """Ends the pause; False if the webhook wasn't paused."""

    def paused(self) -> dict[str, int]:
        """webhook → since when it has been paused."""


class Quarantine(Protocol):
    """Items that failed alone: set aside with the reason, and retried later."""

    def set_aside(self, items: Sequence[SetAside]) -> None:
        """Sets the items aside. One that is already set aside gets the new reason, tries and time, but keeps its
        `since`.

        A set-aside event is `pending`; neither `Decisions.agenda` nor `held` returns it, and skipping it costs them
        nothing.
        """

    def take_back(self, kind: SetAsideKind, ids: Sequence[str]) -> None:
        """Releases these items. Ignores those that aren't set aside."""

    def items(
        self,
        kind: SetAsideKind | None = None,
        due_before: int | None = None,
        ids: Sequence[str] | None = None,
        limit: int = 1000,
    ) -> list[SetAside]:
        """Set-aside items, longest due first; optionally of one kind, due before that time, with one of these ids."""

    def counts(self) -> dict[SetAsideKind, int]:
        """kind → number of set-aside items, for kinds that have any. Counts at most 10,000 of each."""


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

    def tell(self, news: News) -> None:
        """Wakes the listeners of all processes. A lost wake-up costs only time: every process polls at intervals
        too."""

    def listener(self, news: News) -> Listener:
        """Listens from now on. The leader waits for `events`, the other workers for `targets`, and relays
        for `answers`."""

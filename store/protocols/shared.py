"""What several processes use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from store.records import SetAside, SetAsideKind

News = Literal["events", "targets"]
"""What a listener waits for. `events`: there may be something to decide. `targets`: there may be something to claim."""


class Clock(Protocol):
    """The time that all processes on one store agree on."""

    def now(self) -> int:
        """The store's time, in Unix milliseconds. Needs no round trip, and never raises."""


class Facts(Protocol):
    """What the processes last said of themselves: conductor (up or the error), definitions errors, …"""

    def all(self) -> dict[str, str]:
        """name → what was said."""

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
    """Items that failed in a way that only they do: set aside with the reason, and tried again at their time."""

    def set_aside(self, items: Sequence[SetAside]) -> None:
        """Sets the items aside. One that is set aside already gets the new reason, tries and time; its earliest `since`
        stays.

        An event that is set aside is `pending`; neither `Decisions.agenda` nor `held` returns it, at no cost to them.
        """

    def take_back(self, kind: SetAsideKind, ids: Sequence[str]) -> None:
        """These items are as any others again. Ignores those that aren't set aside."""

    def items(
        self,
        kind: SetAsideKind | None = None,
        due_before: int | None = None,
        ids: Sequence[str] | None = None,
        limit: int = 1000,
    ) -> list[SetAside]:
        """What is set aside, the longest due first: of one kind, due before that time, with one of these ids."""

    def counts(self) -> dict[SetAsideKind, int]:
        """kind → how many are set aside, of the kinds that have any. Counts at most 10,000 of each."""


class Listener(Protocol):
    """Waits for news in the store, for one thread. None of its methods raises StoreUnavailable."""

    def wait(self, seconds: float) -> None:
        """Returns when there may be news since the last wait, when it is woken, or after that time.

        It may return for no reason, and news may get lost while the store can't be reached: look at intervals too.
        """

    def wake(self) -> None:
        """Ends the present wait, or else the next one. May be called from any thread, and from a signal handler."""

    def close(self) -> None:
        """Stops listening."""


class Signals(Protocol):
    """How one process learns of another's commits at once."""

    def tell(self, news: News) -> None:
        """Wakes the listeners of all processes. What is lost costs only time: everybody looks at intervals too."""

    def listener(self, news: News) -> Listener:
        """Listens from now on. The leader waits for `events`, the other workers for `targets`."""

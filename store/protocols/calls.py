"""What every worker uses to call Conductor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from store.effects import Effects
from store.records import OnceHolder, Result, Target, TargetKind, Task

NO_PACES: Mapping[str, float] = MappingProxyType({})


class Claims(Protocol):
    """Targets in the hands of workers. A claim is its worker's, and stands until its result or another's claim.

    A claim is told from a later one by the target's `attempts`, which every claim raises.
    """

    def claim(
        self, worker: str, now: int, expired_before: int, limit: int, paces: Mapping[str, float] = NO_PACES
    ) -> list[Target]:
        """Claims targets whose claim is older than `expired_before`, and targets that are due.

        Each webhook's longest due first; where more than `limit` are due, the webhooks take turns. The cost grows with
        neither the targets nor the webhooks that wait. `paces` are webhook → calls a second: no more of these are
        claimed than `store.pace` allows, by all workers together, and only what is claimed counts.
        """

    def renew(self, worker: str, target: Target, now: int) -> bool:
        """Renews the claim before a late call; False if another worker has claimed the target in the meantime."""

    def record_results(self, worker: str, results: Sequence[Result], now: int) -> None:
        """Records the results of calls, and what follows for tasks and events. Results of lost claims are ignored.

        Wakes the leader if that leaves something to decide (an event is free again, a task has returned).
        """

    def give_back(self, worker: str, targets: Sequence[Target], now: int) -> None:
        """Undoes claims under which no call was begun: the targets are due at once, for any worker."""

    def hurry(self, now: int) -> None:
        """Conductor is back: targets that only wait for it are due now. In steps, each a transaction."""

    def next_due(self, paces: Mapping[str, float] = NO_PACES) -> int | None:
        """When the next unclaimed target is due; with `paces`, when the next turn of one of those webhooks is.

        None if there is none.
        """


class TaskLocks(Protocol):
    """Keeps completions from being made while their tasks' time-outs are put off."""

    def taken_in_time(self, after: str, limit: int) -> list[Task]:
        """Tasks that events have taken and that have a response time-out, in the order of their ids, after that id."""

    def lock(self, worker: str, task_ids: Sequence[str], now: int, free_before: int) -> tuple[list[Target], list[str]]:
        """Claims the completions of taken tasks, due or not, so that no worker makes them.

        Only those that nobody has claimed and of which no call can be in flight: none was made, the last wasn't sent,
        or its claim is older than `free_before`. Returns them as they were, and the tasks that are neither taken nor
        waiting: the decision that takes one may still be on its way, in parts.
        """

    def unlock(self, worker: str, targets: Sequence[tuple[Target, int]]) -> None:
        """Undoes these claims; each target is due at that time."""


class OnceKeys(Protocol):
    """Which start holds a key, of the starts that are to be one (`store.once`)."""

    def holder(self, key: str) -> OnceHolder | None:
        """The start that holds the key; None if none does."""

    def take(self, key: str, holder: OnceHolder | None, target_id: int) -> bool:
        """Makes the target the key's holder; False if `holder`, as it was read, isn't the holder any more."""

    def pruned(self, after: str, limit: int) -> list[tuple[str, str]]:
        """(key, workflow id) of holders that were pruned while their workflow may run, in the order of keys."""

    def forget(self, keys: Sequence[str]) -> None:
        """Deletes pruned holders, whose workflows have ended."""


class EffectsOfCalls(Protocol):
    """When calls of each kind last had their effect."""

    def note(self, kind: TargetKind, now: int) -> None:
        """A call of this kind had its effect. To be called now and then: once a minute is enough."""

    def of_kind(self, kind: TargetKind) -> Effects | None:
        """Since when calls of this kind have their effects without a break; None if none was noted."""

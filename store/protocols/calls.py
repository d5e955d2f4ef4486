"""What every worker needs in order to call Conductor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from store.effects import Effects
from store.records import OnceHolder, Result, Target, TargetKind, Task

NO_PACES: Mapping[str, float] = MappingProxyType({})


class Claims(Protocol):
    """Targets claimed by workers. A claim belongs to its worker, and stands until its result is recorded or another
    worker claims the target.

    The target's `attempts`, which every claim increments, tells a claim from a later one.
    """

    def claim(
        self, worker: str, now: int, expired_before: int, limit: int, paces: Mapping[str, float] = NO_PACES
    ) -> list[Target]:
        """Claims targets whose claim is older than `expired_before`, and targets that are due.

        Each webhook's longest due first; if more than `limit` are due, webhooks take turns. The cost grows with neither
        the targets nor the webhooks that wait. `paces`: webhook → calls a second; all workers together claim no more
        than `store.pace` allows, and only claims count.
        """

    def may_claim(self, now: int, expired_before: int) -> bool:
        """Whether `claim` may find anything, if there are no paces. Takes less than a claim that finds nothing."""

    def renew(self, worker: str, target: Target, now: int) -> bool:
        """Renews the claim before a late call; False if another worker has claimed the target in the meantime."""

    def record_results(self, worker: str, results: Sequence[Result], now: int) -> None:
        """Records the results of calls, and what follows for tasks and events. Results of lost claims are ignored.

        Wakes the leader if that leaves something to decide (an event is free again, a task has returned).
        """

    def give_back(self, worker: str, targets: Sequence[Target], now: int) -> None:
        """Undoes claims without a call: the targets are due at once, for any worker."""

    def hurry(self, now: int) -> None:
        """Conductor is back: makes targets that only wait for it due now. In steps, each a transaction."""

    def next_due(self, paces: Mapping[str, float] = NO_PACES) -> int | None:
        """When the next unclaimed target is due, taking `paces` into account.

        None if there is none.
        """


class TaskLocks(Protocol):
    """Locks completions while their tasks' time-outs are extended."""

    def taken_in_time(self, after: str, limit: int) -> list[Task]:
        """Taken tasks with a response time-out, after that id, in order of id."""

    def lock(self, worker: str, task_ids: Sequence[str], now: int, free_before: int) -> tuple[list[Target], list[str]]:
        """Claims the completions of taken tasks, due or not, so that no worker calls for them.

        Only unclaimed ones that can't have a call in flight: none was made, the last wasn't sent, or its claim is older
        than `free_before`. Returns them as they were, and the tasks that are neither taken nor waiting; the decision
        that takes a waiting one may still be being written, in parts.
        """

    def unlock(self, worker: str, targets: Sequence[tuple[Target, int]]) -> None:
        """Undoes these claims; each target is due at that time."""


class OnceKeys(Protocol):
    """Which start holds a once key (`store.once`)."""

    def holder(self, key: str) -> OnceHolder | None:
        """The start that holds the key; None if none does."""

    def take(self, key: str, holder: OnceHolder | None, target_id: int) -> bool:
        """Makes the target the key's holder; False if `holder`, as previously read, is no longer the holder."""

    def pruned(self, after: str, limit: int) -> list[tuple[str, str]]:
        """(key, workflow id) of pruned holders whose workflow may still run, in order of key."""

    def forget(self, pruned: Sequence[tuple[str, str]]) -> None:
        """Deletes these pruned holders, given as `pruned` returned them, since their workflows have ended. A key that
        has changed hands meanwhile keeps its new holder."""


class Lanes(Protocol):
    """Where the messages of a lane go (`store.lanes`)."""

    def latest_workflow(self, lane: str) -> str | None:
        """The workflow that the lane's last delivered message went to; None if there is none in the store."""

    def next_start(self, lane: str) -> Target | None:
        """The first message of the lane that hasn't ended and may start its workflow, among the next thousand; None if
        there is none."""


class EffectsOfCalls(Protocol):
    """When calls of each kind last took effect."""

    def note(self, kind: TargetKind, now: int) -> None:
        """Records that a call of this kind took effect. Once a minute is enough."""

    def of_kind(self, kind: TargetKind) -> Effects | None:
        """Since when calls of this kind have taken effect without a break; None if none was recorded."""

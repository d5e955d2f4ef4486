"""Which events a replay has resolved: pure, so that all stores agree."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from store.one_target import OneTarget
from store.records import EventStatus

UNRESOLVED: tuple[EventStatus, ...] = ("failed", "expired", "ignored")
"""The statuses of events that a replay can resolve, and that people can acknowledge."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An event of a family that came to its end: the sender's event, a replay, or a replay of a replay."""

    id: str
    status: EventStatus
    only: OneTarget | None


def is_whole(only: OneTarget | None) -> bool:
    """Whether a replay with this `only` may have every target that its sender's event may have."""
    return only is None or only.kind == "callback"


def resolved(
    ended: Iterable[Ended], delivered: Collection[Ended], failed: Mapping[str, Collection[OneTarget]]
) -> dict[str, str]:
    """event → the replay that resolved it, of those that ended otherwise.

    `delivered` are the replays that were delivered, oldest first. `failed` says for each failed event which of its
    targets failed. A replay to any target resolves every event of its family; replays to one target resolve those that
    wanted nothing else. The last of them is named.
    """
    whole = next((one.id for one in delivered if is_whole(one.only)), None)
    parts = {one.only: one.id for one in delivered if one.only is not None}
    in_order = [one.id for one in delivered]
    found: dict[str, str] = {}
    for event in ended:
        own = () if event.only is None else (event.only,)
        wanted = set(failed.get(event.id, ()) if event.status == "failed" else own)
        if whole is not None:
            found[event.id] = whole
        elif wanted and wanted <= parts.keys():
            found[event.id] = max((parts[one] for one in wanted), key=in_order.index)
    return found

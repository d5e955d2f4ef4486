"""What becomes of a new event, once its webhook is known. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from store.records import NewTarget
from worker.decision.matching import WaitingTask
from worker.decision.rules import Start, is_ever_held


@dataclass(frozen=True)
class Prospects:
    """What is known about an event when it is decided."""

    takers: Sequence[NewTarget]
    in_doubt: Sequence[WaitingTask]
    """Tasks that came after the event and may take it, which depends on their workflows."""
    overtakes: bool
    """Whether its only taker may take an earlier event of the webhook, which is held already."""
    starts: Sequence[Start]
    messages: Sequence[NewTarget]
    has_receivers: bool
    hold_goes_on: bool
    """Whether tasks that come from now on are in time for it."""
    are_tasks_known: bool
    """Whether all tasks are known that may take it, or were waited for long enough."""


@dataclass(frozen=True)
class Unknown:
    """It waits: tasks that may take it aren't known yet."""


@dataclass(frozen=True)
class Goes:
    """It goes to these targets."""

    targets: tuple[NewTarget, ...]


@dataclass(frozen=True)
class Held:
    """It is held for a task that comes later. Starts and messages don't wait for that."""

    targets: tuple[NewTarget, ...]
    in_doubt: Sequence[WaitingTask] = ()


@dataclass(frozen=True)
class Over:
    """It goes nowhere."""

    status: Literal["expired", "ignored"]


Fate: TypeAlias = Unknown | Goes | Held | Over


def fate(event: Prospects) -> Fate:
    """What becomes of the event."""
    if not event.are_tasks_known:
        return Unknown()
    if event.takers and not event.overtakes:
        starts = [start.target for start in event.starts if not start.unless_taken]
        return Goes((*event.takers, *starts, *event.messages))
    targets = (*(start.target for start in event.starts), *event.messages)
    # A hold that has ended goes on for a task that came before its end, and is in doubt.
    if is_ever_held(event.starts) and (event.hold_goes_on or event.in_doubt):
        return Held(targets, event.in_doubt)
    if targets:
        return Goes(targets)
    return Over("expired" if event.has_receivers else "ignored")

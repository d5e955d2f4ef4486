"""Since when calls of one kind have taken effect without a break: a target that fails meanwhile fails alone.

Pure functions of values. Times are Unix milliseconds by the store's clock.
"""

from __future__ import annotations

from dataclasses import dataclass

BREAK = 600_000
"""Milliseconds without an effect after which nothing is known: Conductor was away, or nobody called.

An effect that far in the future tells nothing either: the clock was set back.
"""


@dataclass(frozen=True, slots=True)
class Effects:
    """One unbroken run of effects of a kind, from the first (`since`) to the `last`."""

    since: int
    last: int


def after_effect(before: Effects | None, now: int) -> Effects:
    """The run with one more effect; a new run if there was a break."""
    if before is None or abs(now - before.last) > BREAK:
        return Effects(now, now)
    return Effects(before.since, max(before.last, now))


def failed_alone(failing_since: int, effects: Effects | None, now: int) -> int:
    """Milliseconds for which a target has failed while others of its kind took effect.

    A break doesn't count, nor does anything before it: in an outage all targets fail, and none is to blame.
    """
    if effects is None or abs(now - effects.last) > BREAK:
        return 0
    return max(0, now - max(failing_since, effects.since))


def others_since(failing_since: int, effects: Effects | None, now: int) -> int:
    """Milliseconds from when a target began to fail until the last effect of another of its kind; 0 if there was none.

    In an outage that stays close to 0, however long it lasts.
    """
    if effects is None or abs(now - effects.last) > BREAK:
        return 0
    return max(0, min(effects.last, now) - failing_since)

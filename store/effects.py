"""Since when calls of one kind have their effects without a break: a target that fails meanwhile fails alone.

Pure functions of values. Times are Unix milliseconds by the store's clock.
"""

from __future__ import annotations

from dataclasses import dataclass

BREAK = 600_000
"""Milliseconds without any effect after which nothing is known: Conductor was away, or nobody called.

Nor is anything known from an effect that much in the future: the clock was set back.
"""


@dataclass(frozen=True, slots=True)
class Effects:
    """One spell of effects of a kind: `since` its first, without a break, to the `last`."""

    since: int
    last: int


def after_effect(before: Effects | None, now: int) -> Effects:
    """The spell with one more effect; a new one if there was a break."""
    if before is None or abs(now - before.last) > BREAK:
        return Effects(now, now)
    return Effects(before.since, max(before.last, now))


def failed_alone(failing_since: int, effects: Effects | None, now: int) -> int:
    """Milliseconds for which a target has failed while others of its kind had their effect.

    A break counts for nothing, and what was before it neither: in an outage all fail, and none of them is to blame.
    """
    if effects is None or abs(now - effects.last) > BREAK:
        return 0
    return max(0, now - max(failing_since, effects.since))

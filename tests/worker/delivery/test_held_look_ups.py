"""Thousands of held messages cost Conductor as much as a few hundred, and those of other webhooks
wait for none."""

from __future__ import annotations

import heapq

import pytest

from worker.delivery.messages import HeldLookUps

NOW = 1_800_000_000_000


def looks(
    held: int,
    seconds: int,
    at_once: int = 10**9,
    webhook: str = "w",
    pauses: HeldLookUps | None = None,
) -> int:
    """How many looks are made in the last of these seconds, if this many messages are held from the
    first on, and the worker makes `at_once` a second at most."""
    pauses = pauses or HeldLookUps()
    due = [(0.0, number) for number in range(held)]
    found = 0
    for second in range(seconds):
        made = 0
        while due[0][0] < second + 1 and made < at_once:
            at, number = heapq.heappop(due)
            at = max(at, float(second))
            heapq.heappush(due, (at + pauses.pause(webhook, NOW + int(at * 1000), at), number))
            made += 1
        found += made if second >= seconds - 60 else 0
    return found // 60


def test_a_few_are_looked_at_ever_more_rarely_and_every_15_seconds_in_the_end() -> None:
    pauses = HeldLookUps()
    assert [pauses.pause("w", NOW + int(at * 1000), at) for at in (0, 8, 60, 600)] == [1, 2, 15, 15]


@pytest.mark.parametrize("at_once", [200, 10**9])
@pytest.mark.parametrize("held", [300, 3000, 20_000])
def test_of_thousands_only_so_many_are_looked_at_in_a_second(held: int, at_once: int) -> None:
    assert 14 <= looks(held, 3600, at_once) <= 21


def test_one_that_just_came_is_looked_at_sooner_than_those_that_were_there() -> None:
    pauses = HeldLookUps()
    looks(3000, 600, pauses=pauses)
    later = NOW + 600_000
    assert pauses.pause("w", later, 0) < pauses.pause("w", later, 600) / 10


def test_those_of_another_webhook_are_looked_at_as_if_they_were_alone() -> None:
    pauses = HeldLookUps()
    looks(3000, 600, pauses=pauses)
    assert pauses.pause("v", NOW + 600_000, 0) == 1

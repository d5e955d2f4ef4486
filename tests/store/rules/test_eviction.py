"""Which rejected deliveries go when there are too many."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from store.rules.eviction import Bounds, Kept, superseded, surplus
from store.rules.senders import sender_of


def surplus_of(kept: list[Kept], most: int, most_bytes: int = 10**6) -> list[str]:
    return surplus(kept, Bounds(most, most_bytes, 9), 0)


def of(sender: str, *numbers: int, size: int = 1, accepted: bool = False) -> list[Kept]:
    return [Kept(f"{number:03}", 0, sender, size, accepted) for number in numbers]


def test_the_addresses_of_an_ipv6_network_are_one_sender() -> None:
    flood = [Kept(f"{number:03}", 0, f"2001:db8::{number}", 1, False) for number in range(10, 100)]
    assert "001" not in surplus_of([*of("192.0.2.1", 1, 2), *flood], 10)


def test_senders_without_an_address_are_one() -> None:
    assert surplus_of(
        [
            Kept("1", 0, None, 1, False),
            Kept("2", 0, "not an address", 1, False),
            Kept("3", 0, None, 1, False),
        ],
        2,
    ) == ["1"]


def test_what_is_too_old_goes_and_what_was_kept_before_the_clock_was_set_back() -> None:
    kept = [
        Kept("old", 9, None, 1, False),
        Kept("new", 10, None, 1, True),
        Kept("ahead", 31, None, 1, True),
    ]
    assert surplus(kept, Bounds(9, 9, 10), 20) == ["old", "ahead"]


def test_a_flood_of_rejections_leaves_those_before_it_and_the_newest() -> None:
    genuine = [(number, "192.0.2.1") for number in range(1, 3)]
    flood = [(number, "198.51.100.1") for number in range(3, 100)]
    newest = [(100, "192.0.2.1")]
    gone = superseded([*genuine, *flood, *newest], 10)
    assert gone == list(range(3, 93))
    assert superseded(genuine, 2) == []


def test_what_is_newest_stays_however_many_other_senders_there_were() -> None:
    strangers: list[tuple[int, str | None]] = [
        (number, f"198.51.100.{number}") for number in range(50)
    ]
    genuine: list[tuple[int, str | None]] = [(number, "192.0.2.1") for number in range(50, 60)]
    gone = superseded([*strangers, *genuine], 20)
    assert not {number for number, _ in genuine} & set(gone)
    assert len(gone) == 40


def slowly(kept: list[Kept], most: int, most_bytes: int) -> list[str]:
    """The same, one after the other, as the rule says it."""
    left = list(kept)
    while len(left) > most or sum(one.size for one in left) > most_bytes:
        if accepted := [one for one in left if one.is_accepted]:
            left.remove(accepted[0])
            continue
        by_number = len(left) > most
        share = Counter[str]()
        for one in left:
            share[sender_of(one.remote)] += 1 if by_number else one.size
        largest = share.most_common(1)[0][0]
        left.remove(next(one for one in left if sender_of(one.remote) == largest))
    return [one.id for one in kept if one not in left]


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from([0, 1, 2, 50]), st.booleans()), max_size=20
    ),
    st.integers(0, 15),
    st.integers(0, 200),
)
def test_whoever_has_most_loses_the_oldest_again_and_again(
    sent: list[tuple[int, int, bool]], most: int, most_bytes: int
) -> None:
    kept = [
        Kept(f"{number:03}", 0, f"192.0.2.{sender}", size, accepted)
        for number, (sender, size, accepted) in enumerate(sent)
    ]
    assert surplus_of(kept, most, most_bytes) == slowly(kept, most, most_bytes)

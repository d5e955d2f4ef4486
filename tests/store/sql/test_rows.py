"""Rows that can't be read say so, each for itself: a page of others is read all the same."""

from __future__ import annotations

import pytest

from store.sql import rows
from store.story import Attempt


def test_a_target_whose_versions_cannot_be_read_has_none_that_fits() -> None:
    values = [None] * len(rows.TARGET.split(","))
    place = rows.TARGET.split(", ").index("only_versions")
    for text, versions in (("nonsense", ()), ("[1, 2]", (1, 2))):
        assert rows.target([*values[:place], text, *values[place + 1 :]]).only_versions == versions


def test_attempts_that_cannot_be_read_are_left_out() -> None:
    values = [None] * len(rows.TARGET.split(","))
    assert rows.target([*values[:-1], "nonsense"]).failures == ()
    assert rows.target([*values[:-1], '[[1, 2, 3, "why"]]']).failures == (Attempt(1, 2, 3, "why"),)


def row_with(place: int, value: object) -> list[object]:
    """An event's row with this value there."""
    row = [
        1,
        "e",
        "w",
        0,
        None,
        "{}",
        "{}",
        "{}",
        "pending",
        0,
        None,
        0,
        *[None] * (len(rows.EVENT.split(",")) - 12),
    ]
    row[place] = value
    return row


@pytest.mark.parametrize("place", [6, 7])
@pytest.mark.parametrize("garbled", ["{", None, b"\xff"])
def test_an_event_that_cannot_be_read_gives_no_payload(place: int, garbled: object) -> None:
    assert rows.event(row_with(place, "{}")).text(metadata=False) == "{}"
    event = rows.event(row_with(place, garbled))
    for read in (event.document, event.text, lambda: event.text(metadata=False)):
        with pytest.raises(ValueError, match="can't be read"):
            read()


@pytest.mark.parametrize("garbled", ["{", "[1]", "null", "7"])
def test_an_event_that_tells_nothing_readable_is_read_all_the_same(garbled: str) -> None:
    event = rows.event(row_with(15, garbled))
    assert (event.summary_parts, event.unreadable) == ({}, None)


@pytest.mark.parametrize(
    "garbled", ["{", "[]", '{"kind": "both", "workflow": "w"}', '{"kind": "start"}']
)
def test_a_replay_whose_one_target_cannot_be_read_goes_to_none(garbled: str) -> None:
    with pytest.raises(ValueError, match="the target that it is for can't be read"):
        rows.event(row_with(17, garbled)).document()

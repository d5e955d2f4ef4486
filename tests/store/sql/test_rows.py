"""Rows that can't be read say so, each for itself: a page of others is read all the same."""

from __future__ import annotations

import pytest

from store.records import Event, Target
from store.sql import rows
from store.story import Attempt


def target_with(**values: object) -> Target:
    """From a target's row with these values."""
    return rows.target([values.get(name) for name in rows.TARGET.split(", ")])


@pytest.mark.parametrize(("text", "versions"), [("nonsense", ()), ("[1, 2]", (1, 2))])
def test_a_target_whose_versions_cannot_be_read_has_none_that_fits(
    text: str, versions: tuple[int, ...]
) -> None:
    assert target_with(only_versions=text).only_versions == versions


def test_attempts_that_cannot_be_read_are_left_out() -> None:
    assert target_with(failures="nonsense").failures == ()
    assert target_with(failures='[[1, 2, 3, "why"]]').failures == (Attempt(1, 2, 3, "why"),)


def event_with(**values: object) -> Event:
    """From an event's row with these values."""
    row = {"id": "e", "webhook": "w", "status": "pending", "held": 0}
    row |= dict.fromkeys(("payload", "headers", "query"), "{}") | values
    return rows.event([row.get(name) for name in rows.EVENT.split(", ")])


@pytest.mark.parametrize("column", ["headers", "query"])
@pytest.mark.parametrize("garbled", ["{", None, b"\xff"])
def test_an_event_that_cannot_be_read_gives_no_payload(column: str, garbled: object) -> None:
    assert event_with().text(metadata=False) == "{}"
    event = event_with(**{column: garbled})
    for read in (event.document, event.text, lambda: event.text(metadata=False)):
        with pytest.raises(ValueError, match="can't be read"):
            read()


@pytest.mark.parametrize("garbled", ["{", "[1]", "null", "7"])
def test_an_event_that_tells_nothing_readable_is_read_all_the_same(garbled: str) -> None:
    event = event_with(telling=garbled)
    assert (event.summary_parts, event.unreadable) == ({}, None)


@pytest.mark.parametrize(
    "garbled", ["{", "[]", '{"kind": "both", "workflow": "w"}', '{"kind": "start"}']
)
def test_a_replay_whose_one_target_cannot_be_read_goes_to_none(garbled: str) -> None:
    with pytest.raises(ValueError, match="the target that it is for can't be read"):
        event_with(only_target=garbled).document()

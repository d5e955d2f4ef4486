"""Rows that can't be read say so, each for itself: a page of others is read all the same."""

from __future__ import annotations

import pytest

from store import rows


def test_a_target_whose_versions_cannot_be_read_has_none_that_fits() -> None:
    values = [None] * len(rows.TARGET.split(","))
    assert rows.target([*values[:-1], "nonsense"]).only_versions == ()
    assert rows.target([*values[:-1], "[1, 2]"]).only_versions == (1, 2)


@pytest.mark.parametrize("place", [6, 7])
@pytest.mark.parametrize("garbled", ["{", None, b"\xff"])
def test_an_event_that_cannot_be_read_gives_no_payload(place: int, garbled: object) -> None:
    row = [1, "e", "w", 0, None, "{}", "{}", "{}", "pending", 0, None, 0, None, None, None, None]
    assert rows.event(row).text(metadata=False) == "{}"
    row[place] = garbled
    event = rows.event(row)
    for read in (event.document, event.text, lambda: event.text(metadata=False)):
        with pytest.raises(ValueError, match="can't be read"):
            read()


@pytest.mark.parametrize("garbled", ["{", "[1]", "null", "7"])
def test_an_event_that_tells_nothing_readable_is_read_all_the_same(garbled: str) -> None:
    event = rows.event([1, "e", "w", 0, None, "{}", "{}", "{}", "pending", 0, None, 0, None, None, None, garbled])
    assert (event.telling, event.unreadable) == ({}, None)

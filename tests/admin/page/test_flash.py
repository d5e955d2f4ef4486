"""FlashMessages: read by their own session on their own page, for some minutes."""

from __future__ import annotations

from unittest import mock

from admin.page.context import KEPT, MOST, FlashMessages


def test_a_note_is_read_again_until_its_time_is_over() -> None:
    clock = mock.Mock()
    clock.monotonic.return_value = 0.0
    notes = FlashMessages(clock)
    name = notes.leave("mine", "orders", {"secret": "s"})
    clock.monotonic.return_value = KEPT - 1.0
    assert notes.read(name, "mine", "orders") == notes.read(name, "mine", "orders") == {"secret": "s"}
    clock.monotonic.return_value = KEPT
    assert notes.read(name, "mine", "orders") == {}


def test_a_note_is_not_for_others() -> None:
    notes = FlashMessages()
    name = notes.leave("mine", "orders", {"secret": "s"})
    assert notes.read(name, "other", "orders") == {}
    assert notes.read(name, None, "orders") == {}
    assert notes.read(name, "mine", "other") == {}
    assert notes.read("guessed", "mine", "orders") == {}


def test_only_so_many_are_kept() -> None:
    notes = FlashMessages()
    names = [notes.leave("mine", "orders", {"number": number}) for number in range(MOST + 1)]
    assert [notes.read(name, "mine", "orders") for name in (names[0], names[-1])] == [{}, {"number": MOST}]

"""Tables and texts for a terminal."""

from __future__ import annotations

import pytest

from admin.wording.terminal import compact, plain, pretty, table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 漢", "plain ä 漢"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("a\nb", "a\\nb"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u0085\u2028", "\\x85\\u2028"),
        ("\ud800", "\\ud800"),
        ("\x00", "\\x00"),
    ],
)
def test_nothing_that_a_terminal_acts_on_is_let_through(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_line_breaks_are_kept_where_they_are_wanted() -> None:
    assert plain("a\nb\r", lines=True) == "a\nb\\r"


def test_json_is_shown_on_several_lines_or_cut() -> None:
    assert pretty({"a": "\x1bä"}) == '{\n  "a": "\\u001bä"\n}'
    assert compact({"a": "b" * 200}, 20) == '{"a": "' + "b" * 12 + "…"


def test_of_json_no_more_is_made_than_is_shown() -> None:
    value = {"a": list(range(1000)), "b": "\x85" * 1000}
    whole = pretty(value)
    assert pretty(value, 5000) == whole[:5001]
    assert pretty(value, len(whole)) == whole
    assert len(pretty({"a": "x" * 10**6}, 100)) == 101


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table(["A", "LONG"], [["1234", None], ["", "x"]]) == "A     LONG\n1234  -\n-     x"

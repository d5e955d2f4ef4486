"""A few items are cut out of a list and changed alone."""

from __future__ import annotations

from typing import Any

import pytest

from admin.definitions.list_part import Part, cut_out
from admin.definitions.yaml_text import edit_text, merge, remove_item
from config.yaml_lines import parse_yaml

TEXT = """\
# about all
webhooks:
# about a
- name: a
  hold: 1m
# about b
- name: b  # b
- {name: c}
# about c

more: x
"""


@pytest.mark.parametrize(
    ("near", "part"),
    [
        ((0, 0), "- name: a\n  hold: 1m\n# about b\n"),
        ((0, 1), "- name: a\n  hold: 1m\n# about b\n- name: b  # b\n"),
        ((1, 1), "- name: b  # b\n"),
        ((2, 2), "- {name: c}\n# about c\n\n"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_items_are_a_document_and_are_put_back_where_they_were(near: tuple[int, int], part: str, end: str) -> None:
    text = TEXT.replace("\n", end)
    found = cut_out(text, "webhooks", [4, 7, 8], *near)
    assert found is not None
    assert found.text == f"webhooks:\n{part}".replace("\n", end)
    assert found.put_back(found.text) == text


def test_the_last_item_goes_up_to_the_end_of_the_text() -> None:
    assert cut_out("webhooks:\n  - name: a\n  - name: b", "webhooks", [2, 3], 1, 1) == Part(
        "webhooks:\n  - name: a\n", "webhooks:\n  - name: b", ""
    )


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("webhooks: [{name: a},\n{name: b}]\n", [1, 2]),
        ("webhooks:\n-\n  name: a\n- name: b\n", [3, 4]),
        ("webhooks:\n- &a {name: a}\n- *a\n", [2, 2]),
        ("webhooks: [{name: a}, {name: b}]\n", [1, 1]),
        ("webhooks:\n- name: a\n - name: b\n", [2, 3]),
        ("webhooks:\n- name: a\n", [2, 9]),
    ],
)
def test_what_is_written_in_another_form_is_not_cut_out(text: str, starts: list[int]) -> None:
    assert cut_out(text, "webhooks", starts, 0, 0) is None


FILE = """\
webhooks:
    # The payments team owns this one.
    -   name: payments          # since 2024
        platform: stripe
        starts:
            -   workflow: x     # first

    # Orders.
    -   name: orders
        headers:
            X-Api-Key: 'a-key'
        hold: "5m"              # not 10
        # the end of orders

    # the last one
    -   name: last
        hide: [ $.a ]
# the end
"""


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("removed", [False, True])
def test_a_change_of_a_part_writes_what_a_change_of_the_whole_text_writes(number: int, removed: bool) -> None:
    document = parse_yaml(FILE)
    starts = [document.line(("webhooks", at)) for at in range(3)]
    keys = {**document.value["webhooks"][number], "pace": "5/s", "only": {"$.a": {"$in": [1]}}}

    def change(items: Any, at: int) -> None:
        if removed:
            remove_item(items, at)
        else:
            merge(items[at], keys)

    first = max(0, number - 1) if removed else number
    part = cut_out(FILE, "webhooks", starts, first, first + removed)
    assert part is not None
    changed = edit_text(part.text, lambda part: change(part["webhooks"], number - first), FILE)
    assert part.put_back(changed) == edit_text(FILE, lambda whole: change(whole["webhooks"], number))

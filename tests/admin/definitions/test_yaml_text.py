"""A change of one setting leaves every other line of the file as it is."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import pytest

from admin.definitions.yaml_text import edit_text, merge, remove_item
from config.yaml_lines import parse_yaml

TEXT = """\
# top
webhooks:
  # first
  - name: a   # beside
    split: true   # about split
    # why this hold
    hold: 10m
    receivers: {r: any}  # flow
    # after flow
    signature:
      # the secret
      secret: ${X}
      header: X-S  # h
      # about prefix
      prefix: "sha256="
    # about starts
    starts:
      # one
      - workflow: s  # s
        # c
        when: {$.a: 1}
      # two
      - workflow: t
        version: 2
    # before accept
    accept:
      rate: 5/s
      burst: 5
    # the end of a

  # second
  - name: b
    hold: 1m
# end
"""


@pytest.mark.parametrize(
    ("change", "removed", "added"),
    [
        (lambda keys: None, [], []),
        (lambda keys: keys.pop("split"), ["    split: true   # about split"], []),
        (lambda keys: keys.update(hold="1m"), ["    hold: 10m"], ["    hold: 1m"]),
        (lambda keys: keys["signature"].update(header="Y"), ["      header: X-S  # h"], ["      header: Y    # h"]),
        (lambda keys: keys["signature"].pop("prefix"), ['      prefix: "sha256="'], []),
        (lambda keys: keys["signature"].update(encoding="base64"), [], ["      encoding: base64"]),
        (
            lambda keys: keys["starts"][0].update(when={"$.b": 2}),
            ["        when: {$.a: 1}"],
            ["        when: {$.b: 2}"],
        ),
        (lambda keys: keys["starts"].append({"workflow": "u"}), [], ["      - workflow: u"]),
        (lambda keys: keys.update(pace="5/s"), [], ["    pace: 5/s"]),
        (lambda keys: keys["accept"].pop("burst"), ["      burst: 5"], []),
        (lambda keys: keys.pop("accept"), ["    accept:", "      rate: 5/s", "      burst: 5"], []),
        (lambda keys: keys.update(accept="x"), ["    accept:", "      rate: 5/s", "      burst: 5"], ["    accept: x"]),
    ],
)
def test_only_what_changed_is_written_anew(
    change: Callable[[dict[str, Any]], Any], removed: list[str], added: list[str]
) -> None:
    keys = parse_yaml(TEXT).value["webhooks"][0]
    change(keys)
    after = edit_text(TEXT, lambda document: merge(document["webhooks"][0], keys))
    assert parse_yaml(after).value["webhooks"][0] == keys
    lines = list(difflib.ndiff(TEXT.splitlines(), after.splitlines()))
    assert [line[2:] for line in lines if line.startswith("- ")] == removed
    assert [line[2:] for line in lines if line.startswith("+ ")] == added


def test_what_others_refer_to_is_not_changed_with_it() -> None:
    text = """\
webhooks:
- name: a
  accept: &limits
    rate: 5/s
- name: b
  accept: *limits  # as a
  # the end
"""
    changed = {"name": "b", "accept": {"rate": "9/s"}}
    after = edit_text(text, lambda document: merge(document["webhooks"][1], changed))
    assert [one["accept"] for one in parse_yaml(after).value["webhooks"]] == [{"rate": "5/s"}, {"rate": "9/s"}]
    assert "# the end" in after


UNUSUAL = """\
%YAML 1.2
---
webhooks:

    -   name: 'a'
        "hold": "10m"   # ten
        only: {'$.a':   "1", "$.b": 'x'}
        hide: [ '$.a',
          "$.b" ]   # both
        signature:
            signed: |-
                a

                b
            prefix: "\\u0073ha256\\/="
        respond:
            body: >-
                folded
                on

                and on
            status: 0o310
        metadata: False
        starts:
            -   workflow: x
                when: {$.d: 2001-01-01, $.n: ~}
    # about b
    - &b {name: b, hold: 1m,   # flow
       receivers: [x, y]}  # end of b
    - <<: *b
      name: c
      name: d
...
"""


@pytest.mark.parametrize("text", [UNUSUAL, UNUSUAL.replace("\n", "\r\n"), f"\ufeff{UNUSUAL}", UNUSUAL.rstrip("\n")])
@pytest.mark.parametrize(
    ("key", "value", "removed", "added"),
    [
        ("pace", "5/s", [], ["        pace: 5/s"]),
        ("hold", "1m", ['        "hold": "10m"   # ten'], ['        "hold": "1m"    # ten']),
        ("metadata", None, ["        metadata: False"], []),
    ],
)
def test_what_a_change_does_not_concern_stays_to_the_byte(
    text: str, key: str, value: str | None, removed: list[str], added: list[str]
) -> None:
    keys = parse_yaml(text.removeprefix("\ufeff")).value["webhooks"][0]
    keys = {**keys, key: value} if value is not None else {one: keys[one] for one in keys if one != key}
    after = edit_text(text, lambda document: merge(document["webhooks"][0], keys))
    assert parse_yaml(after.removeprefix("\ufeff")).value["webhooks"][0] == keys
    lines = list(difflib.ndiff(text.splitlines(keepends=True), after.splitlines(keepends=True)))
    end = "\r\n" if "\r\n" in text else "\n"
    assert [line[2:] for line in lines if line.startswith("- ")] == [f"{line}{end}" for line in removed]
    assert [line[2:] for line in lines if line.startswith("+ ")] == [f"{line}{end}" for line in added]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_no_comment_is_lost_when_a_webhook_or_an_item_is_removed(number: int) -> None:
    text = """\
webhooks:
# about a
- name: a # a
  hold: 1m
# about b
- name: b # b
# about c
- name: c # c
# end
"""
    after = edit_text(text, lambda document: remove_item(document["webhooks"], number))
    removed = ([2, 3], [5], [7])[number]
    assert after.splitlines() == [line for at, line in enumerate(text.splitlines()) if at not in removed]


def test_what_comes_from_elsewhere_is_replaced_and_its_source_stays() -> None:
    text = "webhooks:\n- &a\n  name: a\n  hold: 1m\n- <<: *a # as a\n  name: b\n  # end of b\n- name: c\n"
    changed = {"name": "b", "hold": "2m"}
    after = edit_text(text, lambda document: merge(document["webhooks"][1], changed))
    assert after == text.replace("  name: b\n", "  name: b\n  hold: 2m\n")


def test_an_entry_below_its_dash_can_be_changed() -> None:
    text = "webhooks:\n  -\n    name: a\n    hold: 1m\n"
    after = edit_text(text, lambda document: merge(document["webhooks"][0], {"name": "a", "hold": "2m"}))
    assert parse_yaml(after).value == {"webhooks": [{"name": "a", "hold": "2m"}]}

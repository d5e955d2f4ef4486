"""A change of one setting leaves every other line of the file as it is."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import pytest

from admin.definitions.yaml_text import merge, read_text, write_text
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
    yaml, document = read_text(TEXT)
    merge(document["webhooks"][0], keys)
    after = write_text(document, yaml)
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
    yaml, document = read_text(text)
    merge(document["webhooks"][1], {"name": "b", "accept": {"rate": "9/s"}})
    after = write_text(document, yaml)
    assert [one["accept"] for one in parse_yaml(after).value["webhooks"]] == [{"rate": "5/s"}, {"rate": "9/s"}]
    assert "# the end" in after

"""One webhook's own lines in a file of definitions: cut out, changed as text, and put back. Pure.

Whatever isn't changed stays as people wrote it: comments, quotes, order and indentation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from admin.definitions.values import Refer
from admin.errors import CantDo
from config.references import has_secret, may_hold_reference
from config.yaml_lines import BadYaml, Located, Where, parse_yaml

MASK = "***"
"""Stands for a secret that the YAML contains itself."""
_DASH = re.compile(r"( *)-( +)(?=[^ #\r\n])")
_AFTER_LIST = re.compile(r"[^\s#-]")
"""The beginning of a line that no longer belongs to a list below a top-level key."""


class CantCut(CantDo):
    """The webhook's lines can't be told from the rest of the file."""


class UnknownSecret(CantDo):
    """The mask stands where no secret was."""

    status = 422


@dataclass(frozen=True)
class Entry:
    """A webhook's own lines, and the text around them."""

    above: str
    text: str
    """The webhook as a document of its own."""
    below: str
    dash: str
    """The beginning of its first line: the dash, and the spaces around it."""
    line: int
    """Its first line in the file, from 1."""

    @property
    def masked(self) -> str:
        """The webhook with each secret that it contains itself as `MASK`."""
        return _replaced(self.text, lambda where, value: json.dumps(MASK))

    def put_back(self, text: str) -> str:
        """The whole file with the webhook as it is now, or without it if the text is empty."""
        end = "\r\n" if self.above.endswith("\r\n") else "\n"
        inside = [
            f"{' ' * len(self.dash)}{line}" if line.strip() else "" for line in text.splitlines()
        ]
        if inside:
            inside[0] = f"{self.dash}{inside[0][len(self.dash) :]}"
        return f"{self.above}{''.join(f'{line}{end}' for line in inside)}{self.below}"


def cut_out(text: str, document: Located, index: int) -> Entry:
    """The webhook at this place of the file's list. Raises CantCut unless it begins with a dash of
    its own."""
    lines = text.splitlines(keepends=True)
    begin = document.line(("webhooks", index)) - 1
    dash = _DASH.match(lines[begin])
    if dash is None:
        raise CantCut(
            "its webhooks aren't written one below the other, each with a dash: edit the file"
        )
    if index + 1 < len(document.value["webhooks"]):
        end = document.line(("webhooks", index + 1)) - 1
    else:
        end = next((n for n in range(begin, len(lines)) if _AFTER_LIST.match(lines[n])), len(lines))
    width = len(dash[0])
    while end > begin + 1 and (
        not lines[end - 1].strip() or re.match(rf" {{0,{width - 1}}}#", lines[end - 1])
    ):
        end -= 1  # what stands above the next webhook is about that
    inside = [
        line.rstrip("\r\n")
        for line in (f"{' ' * width}{lines[begin][width:]}", *lines[begin + 1 : end])
    ]
    if any(line[:width].strip() for line in inside):
        raise CantCut("a line of it is indented less than its first: edit the file")
    own = "".join(f"{line[width:]}\n" for line in inside)
    return Entry("".join(lines[:begin]), own, "".join(lines[end:]), dash[0], begin + 1)


def blanked(value: Any, where: Where = ()) -> Any:
    """What is written, with `MASK` for each secret that it contains itself, in whatever shape that
    was written."""
    if may_hold_reference(where) and (isinstance(where[-1], int) or not isinstance(value, list)):
        return MASK if has_secret(str(value)) else value
    if isinstance(value, dict):
        return {key: blanked(item, (*where, str(key))) for key, item in value.items()}
    if isinstance(value, list):
        return [blanked(item, (*where, number)) for number, item in enumerate(value)]
    return value


def with_secrets(text: str, before: str, refer: Refer) -> str:
    """The webhook as it is to be written: `MASK` becomes what stands in the text `before` at that
    place, and other secrets that it contains itself are handed to `refer`, with the key that they
    are under, for a reference.

    A text that is no YAML stays as it is. Raises UnknownSecret.
    """
    try:
        return _with_secrets(text, before, refer)
    except (BadYaml, YAMLError):
        return text  # the check says what is wrong


def _with_secrets(text: str, before: str, refer: Refer) -> str:
    old = {
        where: before[node.start_mark.index : node.end_mark.index]
        for where, node in _scalars(_compose(before), ())
    }

    def written(where: Where, value: str) -> str:
        if value != MASK:
            label = next(part for part in reversed(where) if isinstance(part, str))
            return json.dumps(refer(value.replace("$${", "${"), label))
        if where not in old:
            raise UnknownSecret(
                f"{MASK} stands for a secret that was there before; write it, or a reference to it"
            )
        return old[where].rstrip()

    return _replaced(text, written)


def with_value(text: str, where: tuple[str, ...], value: str | list[str]) -> str:
    """The webhook with this value at the place, which is there already, or is a key of the
    webhook's own."""
    node: Node | None = _compose(text)
    root = node
    for key in where:
        inside = node.value if isinstance(node, MappingNode) else []
        node = next((item for name, item in inside if name.value == key), None)
    new = json.dumps(value, ensure_ascii=False)
    if node is not None:
        return _spliced(text, node, new)
    if isinstance(root, MappingNode) and root.flow_style:
        at = text.index("{", root.start_mark.index) + 1
        return f"{text[:at]}{where[0]}: {new}, {text[at:]}"
    return f"{text.rstrip()}\n{where[0]}: {new}\n"


def _compose(text: str) -> Node | None:
    """The text's nodes, with their places in it. Raises BadYaml for all that the check refuses:
    aliases, for one, that would be walked through without end."""
    parse_yaml(text)
    node: Node | None = YAML(typ="safe", pure=True).compose(text)
    return node


def _replaced(text: str, written: Callable[[Where, str], str]) -> str:
    """The text with other YAML for each secret that it contains itself."""
    for where, node in reversed(list(_scalars(_compose(text), ()))):
        if may_hold_reference(where) and has_secret(str(node.value)):
            text = _spliced(text, node, written(where, str(node.value)))
    return text


def _scalars(node: Node | None, where: Where) -> Iterator[tuple[Where, ScalarNode]]:
    match node:
        case ScalarNode():
            yield where, node
        case SequenceNode():
            for number, item in enumerate(node.value):
                yield from _scalars(item, (*where, number))
        case MappingNode():
            for key, item in node.value:
                yield from _scalars(item, (*where, str(key.value)))


def _spliced(text: str, node: Node, new: str) -> str:
    """The text with `new` instead of the node; what stands behind it stays."""
    end = node.end_mark.index
    if isinstance(node, (MappingNode, SequenceNode)) and not node.flow_style and node.value:
        last = node.value[-1]
        while not isinstance(last, ScalarNode):
            last = last[1] if isinstance(last, tuple) else last.value[-1]
        end = last.end_mark.index
    old = text[node.start_mark.index : end]
    return f"{text[: node.start_mark.index]}{new}{old[len(old.rstrip()) :]}{text[end:]}"


parsed = lru_cache(maxsize=1)(parse_yaml)
"""For a large file that is looked at several times. What it returns must not be changed."""


def files_in(folder: Path) -> list[Path]:
    """Its files of definitions, in the order of their names, or the one file that it is; none if it
    can't be read."""
    try:
        if folder.is_file():
            return [folder]
        return sorted(path for path in folder.glob("*.yaml") if not path.name.startswith("."))
    except OSError:
        return []


def items_in(file: Path, name: str) -> tuple[str, list[Any]]:
    """The file's text, and its webhooks as they are written, if it contains this name and can be
    read."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
        # Most files needn't be parsed.
        document = parsed(text).value if name in text else None
    except (OSError, UnicodeDecodeError, BadYaml):
        return "", []
    items = document.get("webhooks") if isinstance(document, dict) else None
    return text, items if isinstance(items, list) else []

"""YAML text as nodes, by libyaml if it is installed: ten times as fast as the parser in Python.

The parser in Python has the words for what is wrong, and decides in doubt: libyaml reads YAML 1.1, which differs in
characters that hardly any file has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.tag import Tag

_IN_DOUBT = re.compile(r"[\t\x85\u2028\u2029\ufeff]|(?:^|[\s,{])[&*]\S*:|\[&\S*:", re.MULTILINE)
"""Tabs, line breaks of YAML 1.1 alone, and colons in the names of anchors."""
_MAX_DEPTH = 100
_STR, _SEQ, _MAP = (Tag(suffix=f"tag:yaml.org,2002:{kind}") for kind in ("str", "seq", "map"))
"""One for all nodes: each computes its text once."""
_ONLY_TEXT = frozenset("$/\"'abcdeghijklmpqrsuvwxzABCDEGHIJKLMPQRSUVWXZ")
"""What no number, boolean, null or time begins with."""


class _InDoubt(Exception):
    """It is for the parser in Python."""


@cache
def _plain() -> YAML:
    """The rules of YAML 1.2. Made once, since making it scans the package's folder each time."""
    return YAML(typ="safe", pure=True)


def constructor() -> SafeConstructor:
    """What makes plain values of scalars. It keeps them, so it is for one document."""
    return SafeConstructor(loader=_plain())


def compose(text: str) -> Node | None:
    """The document's root; None if it is empty. Raises what ruamel.yaml raises, and RecursionError."""
    if not _IN_DOUBT.search(text):
        try:
            return _Composer().compose(text)
        except (YAMLError, ValueError, _InDoubt):
            pass
    node: Node | None = YAML(typ="safe", pure=True).compose(text)
    return node


class _Composer:
    """Makes nodes of events: as deep as a file may be nested, and no deeper."""

    def __init__(self) -> None:
        self._resolver = _plain().resolver
        self._tags: dict[str, Tag] = {}
        """Of the texts so far that may be something else."""
        self._anchors: dict[str, Node] = {}
        self._open: list[tuple[Node, list[Node]]] = []
        """The mappings and sequences that the next event is in, with the nodes in them so far."""

    def compose(self, text: str) -> Node | None:
        root: Node | None = None
        documents = 0
        for event in _events(text):
            kind = type(event)
            if kind is ScalarEvent:
                node: Node = ScalarNode(self._tag(event), event.value, event.start_mark, event.end_mark)
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                node = self._begin(event)
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                self._end()
                continue
            elif kind is AliasEvent:
                self._put(self._anchored(event.anchor))
                continue
            elif kind is DocumentStartEvent:
                documents += 1
                if documents > 1 or event.version or event.tags:
                    raise _InDoubt
                continue
            else:
                continue
            if event.anchor is not None:
                self._anchors[event.anchor] = node
            if root is None:
                root = node
            if isinstance(node, ScalarNode):
                self._put(node)
        return root

    def _begin(self, event: Any) -> Node:
        if not _is_plain(event):
            raise _InDoubt
        is_mapping = type(event) is MappingStartEvent
        node: Node = (MappingNode if is_mapping else SequenceNode)(
            _MAP if is_mapping else _SEQ, [], event.start_mark, None
        )
        self._put(node)
        self._open.append((node, []))
        if len(self._open) > _MAX_DEPTH:  # the parser in Python would take time by the square of the depth
            raise RecursionError
        return node

    def _end(self) -> None:
        node, inner = self._open.pop()
        node.value += zip(inner[::2], inner[1::2], strict=True) if isinstance(node, MappingNode) else inner

    def _put(self, node: Node) -> None:
        if self._open:
            self._open[-1][1].append(node)

    def _anchored(self, name: str) -> Node:
        if name not in self._anchors:
            raise _InDoubt
        return self._anchors[name]

    def _tag(self, event: Any) -> Tag:
        if not _is_plain(event):
            raise _InDoubt
        text = event.value
        if not event.implicit[0] or text[:1] in _ONLY_TEXT:
            return _STR
        if text not in self._tags:
            self._tags[text] = self._resolver.resolve(ScalarNode, text, (True, False))
        return self._tags[text]


def _events(text: str) -> Iterator[Any]:
    try:
        from ruamel.yaml.cyaml import CParser  # type: ignore[attr-defined]
    except ImportError:  # libyaml isn't installed
        raise _InDoubt from None
    parser = CParser(text)
    try:
        while parser.check_event():
            yield parser.get_event()
    finally:
        parser.dispose()


def _is_plain(event: Any) -> bool:
    """Whether no tag is written."""
    return event.tag is None

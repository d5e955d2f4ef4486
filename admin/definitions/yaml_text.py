"""Changes parts of a YAML text, and leaves the rest as people wrote it: comments, quotes, order and indentation."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.tokens import CommentToken
from ruamel.yaml.util import load_yaml_guess_indent


def read_text(text: str) -> tuple[YAML, Any]:
    """The document, and what writes it with the indentation that it has."""
    _, indent, offset = load_yaml_guess_indent(text)
    yaml = _round_trip(indent, offset)
    return yaml, yaml.load(text)


def write_text(value: Any, yaml: YAML | None = None) -> str:
    """The value or document as YAML."""
    stream = io.StringIO()
    (yaml or _round_trip()).dump(value, stream)
    return stream.getvalue()


def merge(item: CommentedMap, new: Mapping[str, Any]) -> None:
    """Makes the mapping say what `new` says; only what differs is written anew."""
    following = _take_comment(item, list(item)[-1]) if item else ""
    for key in [key for key in item if key not in new]:
        _remove(item, key)
    for key, value in new.items():
        if key in item and _plain(item[key]) == _plain(value):
            continue
        below = _take_comment(item, key) if key in item else ""
        item[key] = _merged(item[key], value) if key in item else _commented(value)
        _give_comment(item, key, below)
    if item:
        _give_comment(item, list(item)[-1], following)


def _merged(old: Any, new: Any) -> Any:
    if _plain(old) == _plain(new):
        return old
    if _is_shared(old):
        return _commented(new)
    if isinstance(old, CommentedMap) and isinstance(new, Mapping) and new:
        merge(old, new)
        return old
    if isinstance(old, CommentedSeq) and isinstance(new, list) and new:
        _merge_items(old, new)
        return old
    return _commented(new)


def _merge_items(old: CommentedSeq, new: list[Any]) -> None:
    """The same for a list: items that stay keep their comments, and one that is changed keeps those in it."""
    following = _take_comment(old, len(old) - 1) if old else ""
    before, after = ([json.dumps(_plain(one), sort_keys=True) for one in items] for items in (old, new))
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for what, start, end, first, last in reversed(matcher.get_opcodes()):
        if what == "equal":
            continue
        both = min(end - start, last - first)
        for number in reversed(range(start + both, end)):
            del old[number]
        for number in reversed(range(first + both, last)):
            old.insert(start + both, _commented(new[number]))
        for number in range(both):
            old[start + number] = _merged(old[start + number], new[first + number])
    _give_comment(old, len(old) - 1, following)


def _commented(value: Any) -> Any:
    """The value in the types that can carry comments."""
    if isinstance(value, Mapping) and not isinstance(value, CommentedMap):
        return CommentedMap((key, _commented(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)) and not isinstance(value, CommentedSeq):
        return CommentedSeq(map(_commented, value))
    return value


def _remove(item: CommentedMap, key: Any) -> None:
    """Removes the key, but not the lines of comments below it, which are about what follows."""
    number = list(item).index(key)
    following = _take_comment(item, key)
    del item[key]
    item.ca.items.pop(key, None)
    if number > 0:
        _give_comment(item, list(item)[number - 1], following)
    elif item and following.strip():
        text = "\n".join(line.strip().removeprefix("#").removeprefix(" ") for line in following.strip().splitlines())
        item.yaml_set_comment_before_after_key(next(iter(item)), before=text, indent=item.lc.col or 0)


def _take_comment(holder: CommentedMap | CommentedSeq, key: Any) -> str:
    """Takes the lines of comments below what the key has, which ruamel hangs on the last thing in it."""
    value = holder[key]
    if _is_block(value):
        return _take_comment(value, list(value)[-1] if isinstance(value, CommentedMap) else len(value) - 1)
    tokens = holder.ca.items.get(key)
    token = tokens[_place(holder)] if tokens else None
    if token is None:
        return ""
    beside, _, below = str(token.value).partition("\n")
    if beside:
        token.value = f"{beside}\n"
    else:
        tokens[_place(holder)] = None
    return below


def _give_comment(holder: CommentedMap | CommentedSeq, key: Any, lines: str) -> None:
    """Puts lines of comments below what the key has."""
    value = holder[key]
    if not lines:
        return
    if _is_block(value):
        _give_comment(value, list(value)[-1] if isinstance(value, CommentedMap) else len(value) - 1, lines)
        return
    tokens = holder.ca.items.setdefault(key, [None, None, None, None])
    token = tokens[_place(holder)]
    before, column = ("", 0) if token is None else (str(token.value).rstrip("\n"), token.start_mark.column)
    tokens[_place(holder)] = CommentToken(f"{before}\n{lines}", CommentMark(column), None)


def _is_block(value: Any) -> bool:
    """Whether the value has lines of its own, below its key."""
    is_container = isinstance(value, (CommentedMap, CommentedSeq)) and bool(value)
    return is_container and not value.fa.flow_style() and not _is_shared(value)


def _is_shared(value: Any) -> bool:
    """Whether the value has an anchor, so that others may refer to it."""
    return isinstance(value, (CommentedMap, CommentedSeq)) and value.yaml_anchor() is not None


def _place(holder: CommentedMap | CommentedSeq) -> int:
    """Where ruamel keeps the comment behind a value."""
    return 2 if isinstance(holder, CommentedMap) else 0


def _plain(value: Any) -> Any:
    """ruamel's values as Python's own."""
    if isinstance(value, (CommentedMap, dict)):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (CommentedSeq, list, tuple)):
        return [_plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return None if value is None else str(value)


def _round_trip(indent: int | None = None, offset: int | None = None) -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    sequence = indent or 4
    yaml.indent(mapping=2, sequence=sequence, offset=sequence - 2 if offset is None else offset)
    return yaml

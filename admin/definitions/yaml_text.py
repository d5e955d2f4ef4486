"""Changes parts of a YAML text, and leaves the rest as people wrote it: comments, quotes, order and indentation."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from difflib import SequenceMatcher
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.scalarstring import FoldedScalarString, LiteralScalarString, PlainScalarString
from ruamel.yaml.tokens import CommentToken

from admin.definitions.unchanged_text import by_lines, by_words
from config.yaml_lines import BadYaml, parse_yaml

_BOM = "\ufeff"
_WIDTH = 1 << 20
"""Characters of a line: no text is folded."""
_DEEPEST = 8
"""Spaces by which lines are indented, at most."""
_DASH = re.compile(
    r"^(?P<key> *(?:- +)*)[^\s#-][^\n]*:[ ]*(?:#[^\n]*)?\n(?: *(?:#[^\n]*)?\n)*(?P<dash> *)-(?P<text> +)\S",
    re.MULTILINE,
)
"""The first list below a key."""
_BELOW = re.compile(r"^(?P<key> *(?:- +)*)[^\s#-][^\n]*:[ ]*\n(?P<below> *)[^\s#-]", re.MULTILINE)
"""A mapping below a key, perhaps."""


def edit_text(text: str, change: Callable[[Any], None], like: str | None = None) -> str:
    """The text after the change of its document; lines that the change doesn't concern stay as they are, to the byte.

    What is new is indented as in the text `like`, by default the text itself. Raises what ruamel.yaml raises if the
    text isn't YAML.
    """
    lines = _with_plain_ends(text)
    yaml = _round_trip(lines if like is None else _with_plain_ends(like))
    rewritten = _written(yaml.load(lines), yaml)
    document = yaml.load(lines)  # again: writing marks values as if they had anchors
    change(document)
    changed = _written(document, yaml)
    tries = (keeping(lines, rewritten, changed) for keeping in (by_words, by_lines))
    after = next((one for one in tries if _is_same(one, changed)), changed)
    if text.count("\r\n") * 2 > text.count("\n"):
        after = after.replace("\n", "\r\n")
    return f"{_BOM if text.startswith(_BOM) else ''}{after}"


def _with_plain_ends(text: str) -> str:
    return text.removeprefix(_BOM).replace("\r\n", "\n")


def _is_same(one: str, other: str) -> bool:
    """Whether the texts have the same values."""
    try:
        return bool(parse_yaml(one).value == parse_yaml(other).value)
    except BadYaml:
        return False


def write_text(value: Any) -> str:
    """The value as YAML."""
    return _written(value, _round_trip())


def remove_item(items: CommentedSeq, number: int) -> None:
    """Removes the item, but not the lines of comments below it, which are about what follows."""
    following = _take_comment(items, number)
    del items[number]
    if number > 0:
        _give_comment(items, number - 1, following)
    elif items:
        _put_before(items, 0, following)


def merge(item: CommentedMap, new: Mapping[str, Any]) -> None:
    """Makes the mapping say what `new` says; only what differs is rewritten.

    What it has from others by ``<<`` can be replaced, but not removed.
    """
    following = _take_comment(item, _own(item)[-1]) if _own(item) else ""
    for key in [key for key in _own(item) if key not in new]:
        _remove(item, key)
    for key, value in new.items():
        if key in item and plain(item[key]) == plain(value):
            continue
        is_own = key in _own(item)
        below = _take_comment(item, key) if is_own else ""
        item[key] = _merged(item[key], value) if is_own else _commented(value)
        _give_comment(item, key, below)
    if _own(item):
        _give_comment(item, _own(item)[-1], following)


def _own(item: CommentedMap) -> list[Any]:
    """The keys that it doesn't have from others by ``<<``."""
    return [key for key, _ in item.non_merged_items()]


def _merged(old: Any, new: Any) -> Any:
    if plain(old) == plain(new):
        return old
    if isinstance(old, (LiteralScalarString, FoldedScalarString)) and isinstance(new, str):
        # Several lines can be written like this if none begins or ends with spaces.
        is_block = all(line == line.strip() for line in new.split("\n")) and new[:1] not in ("", "\n")
        return LiteralScalarString(new) if is_block and "\n" in new else PlainScalarString(new)
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
    before, after = ([json.dumps(plain(one), sort_keys=True) for one in items] for items in (old, new))
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for what, start, end, first, last in reversed(matcher.get_opcodes()):
        if what == "equal":
            continue
        both = min(end - start, last - first)
        for number in reversed(range(start + both, end)):
            remove_item(old, number)
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
    number = _own(item).index(key)
    following = _take_comment(item, key)
    del item[key]
    item.ca.items.pop(key, None)
    own = _own(item)
    if number > 0:
        _give_comment(item, own[number - 1], following)
    elif own:
        _put_before(item, own[0], following)


def _put_before(holder: CommentedMap | CommentedSeq, key: Any, lines: str) -> None:
    """Puts comment lines above the first item."""
    if lines.strip():
        text = "\n".join(line.strip().removeprefix("#").removeprefix(" ") for line in lines.strip().splitlines())
        holder.yaml_set_comment_before_after_key(key, before=text, indent=holder.lc.col or 0)


def _take_comment(holder: CommentedMap | CommentedSeq, key: Any) -> str:
    """Removes and returns the comment lines below the key's value, which ruamel attaches to the last thing in it."""
    value = holder[key]
    if _is_block(value):
        return _take_comment(value, _own(value)[-1] if isinstance(value, CommentedMap) else len(value) - 1)
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
    """Puts comment lines below the key's value."""
    value = holder[key]
    if not lines:
        return
    if _is_block(value):
        _give_comment(value, _own(value)[-1] if isinstance(value, CommentedMap) else len(value) - 1, lines)
        return
    tokens = holder.ca.items.setdefault(key, [None, None, None, None])
    token = tokens[_place(holder)]
    before, column = ("", 0) if token is None else (str(token.value).rstrip("\n"), token.start_mark.column)
    tokens[_place(holder)] = CommentToken(f"{before}\n{lines}", CommentMark(column), None)


def _is_block(value: Any) -> bool:
    """Whether the value is on separate lines, below its key."""
    is_container = bool(_own(value)) if isinstance(value, CommentedMap) else isinstance(value, CommentedSeq) and value
    return bool(is_container) and not value.fa.flow_style() and not _is_shared(value)


def _is_shared(value: Any) -> bool:
    """Whether the value has an anchor, so that others may refer to it."""
    return isinstance(value, (CommentedMap, CommentedSeq)) and value.yaml_anchor() is not None


def _place(holder: CommentedMap | CommentedSeq) -> int:
    """Where ruamel keeps the comment behind a value."""
    return 2 if isinstance(holder, CommentedMap) else 0


def plain(value: Any) -> Any:
    """The value in Python's own types, whatever ruamel.yaml's or tuples it has."""
    if isinstance(value, (CommentedMap, dict)):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (CommentedSeq, list, tuple)):
        return [plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return None if value is None else str(value)


def _written(value: Any, yaml: YAML) -> str:
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()


def _round_trip(text: str = "") -> YAML:
    """What reads the text, and writes it with the indentation that it has."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.allow_duplicate_keys = True  # of another webhook, whose line says so wherever definitions are checked
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    yaml.width = _WIDTH
    dash = _DASH.search(text)
    offset = len(dash["dash"]) - len(dash["key"]) if dash else 2
    behind = len(dash["text"]) if dash else 1
    mapping = next(
        (by for one in _BELOW.finditer(text) if 2 <= (by := len(one["below"]) - len(one["key"])) <= _DEEPEST), 2
    )
    if not 0 <= offset <= _DEEPEST or behind > _DEEPEST:
        offset, behind = 2, 1
    yaml.indent(mapping=mapping, sequence=offset + 1 + behind, offset=offset)
    return yaml

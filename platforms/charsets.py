"""Encodings of text that a sender may name: found in a table.

`codecs.lookup` remembers every name that it is asked for, for good, also those that it doesn't know: strangers could
fill the memory with names.
"""

from __future__ import annotations

import codecs
from encodings import normalize_encoding
from encodings.aliases import aliases

_READ = frozenset(
    codecs.lookup(name).name
    for name in (
        "utf-8", "utf-8-sig", "ascii", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "koi8-r", "koi8-u", "big5",
        "gb2312", "gbk", "gb18030", "shift_jis", "euc-jp", "iso2022_jp", "euc-kr", "tis-620",
        *(f"iso8859-{number}" for number in (*range(1, 12), *range(13, 17))),
        *(f"cp{number}" for number in range(1250, 1259)),
    )
)  # fmt: skip
"""The rest of Python's codecs are no encodings of text, or slow."""
_LONGEST_NAME = 40


def _table() -> dict[str, str]:
    found = {normalize_encoding(codec): codec for codec in _READ}
    for alias, module in aliases.items():
        codec = codecs.lookup(module).name if _is_text(module) else ""
        if codec in _READ:
            found[alias.replace(".", "_")] = found[module] = codec
    return found


def _is_text(module: str) -> bool:
    try:
        codecs.lookup(module)
    except LookupError:  # some are there on Windows only
        return False
    return True


_CODECS = _table()


def codec_of(name: str) -> str | None:
    """Python's name of the encoding; None if it is none that the bridge reads."""
    if len(name) > _LONGEST_NAME:
        return None
    return _CODECS.get(normalize_encoding(name).lower().replace(".", "_"))

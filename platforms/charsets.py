"""Text encodings that a sender may name, in a table.

`codecs.lookup` caches every name permanently, even unknown ones: strangers could fill the memory
with names.
"""

from __future__ import annotations

import codecs
from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import cache

_READ = (
    "utf-8", "utf-8-sig", "ascii", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "koi8-r", "koi8-u", "big5",
    "gb2312", "gbk", "gb18030", "shift_jis", "euc-jp", "iso2022_jp", "euc-kr", "tis-620",
    *(f"iso8859-{number}" for number in (*range(1, 12), *range(13, 17))),
    *(f"cp{number}" for number in range(1250, 1259)),
)  # fmt: skip
"""Python's other codecs aren't text encodings, or are slow."""
_LONGEST_NAME = 40
_USUAL = {"utf_8": "utf-8", "utf8": "utf-8"}


@cache
def _table() -> dict[str, str]:
    """Made when it is needed: it imports a hundred modules, and most senders name only UTF-8."""
    read = {codecs.lookup(name).name for name in _READ}
    found = {normalize_encoding(codec): codec for codec in read}
    for alias, module in aliases.items():
        codec = codecs.lookup(module).name if _is_text(module) else ""
        if codec in read:
            found[alias.replace(".", "_")] = found[module] = codec
    return found


def _is_text(module: str) -> bool:
    try:
        codecs.lookup(module)
    except LookupError:  # some exist only on Windows
        return False
    return True


def codec_of(name: str) -> str | None:
    """Python's name of the encoding; None if the bridge doesn't read it."""
    if len(name) > _LONGEST_NAME:
        return None
    normalized = normalize_encoding(name).lower().replace(".", "_")
    return _USUAL.get(normalized) or _table().get(normalized)

"""A platform's documentation: its README, its sample events, and its row in docs/platforms.md,
beside those of senders.

``python -m platforms.guide docs/platforms.md`` writes the rows.
"""

from __future__ import annotations

import json
import re
import secrets
import string
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from platforms import PLATFORMS
from platforms.base import Platform
from platforms.senders import SENDERS

_ROWS = re.compile(r"(?<=^\|---\|---\|---\|---\|---\|\n)(?:\|.*\n)*", re.MULTILINE)
_SENDERS_ROWS = re.compile(r"(?<=^\|---\|---\|---\|\n)(?:\|.*\n)*", re.MULTILINE)
_FOLDERS = Path(__file__).parent


@dataclass(frozen=True)
class Guide:
    """How to connect one platform."""

    platform: Platform
    setup: str
    """What to do at the platform, as Markdown."""
    notes: tuple[str, ...] = ()
    """What else to know, as Markdown."""


@dataclass(frozen=True)
class SampleEvent:
    """A delivery as the platform might send it, with invented content."""

    name: str
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    fresh: tuple[str, ...] = ()
    """Texts of body and headers, such as ids, that differ from one event to the next."""

    def made_anew(self) -> SampleEvent:
        """Another event like this one: its ids are new, of the same form, so that it is no
        duplicate."""
        body, headers = self.body, dict(self.headers)
        for text in self.fresh:
            other = of_the_same_form(text)
            body = body.replace(text.encode(), other.encode())
            headers = {name: value.replace(text, other) for name, value in headers.items()}
        return replace(self, body=body, headers=headers)


@cache
def guides() -> dict[str, Guide]:
    """Platform → guide, in alphabetical order."""
    return {name: _guide(platform) for name, platform in PLATFORMS.items()}


def _guide(platform: Platform) -> Guide:
    setup, _, rest = _readme(platform)[1].partition("```yaml")
    notes = re.sub(r"```yaml.*?```", "", "```yaml" + rest, flags=re.DOTALL).split("\n\n")
    joined = (" ".join(note.split()) for note in notes)
    return Guide(
        platform,
        " ".join(setup.split()),
        tuple(note for note in joined if note and not note.endswith(":")),
    )


@cache
def samples(platform: str) -> dict[str, SampleEvent]:
    """Name → sample event of the platform; the first one is the best to start with."""
    files = sorted(_folder(PLATFORMS[platform]).glob("samples/*.json"))
    written = [(file.stem, json.loads(file.read_text(encoding="utf-8"))) for file in files]
    written.sort(key=lambda named: not named[1].get("first", False))
    return {name: _sample(name, sample) for name, sample in written}


def _sample(name: str, written: dict[str, Any]) -> SampleEvent:
    headers, fresh = written.get("headers", {}), tuple(written.get("fresh", ()))
    if "form" in written:
        return SampleEvent(
            name,
            urlencode(written["form"]).encode(),
            "application/x-www-form-urlencoded",
            headers,
            fresh,
        )
    if "text" in written:
        return SampleEvent(name, written["text"].encode(), written["content_type"], headers, fresh)
    body = json.dumps(written["body"], ensure_ascii=False).encode()
    return SampleEvent(name, body, "application/json", headers, fresh)


def of_the_same_form(text: str) -> str:
    """Another text: another digit for each digit (the first not 0), another letter for each letter;
    hex stays hex."""
    is_hexadecimal = set(text) <= set("0123456789abcdef")
    made = ""
    for character in text:
        if character.isdigit():
            others = string.digits if made else string.digits[1:]
        elif not character.isalpha():
            others = character
        elif character.isupper():
            others = string.ascii_uppercase
        else:
            others = "abcdef" if is_hexadecimal else string.ascii_lowercase
        made += secrets.choice(others.replace(character, "") or character)
    return made


def _folder(platform: Platform) -> Path:
    return _FOLDERS / platform.name.replace("-", "_")


def _readme(platform: Platform) -> tuple[str, str]:
    """The README's row in the table of all platforms, and its text."""
    _title, table, text = (
        _folder(platform).joinpath("README.md").read_text(encoding="utf-8").split("\n\n", 2)
    )
    return table.splitlines()[2], text


def with_rows(page: str) -> str:
    """docs/platforms.md with a row for each platform, and for each sender, in its tables."""
    rows = senders = ""
    for name, platform in PLATFORMS.items():
        cells = _readme(platform)[0].rstrip("| ").rpartition("|")[0]
        rows += f"| [`{name}`](../platforms/{_folder(platform).name}/README.md) {cells}|\n"
    for sender in SENDERS.values():
        folder, settings = (
            _folder(PLATFORMS[sender.platform]).name,
            sender.settings and f"`{sender.settings}`",
        )
        verified = f"[`{sender.platform}`](../platforms/{folder}/README.md)"
        senders += f"| [{sender.title}]({sender.documentation}) | {verified} | {settings} |\n"
    return _SENDERS_ROWS.sub(lambda _: senders, _ROWS.sub(lambda _: rows, page))


if __name__ == "__main__":
    written = Path(sys.argv[1])
    written.write_text(with_rows(written.read_text(encoding="utf-8")), encoding="utf-8")

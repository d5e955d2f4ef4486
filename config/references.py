"""References in definitions: ``${NAME}`` is an environment variable, ``${file:PATH}`` a file's
content.

They are allowed only where secrets belong. Anywhere else they could expose one to people or
senders.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from config.yaml_lines import Where

DOTENV = Path(".env")
"""Where names come from that the environment lacks."""
UNRESOLVED = "a reference that can't be resolved"
"""Placeholder for an unresolved reference until the problem is reported: nothing is loaded with
it."""

NOT_SET = "is not set"
"""How a problem ends that is only about this machine: an environment variable is missing here."""

NOT_LOOKED_UP = "a secret that this process doesn't need"
"""Placeholder for secrets in processes that verify nothing."""

Stamp = tuple[int, int, int, int]
"""A fingerprint of a file's state: another one once it is edited, replaced, or becomes readable; of
a folder, once a file is added or removed."""
Stamps = dict[Path, Stamp]
"""File → its fingerprint, just before it was read."""

_MISSING = (0, 0, 0, 0)

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}")
_HOW_TO_WRITE = "write ${NAME} or ${file:PATH}, or $${ for a literal ${"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ONLY_REFERENCES = re.compile(r"(?:\$\{[^{}]+\})+")
_SECRET_PLACES: tuple[tuple[str, ...], ...] = (
    ("secret",),
    ("verify_token",),
    ("headers", "*"),
    ("signature", "secret"),
    ("callback", "secret"),
)
"""Keys of a webhook; ``*`` is any name. Each may be a list of secrets."""
_FIRST_KEYS = frozenset(place[0] for place in _SECRET_PLACES)


def stamp_of(path: Path) -> Stamp:
    """The file's fingerprint now."""
    try:
        status = os.stat(path)
    except OSError:
        return _MISSING
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def stamps_of(paths: Iterable[Path]) -> Stamps:
    """The files' fingerprints now."""
    return {path: stamp_of(path) for path in paths}


def may_hold_reference(where: Where) -> bool:
    """Whether a reference is allowed at this place in a webhook, because a secret belongs there.

    `where`: the keys that lead to the place, such as ``("signature", "secret")``; an index for a
    list item.
    """
    if not where or where[0] not in _FIRST_KEYS:  # nearly all places
        return False
    keys = where[:-1] if where and isinstance(where[-1], int) else where
    return any(
        len(keys) == len(place)
        and all(key == "*" or key == part for key, part in zip(place, keys, strict=True))
        for place in _SECRET_PLACES
    )


def has_secret(value: str) -> bool:
    """Whether the text at a secret's place is, or contains besides references, the secret itself."""
    return not _ONLY_REFERENCES.fullmatch(value)


def holds_secret(value: Any, where: Where = ()) -> bool:
    """Whether a webhook, as written, contains a secret itself."""
    if isinstance(value, dict):
        return any(holds_secret(item, (*where, key)) for key, item in value.items())
    if isinstance(value, list):
        return any(holds_secret(item, (*where, number)) for number, item in enumerate(value))
    return may_hold_reference(where) and has_secret(str(value))


Report = Callable[[str, str], None]
"""Receives what is wrong, and the remedy."""


class _Unresolved(Exception):
    """What is wrong with a reference, and the remedy."""


class References:
    """Where references are looked up."""

    def __init__(
        self,
        environment: Mapping[str, str] | None,
        instead: Mapping[Path, str | None],
        sources: Stamps,
    ):
        """`environment` is where ``${NAME}`` comes from; `instead` has texts to use instead of
        reading these files; `sources` receives the files that are read.

        Without an environment nothing is looked up: every reference becomes `NOT_LOOKED_UP`.
        """
        self._environment = environment
        self._instead = instead
        self._sources = sources
        self.files: list[Path] = []
        """The files that the definitions named, readable or not."""

    @property
    def looks_up(self) -> bool:
        """Whether what the definitions name is looked up at all."""
        return self._environment is not None

    def read(self, path: Path) -> str:
        """The text of a file that the definitions name. Raises OSError, ValueError."""
        self.files.append(path)
        self._sources.setdefault(path, stamp_of(path))
        given = self._instead.get(path)
        return path.read_bytes().decode("utf-8-sig") if given is None else given

    def resolve(self, text: str, where: Where, folder: Path, report: Report) -> str:
        """The text with every reference replaced; unresolvable ones are reported. Paths are
        relative to the folder."""

        def replace(match: re.Match[str]) -> str:
            reference = match[1]
            if reference is None:  # $${ is a literal ${
                return "${"
            try:
                return self._look_up(reference, where, folder)
            except _Unresolved as error:
                report(*error.args)
                return UNRESOLVED

        if "${" in _REFERENCE.sub("", text):
            report("a ${ without its }", _HOW_TO_WRITE)
        return _REFERENCE.sub(replace, text)

    def _look_up(self, reference: str, where: Where, folder: Path) -> str:
        """Raises _Unresolved."""
        if not may_hold_reference(where):
            remedy = (
                "write the value itself, or $${ for a literal ${; references are for secrets and"
                " headers' values"
            )
            raise _Unresolved("a reference where no secret belongs", remedy)
        if self._environment is None:
            return NOT_LOOKED_UP
        if reference.startswith("file:"):
            return self._content_of(reference.removeprefix("file:"), folder)
        if not _VARIABLE.fullmatch(reference):
            raise _Unresolved(f"${{{reference}}} names no variable", _HOW_TO_WRITE)
        text = self._environment.get(reference, "")
        if not text.strip():
            state = "is empty" if reference in self._environment else NOT_SET
            remedy = f"set it, or put {reference}=… into .env"
            raise _Unresolved(f"the environment variable {reference} {state}", remedy)
        return text

    def _content_of(self, name: str, folder: Path) -> str:
        """Raises _Unresolved."""
        try:
            text = self.read(folder / name).rstrip("\r\n")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            what = f"the file {name} can't be read: {reason}"
            raise _Unresolved(what, "create it, readable by the bridge") from None
        if not text.strip():
            raise _Unresolved(f"the file {name} is empty", "write the secret into it")
        return text


def environment_with_dotenv() -> dict[str, str]:
    """The process's environment and, for names that it lacks, the file ``.env``, read again each
    time."""
    try:
        found = {name: value for name, value in dotenv_values(DOTENV).items() if value is not None}
    except (OSError, UnicodeDecodeError):
        found = {}
    return {**found, **os.environ}


def concealed(text: str, written: Any, resolved: Any, location: Where) -> str:
    """The text with resolved references, which may be secrets, replaced by the references again."""
    if not isinstance(written, str) or "${" not in written:
        return text
    for part in location:
        resolved = resolved[part]
    return text.replace(repr(resolved), repr(written)).replace(str(resolved), written)

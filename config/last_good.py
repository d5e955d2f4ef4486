"""Definitions in which each file stands alone: if one is broken, its last good webhooks stay in force.

They are remembered as written, with their references, so that secrets are still re-read while a file is broken. What is
kept in the store for the next process is the same, without the webhooks that have a secret in the YAML itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from config.definitions import Definitions
from config.file_stamps import stamps_of
from config.loader import Loader
from config.model import Webhook
from config.problems import DefinitionsError, Problem, Problems
from config.references import DOTENV, environment_with_dotenv, holds_secret
from config.yaml_lines import Located

if TYPE_CHECKING:  # the worker reads definitions without loading the platforms
    from platforms.base import Platform

MAX_KEPT = 1_000_000
"""Characters: nothing is kept of a larger file."""
_FORMAT = 1
"""The format of what is kept: another version of the bridge may write a different one."""


class CantRead(ValueError):
    """This version of the bridge can't read what was kept."""


@dataclass
class _Remembered:
    """The last good webhooks of one file."""

    written: list[dict[str, Any]]
    """As written, with their references."""
    left_out: frozenset[str] = frozenset()
    """Last parts of the URLs of webhooks that weren't kept, since they have a secret in the YAML itself."""
    resolved: dict[str, Webhook] = field(default_factory=dict)
    """name → the last good webhook, with its secrets."""


class LastGood:
    """Loads definitions, and remembers the last good ones of each file."""

    def __init__(
        self,
        platforms: Mapping[str, Platform] | None = None,
        *,
        may_be_empty: bool = False,
        conductor_payload: int | None = None,
        partial: bool = False,
        looks_up_secrets: bool = True,
    ):
        """The arguments are those of `config.loader.load_definitions`.

        Without `looks_up_secrets` the webhooks have none: for a process that verifies nothing.
        `partial`: `load` never raises, and for a broken file returns what can be read, plus the last good webhooks
        for the rest. Secrets may be missing: this is for showing webhooks to people, never for verifying.
        """
        self._platforms = platforms
        self._may_be_empty = may_be_empty
        self._conductor_payload = conductor_payload
        self._partial = partial
        self._looks_up_secrets = looks_up_secrets
        self._remembered: dict[str, _Remembered] = {}
        self._unreadable: dict[str, str] = {}

    # --- what is kept for the next process ------------------------------------------------------------------

    def kept(self) -> dict[str, str]:
        """file name → what to keep of it."""
        found = {}
        for name, remembered in self._remembered.items():
            without_secrets: list[dict[str, Any]] = []
            with_secrets: list[dict[str, Any]] = []
            for webhook in remembered.written:
                (with_secrets if holds_secret(webhook) else without_secrets).append(webhook)
            text = json.dumps(
                {
                    "format": _FORMAT,
                    "webhooks": without_secrets,
                    "leftOut": sorted(remembered.left_out | _url_ids(with_secrets)),
                },
                sort_keys=True,
            )
            if len(text) <= MAX_KEPT:
                found[name] = text
        return found

    def remember(self, kept: Mapping[str, str]) -> None:
        """Adopts what an earlier process kept for files of which this one has read nothing good."""
        for name, text in kept.items():
            if name in self._remembered:
                continue
            try:
                self._remembered[name] = _read(text)
            except CantRead as error:
                self._unreadable[name] = str(error)

    # --- loading --------------------------------------------------------------------------------------------

    def begin(self, path: Path, read_kept: Callable[[], Mapping[str, str]]) -> Definitions:
        """Like `load`, for a process that starts: for a broken file, uses what an earlier process kept.

        `read_kept` reads that; if it raises, nothing was kept.
        """
        error: DefinitionsError | None = None
        try:
            found = self.load(path)
            if not found.errors:
                return found
        except DefinitionsError as raised:
            error = raised
        try:
            self.remember(read_kept())
        except Exception as unreadable:
            structlog.get_logger().warning("the kept definitions can't be read", error=str(unreadable))
            if error is not None:
                raise error from None
            return found
        return self.load(path)

    def load(self, path: Path) -> Definitions:
        """Reads the file, or the folder's files. Their problems are in `errors`.

        Raises DefinitionsError if nothing good is known of any file.
        """
        sources = stamps_of([DOTENV])
        environment = environment_with_dotenv() if self._looks_up_secrets else None
        loader = Loader(self._platforms, environment, {}, self._may_be_empty, self._conductor_payload, sources)
        files = loader.files(path)
        missing = bool(loader.problems.errors())
        unavailable: set[str] = set()
        good = 0
        if missing:  # the folder or file itself
            files = self._remembered_files(path)
            sources |= stamps_of(files)
        else:
            self._forget_others(files)
        for file in files:
            readable: list[Webhook] = []
            if not missing and self._read_file(loader, file, readable):
                good += 1
                continue
            if self._partial:
                for webhook in readable:
                    _add(loader, file, webhook, {})
            if (remembered := self._remembered.get(file.name)) is not None:
                unavailable |= self._fall_back(loader, file, remembered)
                good += 1
            elif (reason := self._unreadable.get(file.name)) is not None:
                what = f"its kept definitions can't be read: {reason}"
                loader.problems.add(Problem(str(file), 1, "kept", what, "fix the file"))
        errors, warnings = tuple(sorted(loader.problems.errors())), tuple(sorted(loader.problems.warnings()))
        if errors and not good and not self._partial:
            raise DefinitionsError(errors, warnings, sources)
        return Definitions(
            tuple(loader.webhooks),
            warnings,
            sources,
            tuple(loader.secrets),
            errors,
            frozenset(unavailable),
            loader.places,
        )

    def _remembered_files(self, path: Path) -> list[Path]:
        """Where the remembered files would be, if the folder or file could be read."""
        if path.name in self._remembered:
            return [path]
        return [path / name for name in sorted(self._remembered)]

    def _forget_others(self, files: Iterable[Path]) -> None:
        names = {file.name for file in files}
        self._remembered = {name: one for name, one in self._remembered.items() if name in names}

    def _read_file(self, loader: Loader, file: Path, readable: list[Webhook]) -> bool:
        """Reads a file; if it is broken, takes all of it back, into `readable`. Returns whether it is good."""
        problems, webhooks, taken = len(loader.problems), len(loader.webhooks), len(loader.taken)
        loader.read(file)
        if loader.problems.errors(problems):
            readable += loader.webhooks[webhooks:]
            del loader.webhooks[webhooks:], loader.written[webhooks:]
            loader.take_back(taken)
            return False
        self._remembered[file.name] = _Remembered(
            loader.written[webhooks:], resolved={webhook.name: webhook for webhook in loader.webhooks[webhooks:]}
        )
        return True

    def _fall_back(self, loader: Loader, file: Path, remembered: _Remembered) -> set[str]:
        """Puts a broken file's last good webhooks in force; the last parts of the URLs of those that can't be."""
        unavailable = set(remembered.left_out)
        for url_id in sorted(unavailable) if not self._partial else ():
            _not_in_force(loader, file, url_id, "its secret is in the YAML itself, and so wasn't kept")
        for written in remembered.written:
            # Apart from those of the broken file, among which the same one would not be noticed.
            problems, loader.problems = loader.problems, Problems()
            taken, number = len(loader.taken), len(loader.webhooks)
            loader.read_document(file, Located({"webhooks": [written]}))
            wrong = loader.problems.errors()
            loader.problems = problems
            if not wrong:
                webhook = loader.webhooks[number]
                remembered.resolved[webhook.name] = webhook
                continue
            unresolved = loader.webhooks[number] if self._partial and len(loader.webhooks) > number else None
            del loader.webhooks[number:], loader.written[number:]
            loader.take_back(taken)
            name = written.get("name")
            last = remembered.resolved.get(str(name), unresolved)
            url_id = str(written.get("id") or name)
            if ("name", str(name)) in loader.taken or ("url", url_id) in loader.taken:
                continue  # it has moved to another file
            if last is None:
                unavailable.add(url_id)
                _not_in_force(loader, file, url_id, f"{wrong[0].where}: {wrong[0].what}")
                continue
            _add(loader, file, last, written)
        return unavailable - {url for kind, url in loader.taken if kind == "url"}


def _add(loader: Loader, file: Path, webhook: Webhook, written: dict[str, Any]) -> None:
    """Adds a webhook of a broken file, unless another one has its name."""
    if ("name", webhook.name) not in loader.taken:
        loader.webhooks.append(webhook)
        loader.written.append(written)
        loader.taken |= {("name", webhook.name): str(file), ("url", webhook.url_id): str(file)}


def _not_in_force(loader: Loader, file: Path, url_id: str, why: str) -> None:
    what = f"its last good definition can't be used ({why}), so its deliveries are answered 503"
    loader.problems.add(Problem(str(file), 1, f"/webhook/{url_id}", what, "fix the file"))


def _url_ids(webhooks: Iterable[Mapping[str, Any]]) -> set[str]:
    return {str(webhook.get("id") or webhook.get("name")) for webhook in webhooks}


def _read(text: str) -> _Remembered:
    """Raises CantRead."""
    try:
        value = json.loads(text)
        form, webhooks, left_out = value["format"], value["webhooks"], value["leftOut"]
    except (ValueError, TypeError, KeyError):
        raise CantRead("this version of the bridge can't read its format") from None
    if form != _FORMAT:
        raise CantRead(f"it has format {form}, and this version of the bridge reads format {_FORMAT}")
    if not isinstance(webhooks, list) or not all(isinstance(one, dict) for one in webhooks):
        raise CantRead("this version of the bridge can't read its format")
    return _Remembered(webhooks, frozenset(map(str, left_out)))

"""Definitions in which each file stands alone: if one is broken, its last good webhooks stay in
force.

They are remembered as written, with their references, so that secrets are still re-read while a
file is broken. What is kept in the store for the next process is the same, without the webhooks
that have a secret in the YAML itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import BaseModel, Field, ValidationError

from config.definitions import Definitions
from config.loader import FileContent, Loader, errors_in
from config.model import Webhook
from config.problems import DefinitionsError, Problem
from config.references import DOTENV, environment_with_dotenv, holds_secret, stamps_of

if TYPE_CHECKING:  # the worker reads definitions without loading the platforms
    from platforms.base import Platform


class _Remembered(BaseModel):
    """The last good webhooks of one file."""

    webhooks: list[dict[str, Any]]
    """As written, with their references."""
    left_out: list[str] = Field(default=[], alias="leftOut")
    """Last parts of the URLs of webhooks that weren't kept, since they have a secret in the YAML
    itself."""
    resolved: dict[str, Webhook] = Field(default={}, exclude=True)
    """name → the last good webhook, with its secrets."""

    def kept(self) -> str:
        """What the next process may know."""
        with_secrets = {_url_id(webhook) for webhook in self.webhooks if holds_secret(webhook)}
        webhooks = [webhook for webhook in self.webhooks if not holds_secret(webhook)]
        return _Remembered(
            webhooks=webhooks, leftOut=sorted(with_secrets.union(self.left_out))
        ).model_dump_json(by_alias=True)


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
        `partial`: `load` never raises, and for a broken file returns what can be read, plus the
        last good webhooks for the rest. Secrets may be missing: this is for showing webhooks to
        people, never for verifying.
        """
        self._platforms = platforms
        self._may_be_empty = may_be_empty
        self._conductor_payload = conductor_payload
        self._partial = partial
        self._looks_up_secrets = looks_up_secrets
        self._remembered: dict[str, _Remembered] = {}

    def kept(self) -> dict[str, str]:
        """file name → what to keep of it for the next process."""
        return {name: remembered.kept() for name, remembered in self._remembered.items()}

    def remember(self, kept: Mapping[str, str]) -> None:
        """Adopts what an earlier process kept for files of which this one has read nothing good."""
        for name, text in kept.items():
            if name not in self._remembered:
                try:
                    self._remembered[name] = _Remembered.model_validate_json(text)
                except ValidationError:
                    structlog.get_logger().warning(
                        "this version can't read what another kept of a file", file=name
                    )

    def begin(self, path: Path, read_kept: Callable[[], Mapping[str, str]]) -> Definitions:
        """Like `load`, for a process that starts: for a broken file, uses what an earlier process
        kept.

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
            structlog.get_logger().warning(
                "the kept definitions can't be read", error=str(unreadable)
            )
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
        loader = Loader(
            self._platforms, environment, {}, self._may_be_empty, self._conductor_payload, sources
        )
        files = loader.files(path)
        is_there = not errors_in(loader.problems)
        if is_there:
            self._forget_all_but(files)
        else:  # what is wrong is the folder, or the file itself
            files = self._remembered_files(path)
            sources |= stamps_of(files)
        unavailable: set[str] = set()
        has_good = False
        for file in files:
            is_good = is_there and self._read(loader, file)
            if not is_good and file.name in self._remembered:
                unavailable |= self._fall_back(loader, file, self._remembered[file.name])
                is_good = True
            has_good = has_good or is_good
        definitions = loader.definitions(unavailable)
        if definitions.errors and not has_good and not self._partial:
            raise DefinitionsError(definitions.errors, definitions.warnings, sources)
        return definitions

    def _remembered_files(self, path: Path) -> list[Path]:
        """The files of which something is remembered: `path` itself, or those in this folder."""
        if path.name in self._remembered:
            return [path]
        return [path / name for name in sorted(self._remembered)]

    def _forget_all_but(self, files: Iterable[Path]) -> None:
        names = {file.name for file in files}
        self._remembered = {name: one for name, one in self._remembered.items() if name in names}

    def _read(self, loader: Loader, file: Path) -> bool:
        """Reads the file. Puts it in force and remembers it if it has no errors, and returns
        whether that is so; with `partial`, what can be read of a broken one is in force too."""
        content = loader.read(file)
        if content.errors:
            for webhook in content.webhooks if self._partial else ():
                _add(loader, file, webhook)
            return False
        resolved = {webhook.name: webhook for webhook in content.webhooks}
        self._remembered[file.name] = _Remembered(webhooks=content.written, resolved=resolved)
        loader.add(content)
        return True

    def _fall_back(self, loader: Loader, file: Path, remembered: _Remembered) -> set[str]:
        """Puts a broken file's last good webhooks in force; the last parts of the URLs of those
        that can't be."""
        unavailable = set(remembered.left_out)
        if not self._partial:
            for url_id in sorted(unavailable):
                why = "its secret is in the YAML itself, and so wasn't kept"
                _not_in_force(loader, file, url_id, why)
        for written in remembered.webhooks:
            content = loader.read_again(file, written)
            name, url_id = str(written.get("name")), _url_id(written)
            if not content.errors:
                remembered.resolved[name] = content.webhooks[0]
                loader.add(content)
            elif ("name", name) in loader.taken or ("url", url_id) in loader.taken:
                pass  # it has moved to another file
            elif name in remembered.resolved:
                _add(loader, file, remembered.resolved[name])
            elif self._partial and content.webhooks:
                _add(loader, file, content.webhooks[0])
            else:
                unavailable.add(url_id)
                error = content.errors[0]
                _not_in_force(loader, file, url_id, f"{error.where}: {error.what}")
        return unavailable - {url for kind, url in loader.taken if kind == "url"}


def _add(loader: Loader, file: Path, webhook: Webhook) -> None:
    """Adds a webhook of a broken file, unless another one has its name."""
    taken = {("name", webhook.name): str(file), ("url", webhook.url_id): str(file)}
    if ("name", webhook.name) not in loader.taken:
        loader.add(FileContent([webhook], taken=taken))


def _not_in_force(loader: Loader, file: Path, url_id: str, why: str) -> None:
    what = f"its last good definition can't be used ({why}), so its deliveries are answered 503"
    loader.problems[Problem(str(file), 1, f"/webhook/{url_id}", what, "fix the file")] = None


def _url_id(webhook: Mapping[str, Any]) -> str:
    return str(webhook.get("id") or webhook.get("name"))

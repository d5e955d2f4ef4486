"""Writes webhooks into the folder of definitions: checked like any other edit, and either
completely or not at all.

A new webhook gets its own file NAME.yaml. A webhook is changed or deleted where it is, and
everything else in the file stays as it is, comments included. Secrets are files of mode 0600 in
``secrets/``, which the YAML names by
``${file:…}``.
"""

from __future__ import annotations

import fcntl
import hmac
import os
import re
import secrets as random
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from admin.definitions.entry_text import (
    CantCut,
    Entry,
    blanked,
    cut_out,
    files_in,
    items_in,
    parsed,
    with_secrets,
    with_value,
)
from admin.definitions.values import Keys, Refer, Secret, Verbatim, as_yaml, to_yaml_value
from admin.errors import BadRequest, CantDo
from config import private
from config.value_types import URL_PART
from config.webhooks import DefinitionsError, Problem, Webhook, load_definitions
from config.yaml_lines import BadYaml, parse_yaml
from platforms import PLATFORMS

SECRETS = "secrets"
"""The folder of secret files, next to the YAML."""
_KEY = random.token_bytes(32)
_OWN_SECRET = re.compile(
    r"\$\{file:(secrets/[A-Za-z0-9][A-Za-z0-9._~-]*\.[a-z0-9-]+-[0-9a-f]{8})\}"
)
"""A reference to a secret file that we made: no other file is ever removed."""
_LINE = re.compile(r"(?<=line )\d+|(?<=\.yaml:)\d+")


class CantWrite(CantDo):
    """The definitions can't be written here; the text says why and what to do."""


class NameTaken(CantDo):
    """Another webhook has this name, or its file exists."""


class Changed(CantDo):
    """Somebody else has changed or removed the webhook since it was read."""


class Invalid(BadRequest):
    """The definitions would have errors: `problems`."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(problems)
        super().__init__(
            "; ".join(f"{one.where}: {one.what}; {one.remedy}" for one in self.problems)
        )


@dataclass(frozen=True)
class Written:
    """A webhook as it is written in the folder."""

    file: Path
    index: int
    keys: dict[str, Any]
    """As written, references unresolved. To write them again, use
    `admin.definitions.values.verbatim`."""
    version: str
    """Changes whenever its keys change."""
    text: str
    """The whole file."""

    @property
    def entry(self) -> Entry:
        """Its own lines. Raises CantCut."""
        entry = cut_out(self.text, parsed(self.text), self.index)
        try:
            parse_yaml(entry.text)
        except BadYaml:
            raise CantCut(
                f"an alias in it stands for something elsewhere in {self.file.name}: edit the file"
            ) from None
        return entry

    @property
    def shown(self) -> str:
        """Its keys as viewers may see them, without secrets and without comments, which may have
        anything in them."""
        return as_yaml(blanked(self.keys))

    @property
    def masked(self) -> str:
        """Its own lines with each secret that they contain themselves as `MASK`. Raises CantCut."""
        text = self.entry.masked
        with suppress(BadYaml):
            if parse_yaml(text).value == blanked(self.keys):
                return text
        raise CantCut(
            f"a secret in it is written in a way that can't be hidden here: edit {self.file.name}"
        )


@dataclass(frozen=True)
class Change:
    """A change that passed the checks."""

    file: Path
    text: str | None
    """The file's new text; None to delete it."""
    secrets: Mapping[Path, str]
    """New file → the secret for it."""
    warnings: tuple[Problem, ...]
    webhook: Webhook | None = None
    """The webhook as it would be; None if it is deleted, or errors of others keep the definitions
    from being read."""


class DefinitionsFolder:
    """The folder that BRIDGE_WEBHOOKS names."""

    def __init__(self, folder: Path):
        self.folder = folder

    def check_writable(self) -> None:
        """Raises CantWrite unless a webhook could be written."""
        if not self.folder.is_dir():
            raise CantWrite(
                f"{self.folder} is not a folder: make one, such as by mkdir webhooks, and set"
                " BRIDGE_WEBHOOKS to it; webhook-bridge init does both"
            )
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise CantWrite(
                f"the folder {self.folder} can't be written by the user that this process runs as"
            )

    # --- reading

    def find(self, name: str) -> Written | None:
        """The webhook with this name, if it is in a file that can be read."""
        for file in files_in(self.folder):
            text, items = items_in(file, name)
            for index, keys in enumerate(items):
                if isinstance(keys, dict) and keys.get("name") == name:
                    # Keyed with a secret of this process, since what is hashed may be a guessable
                    # secret.
                    version = hmac.new(
                        _KEY, repr((str(file), keys)).encode(), "sha256"
                    ).hexdigest()[:32]
                    return Written(file, index, deepcopy(keys), version, text)
        return None

    # --- what would be written

    def plan(self, keys: Keys) -> Change:
        """What writing a new webhook would do to the files.

        Raises NameTaken, CantWrite, and Invalid with what is wrong with it. Errors in other
        webhooks don't matter.
        """
        name = _name_in(keys)
        files: dict[Path, str] = {}
        written = to_yaml_value(keys, self._referring(name, files))
        file = self.folder / f"{name}.yaml"
        if file.exists():
            raise NameTaken(
                f"the file {file.name} already exists: choose another name, or edit that file"
            )
        other = self.find(name)
        if other is not None:
            raise NameTaken(f"the name {name} is taken, in {other.file.name}")
        text = "# Created by webhook-bridge; yours to edit.\n" + as_yaml({"webhooks": [written]})
        return self._checked(file, text, files, name)

    def plan_edit(self, old: Written, text: str) -> Change:
        """The change if the webhook's text is replaced by this one, in which `MASK` stands for a
        secret of before.

        Raises CantWrite, Invalid.
        """
        return self._plan(old, partial(_edited, text))

    def _plan(self, old: Written, write: Callable[[Written, Refer], str]) -> Change:
        """The change if the webhook's text is replaced by the one that `write` returns."""
        name, files = str(old.keys["name"]), dict[Path, str]()
        text = write(old, self._referring(name, files))
        try:
            new = parse_yaml(text).value
        except BadYaml as error:
            problem = Problem(
                str(old.file), old.entry.line + error.line - 1, "YAML", str(error), error.remedy
            )
            raise Invalid([problem]) from None
        if not isinstance(new, dict) or new.get("name") != name:
            remedy = f"write name: {name}; for another one, make a new webhook, and delete this one"
            raise Invalid(
                [
                    Problem(
                        str(old.file),
                        old.entry.line,
                        "name",
                        "the name can't be changed here",
                        remedy,
                    )
                ]
            )
        after = old.entry.put_back(text)
        expected = list(parsed(old.text).value["webhooks"])
        expected[old.index] = new
        _expect(after, {**parsed(old.text).value, "webhooks": expected}, old.file)
        return self._checked(old.file, after, files, name)

    def _referring(self, name: str, files: dict[Path, str]) -> Refer:
        """What makes references to secrets, each of which becomes a file among `files`."""

        def refer(secret: str, label: str) -> str:
            stem = re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-").lower() or "secret"
            path = f"{SECRETS}/{name}.{stem}-{random.token_hex(4)}"
            files[self.folder / path] = secret
            return f"${{file:{path}}}"

        return refer

    def _checked(self, file: Path, text: str, files: dict[Path, str], name: str) -> Change:
        """The change, if it introduces no error."""
        try:
            found = load_definitions(
                self.folder, PLATFORMS, instead={file: text, **files}, may_be_empty=True
            )
        except DefinitionsError as error:
            before = set(map(_wherever, self._problems_now()))
            brought = [one for one in error.problems if _wherever(one) not in before]
            if brought:
                raise Invalid(brought) from None
            warnings, webhook = error.warnings, None
        else:
            warnings, webhook = found.warnings, found.by_name.get(name)
        its = tuple(one for one in warnings if one.file == str(file) and one.webhook == name)
        return Change(file, text, files, its, webhook)

    def _problems_now(self) -> tuple[Problem, ...]:
        """The errors without any change."""
        try:
            load_definitions(self.folder, PLATFORMS, may_be_empty=True)
        except DefinitionsError as error:
            return error.problems
        return ()

    # --- writing

    def create(self, keys: Keys) -> Change:
        """Writes a new webhook. Raises CantWrite, NameTaken, Invalid."""
        with self._locked():
            change = self.plan(keys)
            self._write(change)
        return change

    def update(self, name: str, keys: Keys, version: str) -> None:
        """Rewrites the webhook. Raises CantWrite, Invalid, and Changed if it no longer has that
        version."""

        def write(old: Written, refer: Refer) -> str:
            written = to_yaml_value(keys, refer)
            return old.entry.text if written == old.keys else as_yaml(written)

        self._change(name, version, write)

    def edit(self, name: str, text: str, version: str) -> None:
        """Replaces the webhook's text, as `plan_edit` says. Raises what `update` raises."""
        self._change(name, version, partial(_edited, text))

    def put_value(
        self, name: str, where: tuple[str, ...], values: Sequence[Secret | Verbatim], version: str
    ) -> None:
        """Writes these secrets at a place of the webhook, and leaves the rest. Raises what `update`
        raises."""

        def write(old: Written, refer: Refer) -> str:
            written = to_yaml_value(values if len(values) > 1 else values[0], refer, where[-1])
            return with_value(old.entry.text, where, written)

        self._change(name, version, write)

    def _change(self, name: str, version: str, write: Callable[[Written, Refer], str]) -> None:
        with self._locked():
            old = self._same(name, version)
            self._write(self._plan(old, write))
            self._forget_secrets(old)

    def delete(self, name: str, version: str) -> None:
        """Removes a webhook, and its file if that is then empty. Raises CantWrite, Changed."""
        with self._locked():
            old = self._same(name, version)
            others = list(parsed(old.text).value["webhooks"])
            del others[old.index]
            text = old.entry.put_back("") if others else None
            if text is not None:
                _expect(text, {**parsed(old.text).value, "webhooks": others}, old.file)
            self._write(Change(old.file, text, {}, ()))
            self._forget_secrets(old)

    def _same(self, name: str, version: str) -> Written:
        found = self.find(name)
        if found is None:
            raise Changed(f"the webhook {name} is gone: somebody has deleted it")
        if found.version != version:
            raise Changed(
                f"somebody else has changed {name} in {found.file.name}; nothing was overwritten"
            )
        return found

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Locks out other writers, in other processes too. Errors of the disk become CantWrite."""
        self.check_writable()
        try:
            descriptor = os.open(self.folder, os.O_RDONLY)
        except OSError as error:
            raise CantWrite(f"the folder {self.folder} can't be opened: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        except OSError as error:
            raise CantWrite(
                f"the folder {self.folder} can't be written: {error.strerror or error}"
            ) from None
        finally:
            os.close(descriptor)

    def _write(self, change: Change) -> None:
        if change.secrets:
            folder = self.folder / SECRETS
            private.make_folder(folder)
            if not (folder / ".gitignore").exists():
                replace_file(folder / ".gitignore", "# Secrets: never commit them.\n*\n")
        try:
            for path, value in change.secrets.items():
                replace_file(path, value)
            if change.text is None:
                change.file.unlink()
            else:
                replace_file(change.file, change.text)
        except BaseException:
            for path in change.secrets:
                with suppress(OSError):
                    path.unlink()
            raise

    def _forget_secrets(self, old: Written) -> None:
        """Removes the secret files that we made for it, unless a webhook still refers to them."""
        texts = "".join(
            file.read_text(encoding="utf-8", errors="replace") for file in files_in(self.folder)
        )
        for name in _OWN_SECRET.findall(old.text):
            path = self.folder / name
            # However it is referred to, also by another path to the same folder.
            if f"/{path.name}}}" not in texts:
                with suppress(OSError):
                    path.unlink()


def _edited(text: str, old: Written, refer: Refer) -> str:
    return with_secrets(text, old.entry.text, refer)


def replace_file(path: Path, text: str) -> None:
    """Writes the file in one step. A new one has the mode 0600; one that is there keeps its own."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            with suppress(FileNotFoundError):
                os.fchmod(descriptor, stat.S_IMODE(path.stat().st_mode))
            file.flush()
            os.fsync(descriptor)
        os.replace(name, path)
    finally:
        with suppress(OSError):
            os.unlink(name)


def _expect(text: str, value: Any, file: Path) -> None:
    """Raises CantWrite unless the text says this, as it may not where webhooks share something."""
    with suppress(BadYaml):
        if parse_yaml(text).value == value:
            return
    raise CantWrite(
        f"this can't be changed here, because << or an anchor in {file.name} joins webhooks: edit"
        " the file"
    )


def _name_in(keys: Keys) -> str:
    """The webhook's name. Raises Invalid unless it can be a part of a file's name."""
    name = to_yaml_value(keys.get("name"), lambda secret, label: "")
    if isinstance(name, str) and URL_PART.fullmatch(name):
        return name
    given = "the name is missing"
    if isinstance(name, str) and name:
        given = f"{name[:100]!r} can't be a webhook's name"
    remedy = (
        "use up to 128 letters, digits and . _ ~ -, the first a letter or digit: the URL ends"
        " with it"
    )
    raise Invalid([Problem("", 0, "webhook: name", given, remedy)])


def _wherever(problem: Problem) -> tuple[str, str, str]:
    """The problem without its line, which is another one after a change above it."""
    return problem.file, problem.where, _LINE.sub("", problem.what + problem.remedy)

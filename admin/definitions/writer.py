"""Writes webhooks into the folder of definitions: checked like any other edit, and either completely or not at all.

A new webhook gets its own file NAME.yaml. A webhook is changed or deleted where it is, and everything else in the file
stays as it is, comments included. Secrets are files of mode 0600 in ``secrets/``, which the YAML names by
``${file:…}``.
"""

from __future__ import annotations

import fcntl
import hmac
import os
import re
import secrets as random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml.error import YAMLError

from admin.definitions.list_part import cut_out
from admin.definitions.values import Keys, Secret, to_yaml_value, without_secrets
from admin.definitions.written import files_in, items_in, parsed
from admin.definitions.yaml_text import edit_text, merge, plain, remove_item, write_text
from admin.errors import CantDo
from config.webhooks import DefinitionsError, Problem, Webhook, load_definitions
from config.yaml_lines import BadYaml, parse_yaml
from platforms.base import Platform

SECRETS = "secrets"
"""The folder of secret files, next to the YAML."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
_KEY = random.token_bytes(32)
_OWN_SECRET = re.compile(r"\$\{file:(secrets/[A-Za-z0-9][A-Za-z0-9._~-]*\.[a-z0-9-]+-[0-9a-f]{8})\}")
"""A reference to a secret file that we made: no other file is ever removed."""

_LINE = re.compile(r"(?<=line )\d+|(?<=\.yaml:)\d+")


class CantWrite(CantDo):
    """The definitions can't be written here; the text says why and what to do."""


class NameTaken(CantDo):
    """Another webhook has this name, or its file exists."""


class Changed(CantDo):
    """Somebody else has changed or removed the webhook since it was read."""


class Invalid(Exception):
    """The definitions would have errors: `problems`."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True)
class Written:
    """A webhook as it is written in the folder."""

    file: Path
    index: int
    keys: dict[str, Any]
    """As written, references unresolved. To write them again, use `admin.definitions.values.verbatim`."""
    version: str
    """Changes whenever its keys or the files of its secrets change."""


@dataclass(frozen=True)
class Change:
    """A change that passed the checks: the files' new texts (None to delete a file), and warnings."""

    texts: Mapping[Path, str | None]
    secrets: Mapping[Path, str]
    warnings: tuple[Problem, ...]
    yaml: str
    """The webhook's own part, without secrets."""
    webhook: Webhook | None = None
    """The webhook as it would be; None if it is deleted, or errors of others keep the definitions from being read."""


class DefinitionsFolder:
    """The folder that BRIDGE_WEBHOOKS names."""

    def __init__(self, folder: Path, platforms: Mapping[str, Platform]):
        self.folder = folder
        self._platforms = platforms

    def check_writable(self) -> None:
        """Raises CantWrite unless a webhook could be written."""
        if not self.folder.is_dir():
            raise CantWrite(f"{self.folder} is not a folder: to create webhooks, set BRIDGE_WEBHOOKS to one")
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise CantWrite(f"the folder {self.folder} can't be written by the user that this process runs as")

    # --- reading --------------------------------------------------------------------------------------------

    def find(self, name: str) -> Written | None:
        """The webhook with this name, if it is in a file that can be read."""
        for file in files_in(self.folder):
            for index, keys in enumerate(items_in(file, [name])):
                if isinstance(keys, dict) and keys.get("name") == name:
                    return Written(file, index, deepcopy(keys), self._version(file, keys))
        return None

    def _version(self, file: Path, keys: Keys) -> str:
        # Keyed with a secret of this process, since what is hashed may be a guessable secret.
        digest = hmac.new(_KEY, repr((str(file), keys)).encode(), "sha256")
        for path in self._own_secrets(keys):
            with suppress(OSError):
                digest.update(path.read_bytes())
        return digest.hexdigest()[:32]

    def _own_secrets(self, keys: Mapping[str, Any]) -> set[Path]:
        """The files that we made for the secrets of these keys."""
        places = [keys.get("secret"), keys.get("verify_token"), keys.get("headers")]
        inside = (keys.get("signature"), keys.get("callback"))
        places += [one.get("secret") for one in inside if isinstance(one, Mapping)]
        return {self.folder / name for place in places for name in _own_references(place)}

    # --- what would be written ------------------------------------------------------------------------------

    def plan(self, keys: Keys, old: Written | None = None) -> Change:
        """What writing a new webhook, or a changed one, would do to the files.

        Raises NameTaken, CantWrite, and Invalid with what is wrong with it. Errors in other webhooks don't matter.
        """
        name = to_yaml_value(keys.get("name"), lambda secret, label: "")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            # This must not become a file's name. The other keys are checked under a made-up one.
            stand_in = f"new-{random.token_hex(4)}"
            try:
                self.plan({**keys, "name": stand_in}, old)
            except Invalid as error:
                raise Invalid([_bad_name(name), *error.problems]) from None
            raise Invalid([_bad_name(name)])
        files: dict[Path, str] = {}
        written = self._with_files(keys, name, files)
        where = old.file if old is not None else self.folder / f"{name}.yaml"
        if old is None and where.exists():
            raise NameTaken(f"the file {where.name} already exists")
        shown = write_text({"webhooks": [without_secrets(written)]})
        if old is not None:
            text = self._edited(old, written)
        else:
            text = "# Created by webhook-bridge; yours to edit.\n" + write_text({"webhooks": [written]})
        problems, warnings, webhook = self._check({where: text, **files}, where, name)
        if problems:
            raise Invalid(problems)
        return Change({where: text}, files, warnings, shown, webhook)

    def _with_files(self, keys: Keys, name: str, files: dict[Path, str]) -> dict[str, Any]:
        """The keys as they are written; each secret's file is added to `files`."""

        def refer(secret: Secret, label: str) -> str:
            stem = re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-").lower() or "secret"
            path = f"{SECRETS}/{name}.{stem}-{random.token_hex(4)}"
            files[self.folder / path] = secret.value
            return f"${{file:{path}}}"

        found: dict[str, Any] = to_yaml_value(keys, refer)
        return found

    def _edited(self, old: Written, written: Keys) -> str:
        def change(items: Any, index: int) -> None:
            merge(items[index], written)

        def expect(items: list[Any]) -> None:
            items[old.index] = plain(written)

        if plain(written) == old.keys:
            return old.file.read_bytes().decode("utf-8")
        return _changed(old, (old.index, old.index), change, expect)

    def _without(self, old: Written) -> str | None:
        items = items_in(old.file, [str(old.keys.get("name"))])
        if len(items) == 1:
            return None
        first = max(0, old.index - 1)  # comments above it hang on the webhook before
        return _changed(old, (first, first + 1), remove_item, lambda items: items.pop(old.index))

    def _check(
        self, texts: Mapping[Path, str | None], where: Path, name: str
    ) -> tuple[list[Problem], tuple[Problem, ...], Webhook | None]:
        """The errors that the change introduces, the warnings about the webhook, and the webhook if it can be read."""
        try:
            found = load_definitions(self.folder, self._platforms, instead=texts, may_be_empty=True)
        except DefinitionsError as error:
            before = set(map(_wherever, self._problems_now()))
            brought = [problem for problem in error.problems if _wherever(problem) not in before]
            return brought, _of(error.warnings, where, name), None
        return [], _of(found.warnings, where, name), found.by_name.get(name)

    def _problems_now(self) -> tuple[Problem, ...]:
        """The errors without any change."""
        try:
            load_definitions(self.folder, self._platforms, may_be_empty=True)
        except DefinitionsError as error:
            return error.problems
        return ()

    # --- writing --------------------------------------------------------------------------------------------

    def create(self, keys: Keys) -> Change:
        """Writes a new webhook. Raises CantWrite, NameTaken, Invalid."""
        with self._locked():
            change = self.plan(keys)
            self._write(change, new=True)
        return change

    def update(self, name: str, keys: Keys, version: str) -> Change:
        """Replaces a webhook's keys. Raises CantWrite, Invalid, and Changed if it no longer has that version."""
        with self._locked():
            old = self._same(name, version)
            change = self.plan(keys, old)
            self._write(change)
            self._forget(self._own_secrets(old.keys))
        return change

    def delete(self, name: str, version: str) -> None:
        """Removes a webhook, and its file if that is then empty. Raises CantWrite, Changed."""
        with self._locked():
            old = self._same(name, version)
            self._write(Change({old.file: self._without(old)}, {}, (), ""))
            self._forget(self._own_secrets(old.keys))

    def _same(self, name: str, version: str) -> Written:
        found = self.find(name)
        if found is None:
            raise Changed(f"the webhook {name} is gone: somebody has deleted or renamed it")
        if found.version != version:
            raise Changed(f"somebody else has changed {name} in {found.file.name}; nothing was overwritten")
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
            raise CantWrite(f"the folder {self.folder} can't be written: {error.strerror or error}") from None
        finally:
            os.close(descriptor)

    def _write(self, change: Change, new: bool = False) -> None:
        if change.secrets:
            self._make_secrets_folder()
        made: list[Path] = []
        try:
            for path, value in change.secrets.items():
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                made.append(path)
                with open(descriptor, "w", encoding="utf-8") as file:
                    file.write(value)
                    _sync(file)
            for path, text in change.texts.items():
                self._replace(path, text, new)
        except BaseException:
            for path in made:
                with suppress(OSError):
                    path.unlink()
            raise

    def _make_secrets_folder(self) -> None:
        """Makes the folder of secrets, which git is told to ignore."""
        folder = self.folder / SECRETS
        folder.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileExistsError):
            descriptor = os.open(folder / ".gitignore", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write("# Secrets: never commit them.\n*\n")
                _sync(file)

    def _replace(self, path: Path, text: str | None, new: bool) -> None:
        if text is None:
            path.unlink()
            return
        mode = 0o644 if new else path.stat().st_mode & 0o7777
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                os.fchmod(descriptor, mode)
                _sync(file)
            if new:
                os.link(name, path)  # never replaces a file that has appeared meanwhile
                os.unlink(name)
            else:
                os.replace(name, path)
        except FileExistsError:
            os.unlink(name)
            raise NameTaken(f"the file {path.name} already exists") from None
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise

    def _forget(self, paths: set[Path]) -> None:
        """Removes secret files that no webhook refers to any more."""
        texts = "".join(file.read_text(encoding="utf-8", errors="replace") for file in files_in(self.folder))
        for path in paths:
            # However it is referred to, also by another path to the same folder.
            if f"/{path.name}}}" not in texts:
                with suppress(OSError):
                    path.unlink()


def _changed(
    old: Written, near: tuple[int, int], change: Callable[[Any, int], Any], expect: Callable[[list[Any]], Any]
) -> str:
    """The file's text after the change of a webhook. Raises CantWrite unless it says what is expected then.

    `change` has a list as ruamel.yaml reads it, and the webhook's place in it: that of the file, or of the first to the
    last webhook that are `near`. `expect` has the file's list as plain values.
    """
    before = old.file.read_bytes().decode("utf-8")
    document = parsed(before.removeprefix("\ufeff"))
    expected = {**document.value, "webhooks": list(document.value["webhooks"])}
    starts = [document.line(("webhooks", number)) for number in range(len(expected["webhooks"]))]
    expect(expected["webhooks"])
    part = cut_out(before, "webhooks", starts, *near)
    if part is not None:
        with suppress(YAMLError, BadYaml, LookupError):
            index = old.index - near[0]
            changed = edit_text(part.text, lambda document: change(document["webhooks"], index), before)
            if parse_yaml((after := part.put_back(changed)).removeprefix("\ufeff")).value == expected:
                return after
    with suppress(YAMLError, BadYaml):
        after = edit_text(before, lambda document: change(document["webhooks"], old.index))
        if parse_yaml(after.removeprefix("\ufeff")).value == expected:
            return after
    raise CantWrite(
        f"this can't be changed here, because << or an anchor in {old.file.name} brings in what must be removed, "
        "or a character can't be written as it is: edit the file"
    )


def _own_references(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if found := _OWN_SECRET.fullmatch(value):
            yield found[1]
        return
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ():
        yield from _own_references(item)


def _bad_name(name: Any) -> Problem:
    given = f"{name[:100]!r} can't be a webhook's name" if isinstance(name, str) and name else "the name is missing"
    remedy = "use up to 128 letters, digits and . _ ~ -, the first a letter or digit: the URL ends with it"
    return Problem("", 0, "webhook: name", given, remedy)


def _wherever(problem: Problem) -> tuple[str, str, str]:
    """The problem without its line, which is another one after a change above it."""
    return problem.file, problem.where, _LINE.sub("", problem.what + problem.remedy)


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _of(warnings: Iterable[Problem], file: Path, name: str) -> tuple[Problem, ...]:
    """The warnings about this webhook."""
    label = f"webhook {name}"
    return tuple(one for one in warnings if one.file == str(file) and one.where.split(":")[0] == label)

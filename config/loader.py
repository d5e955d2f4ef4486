"""The loader of webhook definitions: reads a YAML file or folder, and reports all problems
together.

Rules about several keys or webhooks (uniqueness, a platform's requirements) are checked on the text
as written, not on models: so they are reported even if a single value is wrong too.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from config.definitions import Definitions, SecretPlace
from config.json_schemas import BadSchema, PayloadSchema, load_schema
from config.model import Webhook
from config.problems import DefinitionsError, Problem, describe_error, dotted, fields_of
from config.proofs import find_unproven
from config.references import (
    DOTENV,
    UNRESOLVED,
    References,
    Stamps,
    concealed,
    environment_with_dotenv,
    has_secret,
    may_hold_reference,
    stamp_of,
    stamps_of,
)
from config.risks import find_risks
from config.yaml_lines import BadYaml, Located, Where, parse_yaml, read_yaml

if TYPE_CHECKING:  # the worker reads definitions without loading the platforms
    from platforms.base import Platform


def load_definitions(
    path: Path,
    platforms: Mapping[str, Platform] | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    instead: Mapping[Path, str | None] | None = None,
    may_be_empty: bool = False,
    conductor_payload: int | None = None,
) -> Definitions:
    """Reads the YAML file, or every ``*.yaml`` file of the folder, in the order of their names.

    `platforms`, if given, are used for checks (the worker, which verifies nothing, gives none).
    `environment` is where
    ``${NAME}`` comes from: by default the process's own and, for names that it lacks, the file
    ``.env``, read again each time, so that a new webhook's secret needs no restart. `instead`:
    texts to read instead of these files, None to ignore one, to check a change before it is
    written. `may_be_empty`: a folder without files is no error, as the admin page will write the
    first. `conductor_payload`: bytes of the largest output that Conductor accepts; a larger
    `max_body` causes a warning.

    Raises DefinitionsError with every problem that was found.
    """
    sources: Stamps = {}
    if environment is None:
        sources = stamps_of([DOTENV])
        environment = environment_with_dotenv()
    loader = Loader(platforms, environment, instead or {}, may_be_empty, conductor_payload, sources)
    for file in loader.files(path):
        loader.add(loader.read(file))
    errors = errors_in(loader.problems)
    if errors:
        raise DefinitionsError(errors, loader.warnings, sources)
    return loader.definitions()


@dataclass
class FileContent:
    """What was read of one file."""

    webhooks: list[Webhook] = field(default_factory=list)
    written: list[dict[str, Any]] = field(default_factory=list)
    """The same as written, with their references."""
    problems: dict[Problem, None] = field(default_factory=dict)
    """Each once, in the order in which they were found."""
    secrets: list[SecretPlace] = field(default_factory=list)
    places: dict[tuple[str, Where], tuple[str, int]] = field(default_factory=dict)
    """See `Definitions.places`."""
    taken: dict[tuple[str, str], str] = field(default_factory=dict)
    """Names and URLs, with where they are defined."""

    @property
    def errors(self) -> list[Problem]:
        """The problems that aren't warnings."""
        return errors_in(self.problems)


def errors_in(problems: Iterable[Problem]) -> list[Problem]:
    """Those that aren't warnings, in the order of their places."""
    return sorted(problem for problem in problems if not problem.warning)


class Loader:
    """Reads one file after the other, and collects what is to be in force."""

    def __init__(
        self,
        platforms: Mapping[str, Platform] | None,
        environment: Mapping[str, str] | None,
        instead: Mapping[Path, str | None],
        may_be_empty: bool,
        conductor_payload: int | None,
        sources: Stamps,
    ):
        """`sources` receives what is read, with its state just before that: a later change is
        noticed, however long reading takes."""
        self.platforms = platforms
        self.references = References(environment, instead, sources)
        self.sources = sources
        self.instead = instead
        self.may_be_empty = may_be_empty
        self.conductor_payload = conductor_payload
        self.webhooks: list[Webhook] = []
        self.problems: dict[Problem, None] = {}
        """Each once, in the order in which they were found."""
        self.secrets: list[SecretPlace] = []
        self.places: dict[tuple[str, Where], tuple[str, int]] = {}
        self.taken: dict[tuple[str, str], str] = {}
        """See `FileContent`."""
        self.schemas: dict[Path, PayloadSchema] = {}
        """Compiled schemas: several webhooks may name the same one."""

    def files(self, path: Path) -> list[Path]:
        """The files to read, in the order of their names."""
        self.sources[path] = stamp_of(path)
        try:
            if path.is_dir():
                # Hidden files are editors' and Kubernetes' own; a link to nothing is read, and so
                # reported.
                names = sorted(name for name in os.listdir(path) if not name.startswith("."))
                return self._files_in(path, names)
            if path.exists():
                return [path]
            remedy = "create it, as webhook-bridge init does, or set BRIDGE_WEBHOOKS to yours"
            self._report(path, "no such file or folder", remedy)
        except OSError as error:
            self._report(path, f"can't be read: {error.strerror}", "make it readable by the bridge")
        return []

    def _files_in(self, folder: Path, names: Sequence[str]) -> list[Path]:
        for name in names:
            if name.lower().endswith((".yml", ".yaml")) and not name.endswith(".yaml"):
                what = "not read: its name doesn't end in .yaml"
                remedy = f"rename it to {Path(name).stem}.yaml, or move it elsewhere"
                self._report(folder / name, what, remedy, warning=True)
        found = {folder / name for name in names if name.endswith(".yaml")}
        files = {file for file in found if not file.is_dir()}
        for file, text in self.instead.items():
            if text is None:
                files.discard(file)
            elif file.parent == folder and file.suffix == ".yaml":
                files.add(file)
        if not files:
            what, remedy = (
                "the folder has no *.yaml file",
                "make one with webhook-bridge new, or write one",
            )
            self._report(folder, what, remedy, warning=self.may_be_empty)
        return sorted(files)

    def _report(self, file: Path, what: str, remedy: str, warning: bool = False) -> None:
        self.problems[Problem(str(file), 1, "webhooks", what, remedy, warning)] = None

    def read(self, file: Path) -> FileContent:
        """What the file says. Its problems, and where it has secrets, are noted whether or not it
        is added."""
        self.sources.setdefault(file, stamp_of(file))
        reader = _Reader(self, file)
        try:
            given = self.instead.get(file)
            document = read_yaml(file) if given is None else parse_yaml(given)
        except BadYaml as error:
            reader.problem(error.line, "YAML", str(error), error.remedy)
        except OSError as error:
            reader.problem(
                1,
                "YAML",
                f"can't be read: {error.strerror}",
                "make the file readable by the bridge",
            )
        else:
            reader.read(document)
        self.problems |= reader.content.problems
        self.secrets += reader.content.secrets
        return reader.content

    def read_again(self, file: Path, written: Mapping[str, Any]) -> FileContent:
        """What one of the file's webhooks is now, as it was written when the file was good."""
        reader = _Reader(self, file)
        reader.read(Located({"webhooks": [written]}))
        return reader.content

    def add(self, content: FileContent) -> None:
        """Puts a file's webhooks in force."""
        self.webhooks += content.webhooks
        self.places |= content.places
        self.taken |= content.taken

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The warnings of all files, in the order of their places."""
        return tuple(sorted(problem for problem in self.problems if problem.warning))

    def definitions(self, unavailable: Iterable[str] = ()) -> Definitions:
        """What is in force. `unavailable`: see `Definitions`."""
        return Definitions(
            tuple(self.webhooks),
            self.warnings,
            self.sources,
            tuple(self.secrets),
            tuple(errors_in(self.problems)),
            frozenset(unavailable),
            self.places,
        )


@dataclass(frozen=True)
class _Item:
    """One entry of `webhooks:` as it was written, and where."""

    document: Located
    index: int

    @property
    def written(self) -> Any:
        return self.document.value["webhooks"][self.index]

    @property
    def label(self) -> str:
        name = self.written.get("name") if isinstance(self.written, dict) else None
        return f"webhook {name}" if isinstance(name, str) and name else f"webhooks[{self.index}]"

    def line(self, location: Where = ()) -> int:
        return self.document.line(("webhooks", self.index, *location))

    def at(self, location: Where) -> Any:
        """The value written at the place; None if there is none."""
        value = self.written
        for part in location:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value


_KEYS = frozenset(fields_of(Webhook))
_HAVE_NULLS = frozenset({"when", "claims", "input", "body"})
"""Keys below which null is a value like others."""


class _Reader:
    """Reads one file."""

    def __init__(self, loader: Loader, file: Path):
        self._loader = loader
        self._file = file
        self.content = FileContent()

    def read(self, document: Located) -> None:
        for where, line in dict.fromkeys(document.repeated):
            first = document.line(where)
            self.problem(
                line, dotted(where), f"the key is already at line {first}", "remove one of them"
            )
        start = "start the file with `webhooks:` and a list below it"
        if document.value is None:
            self.problem(1, "webhooks", "the file is empty", start)
            return
        if not isinstance(document.value, dict):
            self.problem(1, "webhooks", "no list of webhooks", start)
            return
        for key in document.value:
            if key != "webhooks":
                remedy = "only `webhooks` is allowed at the top level"
                self.problem(document.line((key,)), str(key), "unknown key", remedy)
        if "webhooks" not in document.value:
            self.problem(1, "webhooks", "missing", start)
            return
        items = document.value["webhooks"]
        line = document.line(("webhooks",))
        if items is None or items == []:
            self.problem(
                line, "webhooks", "the list is empty", "add a webhook: - name: …", warning=True
            )
        elif not isinstance(items, list):
            self.problem(
                line, "webhooks", "not a list", "start each webhook with a dash: - name: …"
            )
        else:
            for index in range(len(items)):
                self._read_webhook(_Item(document, index))

    def _read_webhook(self, item: _Item) -> None:
        if not isinstance(item.written, dict):
            remedy = "write name, platform and receivers below a dash"
            if isinstance(item.written, str) and ":" in item.written:
                remedy = "put a space after each colon"
            self._report(item, (), "not a webhook", remedy)
            return
        before = len(self.content.problems)
        resolved = self._resolve(item.written, item, ())
        self._check_unique(item, resolved)
        seen = {(problem.line, problem.where) for problem in [*self.content.problems][before:]}
        try:
            webhook = Webhook.model_validate(resolved)
        except ValidationError as error:
            self._report_invalid(item, resolved, error, seen)
        else:
            self._take(item, webhook)
        self._check_proof(item, resolved)

    def _report_invalid(
        self,
        item: _Item,
        resolved: Mapping[str, Any],
        error: ValidationError,
        seen: Collection[tuple[int, str]],
    ) -> None:
        """Reports what the model refuses, but for places that are in `seen`: line, and where."""
        for detail in error.errors(include_input=False, include_url=False):
            location = tuple(part for part in detail["loc"] if part != "[key]")
            if location[-1:] == (0,) and not isinstance(item.at(location[:-1]), list):
                location = location[:-1]  # a single value is a list of one to the model
            place = (item.line(location), f"{item.label}: {dotted(location)}")
            if place in seen and "[key]" not in detail["loc"]:
                continue
            what, remedy = describe_error(location, detail["type"], detail["msg"])
            what = concealed(what, item.at(location), resolved, location)
            self._report(item, location, what, remedy)

    def _take(self, item: _Item, webhook: Webhook) -> None:
        """Adds a webhook without errors of its own."""
        self._read_schema(item, webhook)
        self._check_size(item, webhook)
        self.content.webhooks.append(webhook)
        self.content.written.append(item.written)
        named: list[Where] = [("receivers", workflow) for workflow in webhook.receivers]
        named += [("starts", index) for index in range(len(webhook.starts))]
        named += [("messages", index) for index in range(len(webhook.messages))]
        for place in named:
            self.content.places[webhook.name, place] = str(self._file), item.line(place)

    def _check_proof(self, item: _Item, resolved: Mapping[str, Any]) -> None:
        """Reports what is wrong or risky in how deliveries are proven, whether or not single values
        are wrong too."""
        platforms = self._loader.platforms
        for one in find_unproven(resolved, platforms) if platforms is not None else ():
            self._report(item, one.place, one.what, one.remedy, one.warning, one.fails_check)
        for risk in find_risks(resolved, platforms or {}):
            self._report(item, risk.place, risk.what, risk.remedy, warning=True)

    def _check_unique(self, item: _Item, webhook: Mapping[str, Any]) -> None:
        """Reports a name or URL that another webhook has; only the name if both are the same."""
        name, url_id = webhook.get("name"), webhook.get("id")
        here = f"{self._file}:{item.line(('name',))}"
        name_at = here
        if isinstance(name, str):
            name_at = self._first(("name", name), here)
        if name_at != here:
            what = f"the name {item.written['name']} is taken"
            self._report(item, ("name",), what, f"choose another: {name_at} has it already")
        key, last_part = ("id", url_id) if isinstance(url_id, str) else ("name", name)
        if not isinstance(last_part, str):
            return
        url_at = self._first(("url", last_part), here)
        if url_at not in (here, name_at):
            what = f"the URL /webhook/{item.written[key]} is taken"
            remedy = f"choose another {key}: the webhook at {url_at} has it already"
            self._report(item, (key,), what, remedy)

    def _first(self, taken: tuple[str, str], here: str) -> str:
        """Where this name or URL was taken first."""
        return self._loader.taken.get(taken) or self.content.taken.setdefault(taken, here)

    def _resolve(self, value: Any, item: _Item, where: Where) -> Any:
        """The value without keys that have no value, and with every ${NAME} and ${file:PATH}
        replaced. What has no value, or can't be resolved, becomes a problem."""
        if isinstance(value, dict):
            return self._resolve_keys(value, item, where)
        if isinstance(value, list):
            return [
                self._resolve(inner, item, (*where, number)) for number, inner in enumerate(value)
            ]
        if not isinstance(value, str):
            return value
        if "${" in value and where[0] not in _KEYS:
            return UNRESOLVED  # report only the unknown key
        return self._resolve_text(value, item, where)

    def _resolve_keys(self, value: Mapping[Any, Any], item: _Item, where: Where) -> dict[Any, Any]:
        found = {}
        for key, inner in value.items():
            place = (*where, key)
            if isinstance(key, str) and "${" in key:
                remedy = "write the key itself, without ${…}"
                self._report(item, place, "a reference in a key", remedy)
            if inner is None and _HAVE_NULLS.isdisjoint(where):
                self._report(item, place, "no value", "give it one, or remove the key")
            else:
                found[key] = self._resolve(inner, item, place)
        return found

    def _resolve_text(self, value: str, item: _Item, where: Where) -> str:
        def report(what: str, remedy: str) -> None:
            self._report(item, where, what, remedy)

        references = self._loader.references
        known = len(references.files)
        resolved = references.resolve(value, where, self._file.parent, report)
        if may_hold_reference(where):
            files = references.files[known:]
            if has_secret(value):
                files = [*files, self._file]
            label, line = f"{item.label}: {dotted(where)}", item.line(where)
            self.content.secrets += [SecretPlace(self._file, line, label, path) for path in files]
        return resolved

    def _read_schema(self, item: _Item, webhook: Webhook) -> None:
        loader = self._loader
        if webhook.payload_schema is None or not loader.references.looks_up:
            return
        name, folder = webhook.payload_schema.file, self._file.parent
        if UNRESOLVED in name:
            return
        try:
            schema = loader.schemas.get(folder / name) or load_schema(
                name, folder, loader.references.read
            )
        except BadSchema as error:
            if error.file is None:
                self._report(item, ("schema",), str(error), error.remedy)
            else:
                self.problem(
                    error.line, f"{item.label}: schema", str(error), error.remedy, file=error.file
                )
        else:
            loader.schemas[folder / name] = schema
            webhook.payload_schema.compile_as(schema)

    def _check_size(self, item: _Item, webhook: Webhook) -> None:
        most = self._loader.conductor_payload
        if most is not None and (webhook.max_body or 0) > most and not webhook.split:
            self._report(
                item,
                ("max_body",),
                f"larger than what Conductor accepts ({most} bytes), so a larger body is answered"
                " 413 anyway",
                "lower it, or, if Conductor's own limits are higher, set BRIDGE_CONDUCTOR_PAYLOAD"
                " to them",
                warning=True,
            )

    def _report(
        self,
        item: _Item,
        location: Where,
        what: str,
        remedy: str,
        warning: bool = False,
        fails_check: bool = False,
    ) -> None:
        where = f"{item.label}: {dotted(location)}" if location else item.label
        self.problem(item.line(location), where, what, remedy, warning, fails_check)

    def problem(
        self,
        line: int,
        where: str,
        what: str,
        remedy: str,
        warning: bool = False,
        fails_check: bool = False,
        file: Path | None = None,
    ) -> None:
        """Notes a problem, of this file unless another is named."""
        problem = Problem(str(file or self._file), line, where, what, remedy, warning, fails_check)
        self.content.problems[problem] = None

"""The loader of webhook definitions: reads a YAML file or folder, and reports all problems together.

Rules about several keys or webhooks (uniqueness, a platform's requirements) are checked on the text as written, not on
models: so they are reported even if a single value is wrong too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from config.definitions import Definitions, SecretPlace
from config.file_stamps import Stamps, stamp_of, stamps_of
from config.json_schemas import BadSchema, PayloadSchema, load_schema
from config.model import Webhook
from config.problems import DefinitionsError, Problem, Problems, describe_error, dotted, rewritten
from config.proofs import find_unproven
from config.references import (
    DOTENV,
    UNRESOLVED,
    References,
    concealed,
    environment_with_dotenv,
    has_secret,
    may_hold_reference,
)
from config.risks import find_risks
from config.written_values import find_unlike_text
from config.yaml_lines import BadYaml, Located, Where, parse_yaml, read_yaml
from criteria.suggestions import nearest

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

    `platforms`, if given, are used for checks (the worker, which verifies nothing, gives none). `environment` is where
    ``${NAME}`` comes from: by default the process's own and, for names that it lacks, the file ``.env``, read again
    each time, so that a new webhook's secret needs no restart. `instead`: texts to read instead of these files, None to
    ignore one, to check a change before it is written. `may_be_empty`: a folder without files is no error, as the admin
    page will write the first. `conductor_payload`: bytes of the largest output that Conductor accepts; a larger
    `max_body` causes a warning.

    Raises DefinitionsError with every problem that was found.
    """
    sources: Stamps = {}
    if environment is None:
        sources = stamps_of([DOTENV])
        environment = environment_with_dotenv()
    loader = Loader(platforms, environment, instead or {}, may_be_empty, conductor_payload, sources)
    files = loader.files(path)
    for file in files:
        loader.read(file)
    errors, warnings = loader.problems.errors(), sorted(loader.problems.warnings())
    if errors:
        raise DefinitionsError(errors, warnings, sources)
    return Definitions(tuple(loader.webhooks), tuple(warnings), sources, tuple(loader.secrets), places=loader.places)


@dataclass(frozen=True)
class _Item:
    """One entry of `webhooks:` as it was written, and where."""

    file: Path
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


class Loader:
    """Reads one file after the other into `webhooks` and `problems`."""

    def __init__(
        self,
        platforms: Mapping[str, Platform] | None,
        environment: Mapping[str, str] | None,
        instead: Mapping[Path, str | None],
        may_be_empty: bool,
        conductor_payload: int | None,
        sources: Stamps,
    ):
        """`sources` receives what is read, with its state just before that: a later change is noticed, however long
        reading takes."""
        self.platforms = platforms
        self.references = References(environment, instead, sources)
        self._sources = sources
        self.instead = instead
        self.may_be_empty = may_be_empty
        self.conductor_payload = conductor_payload
        self.problems = Problems()
        self.webhooks: list[Webhook] = []
        self.written: list[dict[str, Any]] = []
        """The same as written, with their references."""
        self.secrets: list[SecretPlace] = []
        self.places: dict[tuple[str, Where], tuple[str, int]] = {}
        """See `Definitions.places`."""
        self.schemas: dict[Path, PayloadSchema] = {}
        """Compiled schemas: several webhooks may name the same one."""
        self.taken: dict[tuple[str, str], str] = {}
        """Names and URLs, with where they are defined."""

    # --- files ----------------------------------------------------------------------------------------------

    def files(self, path: Path) -> list[Path]:
        """The files to read, in the order of their names."""
        self._sources[path] = stamp_of(path)
        try:
            if not path.is_dir():
                if path.exists():
                    return [path]
                remedy = "create it, as webhook-bridge init does, or set BRIDGE_WEBHOOKS to yours"
                self._problem(path, 1, "webhooks", "no such file or folder", remedy)
                return []
            # Hidden files are editors' and Kubernetes' own; a link to nothing is read, and so reported.
            names = sorted(name for name in os.listdir(path) if not name.startswith("."))
        except OSError as error:
            self._problem(path, 1, "webhooks", f"can't be read: {error.strerror}", "make it readable by the bridge")
            return []
        for name in names:
            if name.lower().endswith((".yml", ".yaml")) and not name.endswith(".yaml"):
                remedy = f"rename it to {Path(name).stem}.yaml, or move it elsewhere"
                self._problem(
                    path / name, 1, "webhooks", "not read: its name doesn't end in .yaml", remedy, warning=True
                )
        files = [path / name for name in names if name.endswith(".yaml") and not (path / name).is_dir()]
        new = [file for file in self.instead if file.parent == path and file.suffix == ".yaml" and file not in files]
        files = sorted(file for file in (*files, *new) if self.instead.get(file, "") is not None)
        if not files:
            remedy = "make one with webhook-bridge new, or write one"
            self._problem(path, 1, "webhooks", "the folder has no *.yaml file", remedy, warning=self.may_be_empty)
        return files

    def read(self, file: Path) -> None:
        """Adds the file's webhooks, and their problems."""
        self._sources.setdefault(file, stamp_of(file))
        try:
            given = self.instead.get(file)
            document = read_yaml(file) if given is None else parse_yaml(given)
        except BadYaml as error:
            self._problem(file, error.line, "YAML", str(error), error.remedy)
            return
        except OSError as error:
            self._problem(file, 1, "YAML", f"can't be read: {error.strerror}", "make the file readable by the bridge")
            return
        self.read_document(file, document)

    def read_document(self, file: Path, document: Located) -> None:
        """Like `read`, given the file's text."""
        for where, line in dict.fromkeys(document.repeated):
            first = document.line(where)
            self._problem(file, line, dotted(where), f"the key is already at line {first}", "remove one of them")
        if document.value is None:
            self._problem(file, 1, "webhooks", "the file is empty", "start it with `webhooks:` and a list below it")
            return
        if not isinstance(document.value, dict):
            remedy = "start the file with `webhooks:` and a list below it"
            self._problem(file, 1, "webhooks", "no list of webhooks", remedy)
            return
        unknown = [key for key in document.value if key != "webhooks"]
        if "webhooks" not in document.value:
            meant = nearest("webhooks", [key.lower() for key in unknown if isinstance(key, str)])
            for key in unknown:
                if isinstance(key, str) and key.lower() == meant:
                    self._problem(file, document.line((key,)), key, "unknown key", "rename it to `webhooks`")
                    return
        for key in document.value:
            if key != "webhooks":
                remedy = "only `webhooks` is allowed at the top level"
                self._problem(file, document.line((key,)), str(key), "unknown key", remedy)
        if "webhooks" not in document.value:
            self._problem(file, 1, "webhooks", "missing", "start the file with `webhooks:` and a list below it")
            return
        items = document.value["webhooks"]
        line = document.line(("webhooks",))
        if items is None or items == []:
            self._problem(file, line, "webhooks", "the list is empty", "add a webhook: - name: …", warning=True)
        elif not isinstance(items, list):
            self._problem(file, line, "webhooks", "not a list", "start each webhook with a dash: - name: …")
        else:
            for index in range(len(items)):
                self._read_webhook(_Item(file, document, index))
            for found in find_unlike_text(document):
                item = _Item(file, document, found.webhook)
                self._report(item, found.place, found.what, found.remedy, warning=True)

    # --- one webhook ----------------------------------------------------------------------------------------

    def _read_webhook(self, item: _Item) -> None:
        if not isinstance(item.written, dict):
            is_joined = isinstance(item.written, str) and ":" in item.written
            remedy = "put a space after each colon" if is_joined else "write name, platform and receivers below a dash"
            self._report(item, (), "not a webhook", remedy)
            return
        before = len(self.problems)
        resolved = self._resolve(self._without_empty(item), item, ())
        self._check_unique(item, resolved)
        seen = {(problem.line, problem.where) for problem in self.problems.since(before)}
        try:
            webhook = Webhook.model_validate(resolved)
        except ValidationError as error:
            for detail in error.errors(include_input=False, include_url=False):
                location = tuple(part for part in detail["loc"] if part != "[key]")
                if location[-1:] == (0,) and not isinstance(item.at(location[:-1]), list):
                    location = location[:-1]  # a single value is a list of one to the model
                what, remedy = describe_error(location, detail["type"], detail["msg"], detail.get("ctx") or {})
                remedy = rewritten(location, item.at(location)) or remedy
                place = (item.line(location), f"{item.label}: {dotted(location)}")
                if place not in seen or "[key]" in detail["loc"]:
                    self._report(item, location, concealed(what, item.at(location), resolved, location), remedy)
        else:
            self._read_schema(item, webhook)
            self.webhooks.append(webhook)
            self.written.append(item.written)
            named: list[Where] = [("receivers", workflow) for workflow in webhook.receivers]
            named += [("starts", index) for index in range(len(webhook.starts))]
            named += [("messages", index) for index in range(len(webhook.messages))]
            self.places |= {(webhook.name, place): (str(item.file), item.line(place)) for place in named}
            self._check_size(item, webhook)
        unproven = find_unproven(resolved, self.platforms) if self.platforms is not None else ()
        for problem in (*unproven, *find_risks(resolved, self.platforms or {})):
            self._report(item, problem.place, problem.what, problem.remedy, problem.warning, problem.fails_check)

    def _check_unique(self, item: _Item, webhook: Mapping[str, Any]) -> None:
        """Reports a name or URL that another webhook has; only the name if both are the same."""
        name, url_id = webhook.get("name"), webhook.get("id")
        here = f"{item.file}:{item.line(('name',))}"
        taken = None
        if isinstance(name, str):
            taken = self.taken.setdefault(("name", name), here)
            if taken != here:
                what = f"the name {item.written['name']} is taken"
                self._report(item, ("name",), what, f"choose another: {taken} has it already")
        key, last_part = ("id", url_id) if isinstance(url_id, str) else ("name", name)
        if isinstance(last_part, str):
            other = self.taken.setdefault(("url", last_part), here)
            if other not in (here, taken):
                what = f"the URL /webhook/{item.written[key]} is taken"
                self._report(item, (key,), what, f"choose another {key}: the webhook at {other} has it already")

    def take_back(self, number: int) -> None:
        """Forgets all but the first `number` names and URLs that were taken."""
        for key in list(islice(self.taken, number, None)):
            del self.taken[key]

    def _without_empty(self, item: _Item) -> dict[Any, Any]:
        """What was written, without keys that have no value, which are reported."""

        def stripped(keys: dict[Any, Any], where: Where) -> dict[Any, Any]:
            for key in [key for key, value in keys.items() if value is None]:
                self._report(item, (*where, key), "no value", "give it one, or remove the key")
            return {key: value for key, value in keys.items() if value is not None}

        written = stripped(item.written, ())
        for key in ("signature", "jwt", "mtls", "challenge", "dedup", "receivers", "headers", "only", "respond"):
            if isinstance(written.get(key), dict):
                written[key] = stripped(written[key], (key,))
        for key in ("starts", "messages"):
            if isinstance(written.get(key), list):
                written[key] = [
                    stripped(entry, (key, number)) if isinstance(entry, dict) else entry
                    for number, entry in enumerate(written[key])
                ]
        return written

    def _resolve(self, value: Any, item: _Item, where: Where) -> Any:
        """The value with every ${NAME} and ${file:PATH} replaced; references that can't be resolved become problems."""
        if isinstance(value, dict):
            for key in value:
                if isinstance(key, str) and "${" in key:
                    self._report(item, (*where, key), "a reference in a key", "write the key itself, without ${…}")
            return {key: self._resolve(inner, item, (*where, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._resolve(inner, item, (*where, number)) for number, inner in enumerate(value)]
        if not isinstance(value, str):
            return value
        if "${" in value and where[0] not in Webhook.model_fields:
            return UNRESOLVED  # report only the unknown key

        def report(what: str, remedy: str) -> None:
            self._report(item, where, what, remedy)

        known = len(self.references.files)
        resolved = self.references.resolve(value, where, item.file.parent, report) if "${" in value else value
        if may_hold_reference(where):
            named = self.references.files[known:]
            label = f"{item.label}: {dotted(where)}"
            self.secrets += [
                SecretPlace(item.file, item.line(where), label, path)
                for path in (*named, *([item.file] if has_secret(value) else []))
            ]
        return resolved

    def _read_schema(self, item: _Item, webhook: Webhook) -> None:
        if webhook.payload_schema is None or not self.references.looks_up:
            return
        file = item.file.parent / webhook.payload_schema.file
        try:
            schema = self.schemas.get(file) or load_schema(
                webhook.payload_schema.file, item.file.parent, self.references.read
            )
        except BadSchema as error:
            if error.file is None:
                self._report(item, ("schema",), str(error), error.remedy)
            else:
                self._problem(error.file, error.line, f"{item.label}: schema", str(error), error.remedy)
        else:
            self.schemas[file] = schema
            webhook.payload_schema.compile_as(schema)

    # --- what is wrong or risky in it ---------------------------------------------------------------------

    def _check_size(self, item: _Item, webhook: Webhook) -> None:
        most = self.conductor_payload
        if most is not None and webhook.max_body is not None and webhook.max_body > most and not webhook.split:
            self._report(
                item,
                ("max_body",),
                f"larger than what Conductor accepts ({most} bytes), so a larger body is answered 413 anyway",
                "lower it, or, if Conductor's own limits are higher, set BRIDGE_CONDUCTOR_PAYLOAD to them",
                warning=True,
            )

    # --- problems -------------------------------------------------------------------------------------------

    def _report(
        self, item: _Item, location: Where, what: str, remedy: str, warning: bool = False, fails_check: bool = False
    ) -> None:
        where = f"{item.label}: {dotted(location)}" if location else item.label
        self._problem(item.file, item.line(location), where, what, remedy, warning, fails_check)

    def _problem(
        self,
        file: Path,
        line: int,
        where: str,
        what: str,
        remedy: str,
        warning: bool = False,
        fails_check: bool = False,
    ) -> None:
        self.problems.add(Problem(str(file), line, where, what, remedy, warning, fails_check))

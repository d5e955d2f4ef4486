"""JSON Schemas that payloads must fit: read from files below the definitions' folder, and compiled once.

A pattern is searched for in time proportional to the text, a reference never leaves the folder, and nothing of a
schema is executed. What doesn't fit is told by its place and the rule, never by its value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, urljoin

from config.yaml_lines import BadYaml, Where, parse_yaml

if TYPE_CHECKING:  # costs most processes time and memory for nothing
    from jsonschema_rs import ValidationError

_BASE = "http://schemas.invalid/"
"""Stands for the definitions' folder in the URIs of its files. Nothing is ever fetched."""
_MOST_FILES = 100
_LARGEST = 1_000_000
"""Characters of one file."""
_PATTERN_MEMORY = 1 << 20
_STANDARD = re.compile(r"https?://json-schema\.org/")
_NAME = re.compile(r"[^\W\d][\w-]{,80}")
_LONGEST_PLACE = 300
_SHOWN = frozenset(
    {"type", "required", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "format"}
    | {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"}
)
"""Rules whose parameter is told too: it says nothing about values."""

Read = Callable[[Path], str]
"""Reads a file. Raises OSError or ValueError."""


class BadSchema(ValueError):
    """A schema can't be used; the text says why."""

    def __init__(self, message: str, remedy: str, file: Path | None = None, line: int = 1):
        """`file`: where it is wrong; None for the definition itself."""
        super().__init__(message)
        self.remedy = remedy
        self.file = file
        self.line = line


class PayloadSchema:
    """A compiled schema. Those of the same texts are equal."""

    def __init__(self, name: str, documents: Mapping[str, Any], uri: str):
        """`documents`: URI → schema; `uri` is this one's. Raises ValueError, and the library's errors."""
        self.name = name
        self._documents = documents
        self._uri = uri
        self._validator = _validator(documents, uri, "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PayloadSchema) and self._documents == other._documents

    def __hash__(self) -> int:
        return hash(self.name)

    def misfit(self, payload: Any) -> Misfit | None:
        """The first place at which the payload doesn't fit, and the rule; None if it fits."""
        from jsonschema_rs import ValidationError

        try:
            if self._validator.is_valid(payload):
                return None
            if self._explainer is not None:
                self._explainer.validate(payload)
        except ValidationError as error:
            return Misfit(tuple(error.instance_path), _rule_of(error))
        except UnicodeEncodeError:  # half of a character, which JSON may escape
            text = json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace").decode()
            return self.misfit(json.loads(text))
        return Misfit((), "")

    @cached_property
    def _explainer(self) -> Any:
        """A validator that finds the first error, but not why each branch of an `anyOf` failed.

        The library collects all of that for each error: in a schema that refers to itself, several times as much at
        each level of the payload. None if there is no such validator.
        """
        import jsonschema_rs

        texts = [json.dumps(document) for document in self._documents.values()]
        if not any(f'"{key}":' in text for text in texts for key in _BRANCHED):
            return self._validator
        if any('"unevaluated' in text for text in texts):
            return None  # what a branch evaluates counts there
        documents = {uri: _with_plain_branches(document) for uri, document in self._documents.items()}
        try:
            return _validator(documents, self._uri, "")
        except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError):
            return None


class Misfit(NamedTuple):
    """Where a payload doesn't fit."""

    place: Where
    rule: str
    """Empty if it would take too long to tell."""

    def __str__(self) -> str:
        place = "$" + "".join(map(_step, self.place))
        place = place if len(place) <= _LONGEST_PLACE else place[:_LONGEST_PLACE] + "…"
        return f"{place}: {self.rule}" if self.rule else place


def _rule_of(error: ValidationError) -> str:
    rule = next((part for part in reversed(error.schema_path) if isinstance(part, str)), error.kind.name)
    if rule in _SHOWN:
        for parameter in error.kind.as_dict().values():
            named = parameter if isinstance(parameter, list) else [parameter]
            if all(isinstance(one, (str, int, float)) for one in named):  # a name that doesn't fit has another error
                rule += " " + " or ".join(one if isinstance(one, str) else json.dumps(one) for one in named)
    return rule


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _NAME.fullmatch(part) else f"[{json.dumps(part[:80])}]"


def load_schema(file: str, folder: Path, read: Read) -> PayloadSchema:
    """The schema in this file of the folder, with the files that it refers to. Raises BadSchema."""
    files = _Files(folder, read)
    path = files.find(file, folder)
    if path is None:
        raise BadSchema("a schema outside the definition's folder", "move it there, and write its relative path")
    files.add(path)
    return _compiled(file, files)


class _Files:
    """The files of one schema."""

    def __init__(self, folder: Path, read: Read):
        self.folder = folder
        self._read = read
        self._known: set[Path] = set()
        self.texts: list[tuple[Path, str, str]] = []
        """Path, text and URI of each, the schema itself first."""
        self.documents: dict[str, Any] = {}
        """URI → schema; a file with an `$id` has several."""

    def find(self, name: str, beside: Path) -> Path | None:
        """The file of this relative path; None if it isn't below the folder, also by a link."""
        path = beside / name
        try:
            inside = path.resolve().is_relative_to(self.folder.resolve())
        except (OSError, ValueError, RuntimeError):
            return None
        return path if inside and not Path(name).is_absolute() else None

    def uri(self, path: Path) -> str:
        return _BASE + quote(str(path.resolve().relative_to(self.folder.resolve())))

    def add(self, path: Path) -> Any:
        """Reads the file, and those that it refers to. Raises BadSchema."""
        text, uri = self._text(path), self.uri(path)
        document = _parsed(path, text)
        self._known.add(path.resolve())
        self.texts.append((path, text, uri))
        self.documents[uri] = document
        own = document.get("$id") if isinstance(document, dict) else None
        base = urljoin(uri, own) if isinstance(own, str) else uri
        self.documents.setdefault(base.partition("#")[0], document)
        try:
            references, inner = _references(document)
        except RecursionError:
            raise BadSchema("nested too deeply", "make it flatter", path) from None
        known = {urljoin(base, one) for one in inner}
        for where, reference in references:
            target = reference.partition("#")[0]
            if not target or urljoin(base, target) in known or _STANDARD.match(target):
                continue
            other = None if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|/", target) else self.find(unquote(target), path.parent)
            if other is None:
                raise BadSchema(
                    f"a reference to {target[:200]}, which is outside the definition's folder",
                    "put that schema into a file there, and write its relative path; nothing is fetched",
                    path,
                    _line(text, where),
                )
            found = self.documents[self.uri(other)] if other.resolve() in self._known else self.add(other)
            self.documents.setdefault(urljoin(base, target), found)
        return document

    def _text(self, path: Path) -> str:
        if len(self._known) >= _MOST_FILES:
            raise BadSchema(f"more than {_MOST_FILES} files of schemas", "put several into one", path)
        try:
            text = self._read(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise BadSchema(
                f"the file {path.name} can't be read: {reason}", "create it, readable by the bridge"
            ) from None
        if len(text) > _LARGEST:
            raise BadSchema(f"larger than {_LARGEST} characters", "make it smaller", path)
        return text


def _parsed(path: Path, text: str) -> Any:
    try:
        document = json.loads(text)
    except RecursionError:
        raise BadSchema("nested too deeply", "make it flatter", path) from None
    except ValueError as error:
        raise BadSchema(f"not JSON: {error}", "fix the text at this line", path, getattr(error, "lineno", 1)) from None
    if not isinstance(document, (dict, bool)):
        raise BadSchema("not a JSON Schema, which is an object", "write one such as {}", path)
    return document


def _references(document: Any) -> tuple[list[tuple[Where, str]], list[str]]:
    """The references in a document with their places, and the ids of the schemas in it. Raises RecursionError."""
    references: list[tuple[Where, str]] = []
    ids: list[str] = []

    def look(value: Any, where: Where) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(item, str):
                    look(item, (*where, key))
                elif key in ("$ref", "$dynamicRef", "$recursiveRef"):
                    references.append(((*where, key), item))
                elif key == "$id":
                    ids.append(item)
        elif isinstance(value, list):
            for number, item in enumerate(value):
                look(item, (*where, number))

    look(document, ())
    return references, ids


def _compiled(name: str, files: _Files) -> PayloadSchema:
    """The schema, after the files that it refers to, so that what is wrong is found where it is."""
    import jsonschema_rs

    for path, text, uri in reversed(files.texts):
        try:
            try:
                schema = PayloadSchema(name, files.documents, uri)
            except jsonschema_rs.ValidationError:
                _validator(files.documents, uri, None)  # no value of a payload is to be told, but what is wrong here is
                raise
        except jsonschema_rs.ValidationError as error:
            line = _line(text, tuple(error.instance_path))
            raise BadSchema(_why(error), "see https://json-schema.org/specification", path, line) from None
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            raise BadSchema(
                f"can't be compiled: {str(error).partition(chr(10))[0][:300]}", "correct it", path
            ) from None
    return schema


def _with_plain_branches(schema: Any, are_names: bool = False) -> Any:
    """The schema with each branch as a double negation: it means the same, and is only asked whether it holds.

    `are_names`: whether the keys are names, not keywords.
    """
    if isinstance(schema, list):
        return [_with_plain_branches(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {}
    for key, item in schema.items():
        if not are_names and key in _VALUES:
            found[key] = item
            continue
        found[key] = _with_plain_branches(item, not are_names and key in _OF_NAMES)
        if not are_names and key in _BRANCHED and isinstance(item, list):
            found[key] = [{"not": {"not": branch}} for branch in found[key]]
    return found


_BRANCHED = ("anyOf", "oneOf")
_VALUES = frozenset({"const", "default", "enum", "examples"})
_OF_NAMES = frozenset({"$defs", "definitions", "dependentSchemas", "dependencies", "patternProperties", "properties"})


def _validator(documents: Mapping[str, Any], uri: str, mask: str | None) -> Any:
    """Raises ValueError, and the library's errors."""
    import jsonschema_rs

    named = [(one, document) for one, document in documents.items() if isinstance(document, dict)]
    return jsonschema_rs.validator_for(
        documents[uri],
        registry=jsonschema_rs.Registry(named),
        base_uri=uri,
        pattern_options=jsonschema_rs.RegexOptions(size_limit=_PATTERN_MEMORY, dfa_size_limit=_PATTERN_MEMORY),
        offline=True,
        mask=mask,
    )


def _why(error: ValidationError) -> str:
    message = error.message[:300]
    if 'not a "regex"' in message:
        message += " (patterns have no look-around and no backreferences, and may not be huge)"
    place = "".join(_step(part) for part in error.instance_path).lstrip(".")
    return f"{place}: {message}" if place else message


def _line(text: str, where: Where) -> int:
    try:
        return parse_yaml(text).line(where)
    except (BadYaml, RecursionError):  # JSON may be what YAML isn't, such as indented by tabs
        return 1

"""JSON Schemas that payloads must fit: read from files below the definitions' folder, and compiled
once.

A pattern is searched for in time proportional to the text, a reference never leaves the folder, and
nothing of a schema is executed. What doesn't fit is told by its place and the rule, never by its
value.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, urljoin

from config.yaml_lines import BadYaml, Where, parse_yaml

if TYPE_CHECKING:  # costs most processes time and memory for nothing
    from jsonschema_rs import ValidationError

_BASE = "http://schemas.invalid/folder/"
"""Stands for the definitions' folder in the URIs of its files. Nothing is ever fetched."""
_PATTERN_MEMORY = 1 << 20
_NAME = re.compile(r"[^\W\d][\w-]{,80}")
_LONGEST_PLACE = 300
_SHOWN = frozenset(
    {
        "type",
        "required",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "format",
    }
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
        """`documents`: URI → schema; `uri` is this one's. Raises ValueError, and the library's
        errors."""
        self.name = name
        self._documents = documents
        self._uri = uri
        self._validator = _validator(documents[uri], uri, documents.__getitem__, "")

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

        The library collects all of that for each error: in a schema that refers to itself, several
        times as much at each level of the payload. None if there is no such validator.
        """
        import jsonschema_rs

        texts = [json.dumps(document) for document in self._documents.values()]
        if not any(f'"{key}":' in text for text in texts for key in _BRANCHED):
            return self._validator
        if any('"unevaluated' in text for text in texts):
            return None  # what a branch evaluates counts there
        documents = {
            uri: _with_plain_branches(document) for uri, document in self._documents.items()
        }
        try:
            return _validator(documents[self._uri], self._uri, documents.__getitem__, "")
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
    rule = next(
        (part for part in reversed(error.schema_path) if isinstance(part, str)), error.kind.name
    )
    if rule in _SHOWN:
        for parameter in error.kind.as_dict().values():
            named = parameter if isinstance(parameter, list) else [parameter]
            # A name that doesn't fit has another error.
            if all(isinstance(one, (str, int, float)) for one in named):
                rule += " " + " or ".join(
                    one if isinstance(one, str) else json.dumps(one) for one in named
                )
    return rule


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _NAME.fullmatch(part) else f"[{json.dumps(part[:80])}]"


def load_schema(file: str, folder: Path, read: Read) -> PayloadSchema:
    """The schema in this file of the folder, with the files that it refers to. Raises BadSchema."""
    files = _Files(folder, read)
    path = files.inside(folder / file)
    if path is None:
        raise BadSchema(
            "a schema outside the definition's folder", "move it there, and write its relative path"
        )
    uri = files.uri(path)
    files.add(path, uri)
    return PayloadSchema(file, files.documents, uri)


class _Files:
    """The files of one schema: the library asks for those that it refers to, and each is checked by
    itself, so that what is wrong is found where it is."""

    def __init__(self, folder: Path, read: Read):
        self.folder = folder
        self._read = read
        self._bases = {_BASE: folder}
        """The beginnings of the URIs of files, and the folders that they stand for."""
        self._texts: dict[Path, str] = {}
        self._fault: BadSchema | None = None
        self.documents: dict[str, Any] = {}
        """URI → schema."""

    def inside(self, path: Path) -> Path | None:
        """The path; None if it isn't below the folder, also by a link."""
        try:
            return path if path.resolve().is_relative_to(self.folder.resolve()) else None
        except (OSError, ValueError, RuntimeError):
            return None

    def uri(self, path: Path) -> str:
        return _BASE + quote(os.path.relpath(path, self.folder))

    def add(self, path: Path, uri: str) -> Any:
        """Reads the file, and those that it refers to. Raises BadSchema."""
        import jsonschema_rs

        try:
            text = self._texts[path] = self._read(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            remedy = "create it, readable by the bridge"
            raise BadSchema(f"the file {path.name} can't be read: {reason}", remedy) from None
        document = self.documents[uri] = _parsed(path, text)
        if isinstance(document, dict) and isinstance(own := document.get("$id"), str):
            self._bases.setdefault(urljoin(urljoin(uri, own), "."), path.parent)
        try:
            _validator(document, uri, self._retrieve, None)  # values of a schema may be told
        except jsonschema_rs.ValidationError as error:
            line = _line(text, tuple(error.instance_path))
            wrong = BadSchema(_why(error), "see https://json-schema.org/specification", path, line)
            raise self._fault or wrong from None
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            what = f"can't be compiled: {str(error).partition(chr(10))[0][:300]}"
            raise self._fault or BadSchema(what, "correct it", path) from None
        return document

    def _retrieve(self, uri: str) -> Any:
        if uri in self.documents:
            return self.documents[uri]
        base = next((base for base in self._bases if uri.startswith(base)), None)
        path = None
        if base is not None:
            path = self.inside(self._bases[base] / unquote(uri.removeprefix(base)))
        try:
            if path is None:
                name = uri.rpartition("/")[2]
                referring = next((one for one, text in self._texts.items() if name in text), None)
                line = 1
                if referring is not None:
                    line += self._texts[referring].partition(name)[0].count("\n")
                raise BadSchema(
                    f"a reference to {uri[:200]}, which is outside the definition's folder",
                    "put that schema into a file there, and write its relative path; nothing is"
                    " fetched",
                    referring,
                    line,
                )
            return self.add(path, uri)
        except BadSchema as error:
            self._fault = error  # the library makes its own error of it
            raise


def _parsed(path: Path, text: str) -> Any:
    try:
        document = json.loads(text)
    except RecursionError:
        raise BadSchema("nested too deeply", "make it flatter", path) from None
    except ValueError as error:
        raise BadSchema(
            f"not JSON: {error}", "fix the text at this line", path, getattr(error, "lineno", 1)
        ) from None
    if not isinstance(document, (dict, bool)):
        raise BadSchema("not a JSON Schema, which is an object", "write one such as {}", path)
    return document


def _with_plain_branches(schema: Any, are_names: bool = False) -> Any:
    """The schema with each branch as a double negation: it means the same, and is only asked
    whether it holds.

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
_OF_NAMES = frozenset(
    {"$defs", "definitions", "dependentSchemas", "dependencies", "patternProperties", "properties"}
)


def _validator(document: Any, uri: str, retrieve: Callable[[str], Any], mask: str | None) -> Any:
    """Raises ValueError, and the library's errors."""
    import jsonschema_rs

    return jsonschema_rs.validator_for(
        document,
        base_uri=uri,
        retriever=retrieve,
        pattern_options=jsonschema_rs.RegexOptions(
            size_limit=_PATTERN_MEMORY, dfa_size_limit=_PATTERN_MEMORY
        ),
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

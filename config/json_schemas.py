"""JSON Schemas that payloads must fit: read from files below the definitions' folder, and compiled once.

A pattern is searched for in time proportional to the text, a reference never leaves the folder, and nothing of a
schema is executed. What doesn't fit is told by its place and the rule, never by its value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
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

    def __init__(self, name: str, documents: dict[str, Any], validator: Any):
        self.name = name
        self._documents = documents
        self._validator = validator

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PayloadSchema) and self._documents == other._documents

    def __hash__(self) -> int:
        return hash(self.name)

    def misfit(self, payload: Any) -> str | None:
        """The first place at which the payload doesn't fit, and the rule; None if it fits."""
        from jsonschema_rs import ValidationError

        try:
            self._validator.validate(payload)
        except ValidationError as error:
            return _in_words(error)
        except UnicodeEncodeError:  # half of a character, which JSON may escape
            text = json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace").decode()
            return self.misfit(json.loads(text))
        return None


def _in_words(error: ValidationError) -> str:
    place = "$" + "".join(_step(part) for part in error.instance_path)
    rule = next((part for part in reversed(error.schema_path) if isinstance(part, str)), error.kind.name)
    if rule in _SHOWN:
        for parameter in error.kind.as_dict().values():
            named = parameter if isinstance(parameter, list) else [parameter]
            rule += " " + " or ".join(one if isinstance(one, str) else json.dumps(one) for one in named)
    return f"{place if len(place) <= _LONGEST_PLACE else place[:_LONGEST_PLACE] + '…'}: {rule}"


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _NAME.fullmatch(part) else f"[{json.dumps(part[:80])}]"


def load_schema(file: str, folder: Path, read: Read) -> PayloadSchema:
    """The schema in this file of the folder, with the files that it refers to. Raises BadSchema."""
    files = _Files(folder, read)
    path = files.find(file, folder)
    if path is None:
        raise BadSchema(
            "a schema outside of the folder of the definition", "move it there, and write its relative path"
        )
    files.add(path)
    return PayloadSchema(file, files.documents, _compiled(files))


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
        for where, reference in _references(document, ()):
            target = reference.partition("#")[0]
            if not target or target == own or _STANDARD.match(target):
                continue
            other = None if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|/", target) else self.find(unquote(target), path.parent)
            if other is None:
                raise BadSchema(
                    f"a reference to {target[:200]}, which is not below the folder of the definition",
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
                f"the file {path.name} can't be read: {reason}", "create it, readable for the bridge"
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


def _references(value: Any, where: Where) -> Iterator[tuple[Where, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(item, str):
                yield (*where, key), item
            else:
                yield from _references(item, (*where, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _references(item, (*where, number))


def _compiled(files: _Files) -> Any:
    """The schema, after the files that it refers to, so that what is wrong is found where it is."""
    import jsonschema_rs

    limits = jsonschema_rs.RegexOptions(size_limit=_PATTERN_MEMORY, dfa_size_limit=_PATTERN_MEMORY)
    validator = None
    for path, text, uri in reversed(files.texts):
        try:
            registry = jsonschema_rs.Registry(
                [(uri, document) for uri, document in files.documents.items() if isinstance(document, dict)]
            )
            for mask in (None, ""):  # no value is to be in an error, but a wrong schema must be told
                validator = jsonschema_rs.validator_for(
                    files.documents[uri],
                    registry=registry,
                    base_uri=uri,
                    pattern_options=limits,
                    offline=True,
                    mask=mask,
                )
        except jsonschema_rs.ValidationError as error:
            line = _line(text, tuple(error.instance_path))
            raise BadSchema(_why(error), "see https://json-schema.org/specification", path, line) from None
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            raise BadSchema(
                f"can't be compiled: {str(error).partition(chr(10))[0][:300]}", "correct it", path
            ) from None
    return validator


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

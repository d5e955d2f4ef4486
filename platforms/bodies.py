"""Parses a request's body: pure, strict, and without parsing anything twice."""

from __future__ import annotations

import base64
import codecs
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn
from urllib.parse import parse_qsl, unquote_to_bytes

from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from platforms.charsets import codec_of
from platforms.http import Request

MAX_DEPTH = 100
"""How deeply arrays and objects may be nested."""
MAX_DIGITS = 1000
"""Characters of one number: the most that Conductor's JSON parser reads."""
MAX_NAME = 50_000
"""Characters of a name in an object: the most that Conductor's JSON parser reads."""
MAX_TEXT = 20_000_000
"""Characters of one text: the same limit."""
MAX_FIELDS = 10_000
"""Fields of a form, or parameters of a query."""
MAX_VALUES = 500_000
"""Values that all JSON texts of a delivery may have together, which bounds the time and memory that
they take."""
_UNPROVEN = 50_000
"""The same of a body whose proof is inside it, until it is proven."""
_UNPROVEN_FIELDS = 500
"""Fields of such a body that is a form."""
_LONGEST_HEAD = 4096
_MOST_PARAMETERS = 20
"""Of a part of a multipart form: bytes of its head, and parameters in it."""
_GZIP = b"\x1f\x8b"


class BadBody(ValueError):
    """The body can't become a payload."""


class MalformedBody(BadBody):
    """The body doesn't match its content type."""


class UnreadableMediaType(BadBody):
    """The bridge doesn't read this content type."""


Bodies = Literal["json", "json or form", "declared"]
"""What a platform sends. `json or form`: the first bytes tell which. `declared`: the content type
tells, unless the bytes are signed and it isn't: then the bytes decide."""


@dataclass(frozen=True, slots=True)
class Body:
    """A body that was read: its value, and its JSON text if the body was JSON."""

    value: Any
    text: str | None = None
    batch: bool = False
    """Whether it is an array of events, whatever the webhook says about arrays."""


def read_body(body: bytes, content_type: str | None, always_json: bool = False) -> Body:
    """Reads the body according to its content type; without one, as JSON if it parses, else as
    text.

    `always_json` is for platforms that send JSON under another name.

    Raises MalformedBody, or UnreadableMediaType.
    """
    found = _read_body(body, content_type, always_json)
    if found.text is None or len(body) > MAX_NAME or "\\u0000" in found.text:
        refuse_unstorable(found.value)
    return found


def _read_body(body: bytes, content_type: str | None, always_json: bool) -> Body:
    if content_type == "application/json" or always_json:  # the hot path
        return _json(body)
    if not content_type or not content_type.strip():
        return _sniffed(body)
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in ("application/json", "text/json") or media_type.endswith("+json"):
        return _json(body)
    if media_type == "application/x-www-form-urlencoded":
        return _form(body, _charset(content_type))
    if media_type == "multipart/form-data":
        return _unpacked(_multipart(body, content_type))
    if media_type in ("application/xml", "text/xml") or media_type.endswith("+xml"):
        charset = _charset(content_type, _declared_charset(body))
        return Body({"request": _decode(body, charset)})
    if media_type.startswith("text/"):
        return Body({"request": _decode(body, _charset(content_type))})
    raise UnreadableMediaType("the bridge doesn't read this content type")


def read_query(query: str) -> dict[str, Any]:
    """The parameters of a raw query string, repeated ones as lists.

    Raises MalformedBody if there are too many.
    """
    if not query:
        return {}
    text = query.encode("latin-1", "replace").decode("utf-8", "replace")
    try:
        fields = _fields(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise MalformedBody("the query has too many parameters") from None
    refuse_unstorable(fields)
    return fields


def refuse_unstorable(value: Any) -> None:
    """Raises MalformedBody for content that a Conductor server may always answer with 500, so that
    the sender learns of it: a name or text too long for its JSON parser, or the character NUL,
    which PostgreSQL can't store."""
    nodes = [value]
    while nodes:
        node = nodes.pop()
        if isinstance(node, str):
            if "\0" in node:
                raise MalformedBody(
                    "a text holds the character NUL (U+0000), which Conductor can't store"
                )
            if len(node) > MAX_TEXT:
                raise MalformedBody(
                    f"a text is longer than {MAX_TEXT} characters, which Conductor can't read"
                )
        elif isinstance(node, list):
            nodes += node
        elif isinstance(node, dict):
            nodes += node.values()
            for name in node:
                if "\0" in name:
                    raise MalformedBody(
                        "a name holds the character NUL (U+0000), which Conductor can't store"
                    )
                if len(name) > MAX_NAME:
                    raise MalformedBody(
                        f"a name is longer than {MAX_NAME} characters, which Conductor can't read"
                    )


# --- a proof inside of a body


def peek_json(body: bytes) -> Any:
    """The value of a JSON body that isn't proven yet: for the few fields of its proof, and at a
    bounded cost.

    Raises MalformedBody. What only matters to a payload isn't checked.
    """
    text = _json_text(body)
    if values_in(text, _UNPROVEN) > _UNPROVEN:
        raise MalformedBody(
            f"the body has more than {_UNPROVEN} values, too many to look for its proof"
        )
    return _parsed(text)


def peek_fields(body: bytes, names: Sequence[str]) -> dict[str, Any]:
    """The fields with these names of a form that isn't proven yet: the first of each, which must be
    short.

    Raises MalformedBody.
    """
    if body.count(b"&") > _UNPROVEN_FIELDS:
        raise MalformedBody("the form has too many fields to look for its proof")
    found = _MULTIPART.match(body)
    if found:
        parts = _parts(body, found[1], _UNPROVEN_FIELDS)
        pairs = [(_PLAIN_NAME.search(head), content.rstrip(b"\r\n")) for head, content in parts]
        fields = [
            (name[1].decode(), content)
            for name, content in pairs
            if name and len(content) <= _LONGEST_HEAD
        ]
    else:
        split = [part.partition(b"=") for part in body.split(b"&") if len(part) <= _LONGEST_HEAD]
        fields = [
            (name.decode("latin-1"), unquote_to_bytes(value.replace(b"+", b" ")))
            for name, _, value in split
        ]
    return {
        name: value.decode("utf-8", "replace") for name, value in reversed(fields) if name in names
    }


# --- JSON


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedBody(f"{name} is not JSON")


def _float(text: str) -> float:
    number = float(text)
    if len(text) > MAX_DIGITS or number in (float("inf"), float("-inf")):
        raise MalformedBody("a number is too large")
    return number


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise MalformedBody("a number is too long")
    return int(text)


_decode_json = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_float, parse_int=_int
).decode


_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)


def values_in(text: str, most: int) -> int:
    """How many values a JSON text may have, counted by the characters that begin or part them;
    those inside of strings are only told apart if there are more than `most` in all."""
    number = sum(map(text.count, "[{,"))
    return number if number <= most else sum(map(_STRING.sub("", text).count, "[{,"))


def read_json(text: str) -> Any:
    """The value of an RFC 8259 text that is nested no deeper than `MAX_DEPTH`, and has `MAX_VALUES`
    at most.

    Raises MalformedBody.
    """
    if values_in(text, MAX_VALUES) > MAX_VALUES:
        raise _BeyondLimits(f"the body has more than {MAX_VALUES} values")
    value = _parsed(text)
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    return value


def _parsed(text: str) -> Any:
    try:
        return _decode_json(text)
    except MalformedBody:
        raise
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        reason = getattr(error, "msg", "a number is too long").removesuffix(" at")
        raise MalformedBody(
            f"the body is not JSON: {reason} at character {getattr(error, 'pos', 0)}"
        ) from None


def _check_depth(value: Any) -> None:
    if is_nested_deeper(value, MAX_DEPTH):
        raise _too_deep()


def is_nested_deeper(value: Any, most: int) -> bool:
    """Whether the value's arrays and objects are nested deeper than this."""
    level, depth = [value], 0
    while level := [node for node in level if isinstance(node, (dict, list))]:
        depth += 1
        if depth > most:
            return True
        level = [
            child for node in level for child in (node.values() if isinstance(node, dict) else node)
        ]
    return False


class _BeyondLimits(MalformedBody):
    """It may be JSON, but is nested too deep or has too many values."""


def _too_deep() -> MalformedBody:
    return _BeyondLimits(f"the body is nested deeper than {MAX_DEPTH}")


def _json(body: bytes) -> Body:
    text = _json_text(body)
    return Body(read_json(text), text)


def _json_text(body: bytes) -> str:
    if body.startswith(codecs.BOM_UTF8):
        raise MalformedBody("the body is not JSON: it begins with a byte order mark (U+FEFF)")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        if body.startswith(_GZIP):
            raise MalformedBody("the body is compressed with gzip; send it uncompressed") from None
        raise MalformedBody("the body is JSON that is not UTF-8") from None


def _sniffed(body: bytes) -> Body:
    if not body:
        return Body({})
    try:
        return _json(body)
    except _BeyondLimits:
        raise
    except MalformedBody:
        return Body({"request": _decode(body, "utf-8")})


# --- forms and text


_DECLARATION = re.compile(
    rb"""\A<\?xml[^>]{1,100}\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']"""
)


def _declared_charset(body: bytes) -> str:
    """The charset that an XML text declares in its first bytes. Raises UnreadableMediaType for an
    unsupported one."""
    if body[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    declaration = _DECLARATION.match(body)
    return _known_charset(declaration[1].decode("ascii")) if declaration else "utf-8"


def _charset(content_type: str, default: str = "utf-8") -> str:
    if ";" not in content_type:
        return default
    name = parse_options_header(content_type)[1].get("charset", "").strip()
    return _known_charset(name) if name else default


def _known_charset(name: str) -> str:
    codec = codec_of(name)
    if codec is None:
        raise UnreadableMediaType("the bridge doesn't read this charset")
    return codec


def _decode(body: bytes, charset: str) -> str:
    try:
        return body.decode(charset)
    except (UnicodeError, ValueError):
        raise MalformedBody(f"the body is not {charset} text") from None


def _fields(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    repeated: set[str] = set()
    for name, value in pairs:
        if name not in fields:
            fields[name] = value
        elif name in repeated:
            fields[name].append(value)
        else:
            fields[name] = [fields[name], value]
            repeated.add(name)
    return fields


_SYNTAX = "%+&=09AFaf"
"""The characters of an encoded form: a charset that has them as ASCII does can also be that of its
percent-encoding."""


def _form(body: bytes, charset: str) -> Body:
    text = _decode(body, charset)
    escaped = charset if _SYNTAX.encode(charset) == _SYNTAX.encode() else "utf-8"
    for encoding in ("utf-8", escaped):  # browsers escape UTF-8, whatever is declared
        try:
            pairs = parse_qsl(
                text, True, encoding=encoding, errors="strict", max_num_fields=MAX_FIELDS
            )
        except UnicodeDecodeError:
            continue
        except ValueError:
            raise MalformedBody("the form has too many fields") from None
        return _unpacked(_fields(pairs))
    raise MalformedBody(f"a field of the form is not {'UTF-8' if escaped == 'utf-8' else escaped}")


def _unpacked(fields: dict[str, Any]) -> Body:
    """Slack and GitHub put a JSON object into the one field ``payload`` of a form."""
    packed = fields.get("payload") if len(fields) == 1 else None
    if isinstance(packed, str) and packed.lstrip()[:1] == "{":
        try:
            return Body(read_json(packed), packed)
        except _BeyondLimits:
            raise
        except MalformedBody:
            pass
    return Body(fields)


def _multipart(body: bytes, content_type: str) -> dict[str, Any]:
    """Fields as text; files as objects with name, type and base64 content, so that nothing gets
    lost."""
    boundary = parse_options_header(content_type)[1].get("boundary", "")
    if not boundary or len(boundary) > 200:
        raise MalformedBody("the form has no boundary")
    _parts(body, boundary.encode("latin-1"))
    pairs: list[tuple[str, Any]] = []
    try:
        decoder = MultipartDecoder(boundary.encode("latin-1"), max_parts=MAX_FIELDS)
        decoder.receive_data(body)
        decoder.receive_data(None)
        part: Field | File | None = None
        content = bytearray()
        while not isinstance(event := decoder.next_event(), (Epilogue, NeedData)):
            if isinstance(event, (Field, File)):
                part, content = event, bytearray()
                if not isinstance(part.name, str):  # whatever its type says
                    raise MalformedBody("a field of the form has no name")
            elif isinstance(event, Data):
                content += event.data
                if not event.more_data and part is not None:
                    pairs.append((part.name, _part_value(part, bytes(content))))
        if not isinstance(event, Epilogue):
            raise MalformedBody("the form ends too early")
    except BadBody:
        raise
    except Exception:  # werkzeug raises various errors for an invalid form
        raise MalformedBody("the body is not a multipart form") from None
    return _fields(pairs)


_PART = rb"(?:^|[\r\n])--%b"
_BLANK_LINE = re.compile(rb"\r\n\r\n|\r\r|\n\n")
_PLAIN_NAME = re.compile(rb'\bname="?([a-z]{1,20})"?\s*(?:;|$|[\r\n])', re.IGNORECASE)


def _parts(body: bytes, boundary: bytes, most: int = MAX_FIELDS) -> list[tuple[bytes, bytes]]:
    """Head and content of each part. Raises MalformedBody for too many, or for a long head, for
    whose parameters werkzeug takes quadratic time."""
    parts = re.split(_PART % re.escape(boundary), body, maxsplit=most + 1)
    if len(parts) > most + 1:
        raise MalformedBody("the form has too many fields")
    found = []
    for part in parts[1:]:
        end = _BLANK_LINE.search(part, 0, _LONGEST_HEAD)
        head = part[: end.start()] if end else part
        if len(head) > _LONGEST_HEAD or head.count(b";") > _MOST_PARAMETERS:
            raise MalformedBody("the head of a field is too long")
        found.append((head, part[end.end() :] if end else b""))
    return found


def _part_value(part: Field | File, content: bytes) -> Any:
    if isinstance(part, File):
        return {
            "filename": part.filename,
            "contentType": part.headers.get("content-type"),
            "content": base64.b64encode(content).decode("ascii"),
        }
    return _decode(content, _charset(part.headers.get("content-type", "")))


# --- as the platform sends it


_FORM = "application/x-www-form-urlencoded"
_STARTS_AS_FORM = re.compile(rb"[A-Za-z0-9_.~%+*-]+=")
"""No JSON text starts like this."""
_IS_FORM = re.compile(rb"[A-Za-z0-9_.~%+*\[\]-]+=[!-;=?-~]*")
"""One line without spaces, like an encoded form."""
_MULTIPART = re.compile(
    rb"--([A-Za-z0-9'()+_,./:=?-]{1,70})\r?\n(?:[^\n]{0,500}\n){0,3}?content-disposition:",
    re.IGNORECASE,
)
_XML_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_delivery(request: Request, bodies: Bodies, signed: bool) -> Body:
    """The body, or the query of a delivery whose method needs no body. Raises BadBody.

    `signed`: whether its bytes are signed, but not their content type.
    """
    body, content_type = request.body, request.headers.get("content-type")
    if not body:
        if request.method in ("GET", "DELETE"):
            return Body(read_query(request.query))
        if (not content_type and not (signed and bodies == "json")) or bodies == "json or form":
            return Body({})
    if bodies == "json":
        return read_body(body, None, always_json=True)
    if bodies == "json or form":
        return read_body(body, _FORM if _STARTS_AS_FORM.match(body) else "application/json")
    return _by_its_bytes(body, content_type) if signed else read_body(body, content_type)


def _by_its_bytes(body: bytes, content_type: str | None) -> Body:
    """Reads the body by its own form: if it is signed and its content type isn't, it must have only
    one reading."""
    if body.lstrip()[:1] in (b"{", b"["):
        try:
            return read_body(body, None, always_json=True)
        except _BeyondLimits:
            raise
        except MalformedBody:
            if _is_json(body):
                raise
    if _IS_FORM.fullmatch(body):
        return read_body(body, _FORM)
    parts = _MULTIPART.match(body)
    if parts:
        return read_body(body, f'multipart/form-data; boundary="{parts[1].decode("ascii")}"')
    if body.lstrip().startswith(b"<?xml") or body.startswith(_XML_16):
        return read_body(body, "text/xml")
    try:
        return read_body(body, "text/plain")
    except MalformedBody:
        # Not UTF-8: then only the header tells what it is.
        return read_body(body, content_type)


def _is_json(body: bytes) -> bool:
    """Whether it is refused for its content (NaN, depth, a NUL), not its form."""
    try:
        json.loads(body)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True

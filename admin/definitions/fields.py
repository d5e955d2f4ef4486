"""The fields of the form, one for each setting that has a plain value: its place in the YAML, and how it is typed.

Name, secrets, receivers and starts have fields of their own in `admin.definitions.forms`. Pure.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import dedent
from typing import Any, Literal

from ruamel.yaml import YAML

from admin.definitions.values import Verbatim, verbatim
from config.proofs import PLATFORM_SETTINGS
from config.yaml_lines import BadYaml, parse_yaml
from platforms.base import Platform

Group = Literal["signature", "jwt", "mtls", "challenge", "callback", "own", "payload", "deliveries", "kept"]
"""Fields that stand together: five kinds of proof, what only some platforms have, and three collapsed sections."""
SECTIONS: dict[Group, str] = {
    "payload": "Payload: filter, decode, split, schema, messages",
    "deliveries": "Deliveries: hold, limits, answer",
    "kept": "Development and rejected deliveries",
}
"""The collapsed sections, in the order in which the page has them."""
_SHORT = {"schema": "file", "challenge": "name"}
"""Settings that may be written as the value of this key alone."""
_LISTS = ("allow_ips", "hide", "tasks", "query")
"""Settings that are lists even if they have one item."""
_LONGEST_NUMBER = 15


@dataclass(frozen=True)
class Field:
    """One setting in the form."""

    group: Group
    path: tuple[str, ...]
    """The keys that lead to it, from the webhook's."""
    label: str
    hint: str = ""
    kind: Literal["text", "exact", "number", "switch", "lines", "yaml", "choice", "tick"] = "text"
    """`exact`: spaces count. `switch`: text, true or false. `lines`: a list, one item per line. `yaml`: a mapping, of
    `messages` a list."""
    choices: tuple[str, ...] = ()
    """The first is the default, which isn't written."""
    ticked: Any = True
    """The value of a tick."""
    rows: int = 0
    """Lines of a text area; 0 for a field of one line."""

    @property
    def name(self) -> str:
        """The field's name in the form."""
        return "_".join(self.path)

    def is_typed(self, text: str) -> bool:
        """Whether the text means a value other than none."""
        return bool(text.strip()) and not (self.kind == "choice" and text == self.choices[0])

    def fits(self, platform: Platform) -> bool:
        """Whether webhooks of the platform may have the setting."""
        if self.path == ("listen",) and platform.secret_in_body:
            return False
        return self.path[0] not in PLATFORM_SETTINGS or self.path[0] in platform.settings | platform.challenge_settings


FIELDS = (
    Field("signature", ("signature", "header"), "Header with the signature", "Such as X-Signature"),
    Field("signature", ("signature", "algorithm"), "Hash", "", "choice", ("sha256", "sha1", "sha512")),
    Field("signature", ("signature", "encoding"), "Signature written as", "", "choice", ("hex", "base64")),
    Field(
        "signature", ("signature", "key_encoding"), "Key written as", "How the secret is written: text, its characters "
        "are the key", "choice", ("text", "hex", "base64"),
    ),
    Field("signature", ("signature", "prefix"), "Text before the signature", "Such as sha256=", "exact"),
    Field(
        "signature", ("signature", "format"), "Form of the header, instead of that text",
        "With several parts: t={timestamp},v1={signature}", "exact",
    ),
    Field(
        "signature", ("signature", "signed"), "What is signed",
        "{body} if empty; also {timestamp}, {method}, {url}, {path}, {query}, {header:NAME}", "exact", rows=2,
    ),
    Field(
        "signature", ("signature", "timestamp_header"), "Header with the time",
        "If a time is signed, and not in the signature’s header",
    ),
    Field("signature", ("signature", "tolerance"), "How old the time may be", "Such as 5m, which it is if empty"),
    Field("jwt", ("jwt", "issuer"), "Issuer", "As in the token, such as https://login.example.com"),
    Field("jwt", ("jwt", "audience"), "Audience", "As in the token; several: one per line", "lines", rows=1),
    Field("jwt", ("jwt", "jwks"), "URL of its keys", "If it has no OpenID discovery"),
    Field(
        "jwt", ("jwt", "claims"), "Claims", "A JSONPath and the expected value per line, such as $.scope: orders",
        "yaml", rows=2,
    ),
    Field("jwt", ("jwt", "header"), "Header with the token", "Authorization if empty"),
    Field("jwt", ("jwt", "tolerance"), "By how much the issuer’s clock may differ", "Such as 1m, which it is if empty"),
    Field("mtls", ("mtls", "header"), "Header of the proxy", "Which it overwrites, such as X-SSL-Client-S-DN"),
    Field(
        "mtls", ("mtls", "subject"), "Subject", "As the proxy writes it, such as CN=partner,O=Example,C=SE; several: "
        "one per line", "lines", rows=1,
    ),
    Field(
        "mtls", ("mtls", "san"), "Alternative name",
        "A DNS name, URI, e-mail or IP address, if it is not the subject that counts; several: one per line", "lines",
        rows=1,
    ),
    Field(
        "mtls", ("mtls", "form"), "What the header carries", "The subject or alternative name itself, the certificate, "
        "or Envoy’s X-Forwarded-Client-Cert", "choice", ("as its name says", "name", "certificate", "envoy"),
    ),
    Field("challenge", ("challenge", "name"), "Name of the challenge", "The query parameter or JSON field"),
    Field("challenge", ("challenge", "answer"), "Answered as", "", "choice", ("text", "json")),
    Field("challenge", ("challenge", "head"), "answer HEAD requests, which ask whether the URL exists", "", "tick"),
    Field("callback", ("callback", "expires"), "How long a URL can be used", "Such as 2h; 7d if empty"),
    Field(
        "callback", ("callback", "tasks"), "Tasks that may be completed", "Reference names, one per line; all if empty",
        "lines", rows=2,
    ),
    Field(
        "callback", ("callback", "query"), "What a link may say", "Query parameters that become part of the output, "
        "one per line, such as decision; others are dropped", "lines", rows=1,
    ),
    Field(
        "callback", ("callback", "by"), "What its URLs carry", "id: the workflow’s id, so that workflows make the URLs "
        "themselves; there is no secret then, and nothing signs them", "choice", ("a signed token", "id"),
    ),
    Field(
        "own", ("audience",), "Audience", "As at Google: of the push subscription, or of the Chat app",
    ),
    Field("own", ("service_account",), "Service account", "Its e-mail address, as in the push subscription"),
    Field(
        "own", ("topic",), "Topic", "Its ARN, such as arn:aws:sns:eu-west-1:123456789012:alarms; several: one per line",
        "lines", rows=1,
    ),
    Field(
        "payload", ("only",), "Only", "A JSONPath and the expected value, or operators, per line; all must hold. Other "
        "deliveries are answered, and are no events", "yaml", rows=2,
    ),
    Field(
        "payload", ("decode",), "Decode", "A JSONPath and json, base64, base64-json or gzip per line, such as "
        "$.payload: base64-json; or false, to decode nothing", "yaml", rows=2,
    ),
    Field(
        "payload", ("split",), "Split", "A JSONPath to an array, each element of which becomes an event, such as "
        "$.items; true for the top-level array", "switch",
    ),
    Field(
        "payload", ("schema", "file"), "JSON Schema", "A file in the folder of definitions, such as order.schema.json",
    ),
    Field(
        "payload", ("schema", "else"), "What doesn’t fit the schema", "refuse: it is answered 422; keep: 200, and it "
        "is recorded as rejected", "choice", ("refuse", "keep"),
    ),
    Field("payload", ("dedup", "header"), "Header with the delivery id", "Such as X-Delivery-Id"),
    Field("payload", ("dedup", "path"), "Delivery id in the payload", "A JSONPath, such as $.id, if not in a header"),
    Field(
        "payload", ("hide",), "Hide", "JSONPaths of values that people don’t see, one per line, such as "
        "$.customer.email", "lines", rows=2,
    ),
    Field("payload", ("metadata",), "leave _webhook out of outputs and inputs", "", "tick", ticked=False),
    Field(
        "payload", ("messages",), "Messages", "To running workflows, such as "
        "- {workflow: agent, key: $.event.thread_ts, else: start}", "yaml", rows=2,
    ),
    Field("deliveries", ("hold",), "Hold", "How long an event waits for a task; 10m if empty, 0s for not at all"),
    Field("deliveries", ("max_body",), "Largest body", "Such as 2MB; the platform’s own limit if empty"),
    Field("deliveries", ("allow_ips",), "Networks that may post", "One per line; all if empty", "lines", rows=2),
    Field(
        "deliveries", ("accept", "rate"), "Deliveries accepted", "Such as 200/s; others are answered 429",
    ),
    Field("deliveries", ("accept", "burst"), "How many of them at once", "Those of two seconds if empty", "number"),
    Field("deliveries", ("pace",), "Calls to Conductor", "At most, such as 50/s; others wait"),
    Field("deliveries", ("tolerance",), "How old a signed time may be", "The platform’s own limit if empty"),
    Field(
        "deliveries", ("respond",), "Answer", "Instead of the platform’s usual one: status, body and content_type, one "
        "per line; or wait: 20s and output: $.reply, to answer with the workflow’s result", "yaml", rows=2,
    ),
    Field(
        "deliveries", ("public_url",), "Public URL", "The whole URL as the platform calls it, where a signature "
        "covers it and a proxy changes its path",
    ),
    Field("deliveries", ("id",), "Last part of the URL", "The name if empty"),
    Field(
        "kept", ("listen",), "let admins listen: deliveries are kept as they came, for an hour at most", "", "tick",
    ),
    Field(
        "kept", ("keep_rejected",), "Rejected deliveries kept", "How many, such as 100, to accept them once the secret "
        "is corrected; none if empty", "number",
    ),
)  # fmt: skip
BY_NAME = {field.name: field for field in FIELDS}
FURTHER = tuple(dict.fromkeys(field.path[0] for field in FIELDS if field.group in SECTIONS))
"""The settings of the collapsed sections, which may also be typed as YAML."""


class BadValue(ValueError):
    """What was typed can't be a value of the setting; the text says what can be."""


def text_of(field: Field, keys: Mapping[str, Any]) -> str:
    """What is typed for the setting as `keys` have it, "" for none. `keys`: as a person would type them."""
    value = value_at(keys, field.path)
    if field.kind == "tick":
        return "yes" if value == field.ticked and value is not None else ""
    if field.kind == "choice":
        return field.choices[0] if value is None else str(value)
    if value is None:
        return ""
    if field.kind == "lines":
        return "\n".join(map(str, value if isinstance(value, list) else [value]))
    if field.kind == "yaml" or isinstance(value, (dict, list)):
        return dedent(as_yaml(value)).strip() if isinstance(value, (dict, list)) else _plain(value)
    return _plain(value)


def value_of(field: Field, text: str) -> Any:
    """The value that was typed; None for none. Raises BadValue."""
    stripped = text.strip()
    if field.kind == "exact":
        return text.replace("\r\n", "\n") or None
    if field.kind == "tick":
        return field.ticked if stripped else None
    if field.kind == "choice":
        return None if stripped in ("", field.choices[0]) else stripped
    if not stripped:
        return None
    if field.kind == "number":
        if not stripped.isdecimal() or len(stripped) > _LONGEST_NUMBER:
            raise BadValue("not a whole number")
        return int(stripped)
    if field.kind == "switch":
        return {"true": True, "false": False}.get(stripped.lower(), stripped)
    if field.kind == "lines":
        lines = [line for line in map(str.strip, stripped.splitlines()) if line]
        return lines if len(lines) > 1 or field.path[-1] in _LISTS else lines[0]
    return parsed(stripped, field.path[-1]) if field.kind == "yaml" else stripped


def parsed(text: str, key: str, example: str = "NAME: VALUE") -> Any:
    """The mapping that is typed as YAML, or false or a list where that is a value. Raises BadValue."""
    try:
        located = parse_yaml(text)
    except BadYaml as error:
        raise BadValue(f"line {error.line}: {error}; {error.remedy}") from None
    if located.value is False and key == "decode":
        return False
    if isinstance(located.value, list) and key == "messages":
        return located.value
    if not isinstance(located.value, dict) or located.repeated:
        raise BadValue(f"write each setting once, on a line of its own, such as {example}")
    return {str(name): value for name, value in located.value.items()}


def is_same(field: Field, one: str, other: str) -> bool:
    """Whether two texts mean the same. A browser changes the ends of lines, and drops them in a field of one line."""
    if field.kind == "exact" and field.rows:
        one, other = (text.replace("\r\n", "\n").removeprefix("\n") for text in (one, other))
        return one == other
    if field.kind == "exact":
        return "".join(one.splitlines()) == "".join(other.splitlines())
    return same_yaml(one, other) if field.kind == "yaml" else one.split() == other.split()


def same_yaml(one: str, other: str) -> bool:
    """Whether two texts are the same YAML: spaces in quotes and before keys count, others don't."""
    if one.split() != other.split():
        return False
    try:
        return bool(parse_yaml(one).value == parse_yaml(other).value)
    except BadYaml:
        return one.splitlines() == other.splitlines()


def field_at(path: str) -> Field | None:
    """The field of what the check names, such as ``accept.rate``; of a setting with several, the first in doubt."""
    keys = path.replace("[", ".").split(".")
    named = BY_NAME.get("_".join(keys[:2])) or BY_NAME.get(keys[0])
    return named or next((field for field in FIELDS if field.path[0] == keys[0]), None)


def value_at(keys: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """What the keys have there; None for nothing."""
    value = keys.get(path[0])
    for key in path[1:]:
        value = value.get(key) if isinstance(value, Mapping) else value if _SHORT.get(path[0]) == key else None
    return value


def put(keys: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Sets what the keys have there, or removes it if the value is None; what is beside it stays as it is."""
    top, *below = path
    if below:
        before = keys.get(top)
        written = before.value if isinstance(before, Verbatim) else before
        inside = dict(written) if isinstance(written, Mapping) else {} if written is None else {_SHORT[top]: written}
        if isinstance(before, Verbatim):
            inside = verbatim(inside)
        put(inside, tuple(below), value)
        value = (inside[_SHORT[top]] if list(inside) == [_SHORT.get(top)] else inside) if inside else None
    if value is None:
        keys.pop(top, None)
    else:
        keys[top] = value


def as_yaml(value: Any) -> str:
    """The value as block YAML."""
    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

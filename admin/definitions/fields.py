"""The fields by which a new webhook's deliveries are proven: their places in the YAML, and how they are typed.

Name, secrets, receivers and starts have fields of their own in `admin.definitions.forms`. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from config.proofs import PLATFORM_SETTINGS
from config.webhooks import Webhook
from config.yaml_lines import BadYaml, parse_yaml
from platforms.base import Platform

Group = Literal["signature", "jwt", "mtls", "challenge", "callback", "own"]
"""Fields that stand together: five kinds of proof, and what only some platforms have."""
_LISTS = ("tasks", "query")
"""Settings that are lists even if they have one item."""


@dataclass(frozen=True)
class Field:
    """One setting in the form."""

    group: Group
    path: tuple[str, ...]
    """The keys that lead to it, from the webhook's."""
    label: str
    hint: str = ""
    kind: Literal["text", "exact", "lines", "yaml", "choice", "tick"] = "text"
    """`exact`: spaces count. `lines`: a list, one item per line. `yaml`: a mapping."""
    choices: tuple[str, ...] = ()
    """The first is the default, which isn't written."""
    rows: int = 0
    """Lines of a text area; 0 for a field of one line."""

    @property
    def name(self) -> str:
        """The field's name in the form."""
        return "_".join(self.path)

    def fits(self, platform: Platform) -> bool:
        """Whether webhooks of the platform may have the setting."""
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
)  # fmt: skip
BY_NAME = {field.name: field for field in FIELDS}
_APART = {"name", "platform", "secret", "verify_token", "headers", "verifier", "receivers", "starts"}
FURTHER = tuple(
    key
    for name, field in Webhook.model_fields.items()
    if (key := field.alias or name) not in _APART | {one.path[0] for one in FIELDS}
)
"""The settings that have no field, and are typed as YAML."""


class BadValue(ValueError):
    """What was typed can't be a value of the setting; the text says what can be."""


def value_of(field: Field, text: str) -> Any:
    """The value that was typed; None for none. Raises BadValue."""
    stripped = text.strip()
    if field.kind == "exact":
        return text.replace("\r\n", "\n") or None
    if field.kind == "tick":
        return bool(stripped) or None
    if field.kind == "choice":
        return None if stripped in ("", field.choices[0]) else stripped
    if not stripped:
        return None
    if field.kind == "lines":
        lines = [line for line in map(str.strip, stripped.splitlines()) if line]
        return lines if len(lines) > 1 or field.path[-1] in _LISTS else lines[0]
    return parsed(stripped) if field.kind == "yaml" else stripped


def parsed(text: str, example: str = "NAME: VALUE") -> dict[str, Any]:
    """The mapping that is typed as YAML. Raises BadValue."""
    try:
        located = parse_yaml(text)
    except BadYaml as error:
        raise BadValue(f"line {error.line}: {error}; {error.remedy}") from None
    if not isinstance(located.value, dict) or located.repeated:
        raise BadValue(f"write each setting once, on a line of its own, such as {example}")
    return {str(name): value for name, value in located.value.items()}


def field_at(path: str) -> Field | None:
    """The field of what the check names, such as ``jwt.issuer``; of a setting with several, the first in doubt."""
    keys = path.replace("[", ".").split(".")
    named = BY_NAME.get("_".join(keys[:2])) or BY_NAME.get(keys[0])
    return named or next((field for field in FIELDS if field.path[0] == keys[0]), None)


def put(keys: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Sets what the keys have there, unless the value is None."""
    for key in path[:-1]:
        if value is not None:
            keys = keys.setdefault(key, {})
    if value is not None:
        keys[path[-1]] = value

"""Turns the webhook JSON of Orkes Conductor into this bridge's YAML. Secrets are never copied."""

# The fields: https://orkes.io/content/reference-docs/api/webhooks/create-webhook

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from admin.definitions.values import Verbatim, as_yaml, to_yaml_value
from admin.errors import CantDo
from config.value_types import URL_PART
from criteria.jsonpath import compile_path
from platforms import PLATFORMS

_VERIFIERS = {
    "SLACK_BASED": "slack",
    "STRIPE": "stripe",
    "TWITTER": "twitter",
    "SENDGRID": "sendgrid",
}
"""Verifiers that belong to one platform → the platform."""
VERIFIERS = ("HEADER_BASED", "SIGNATURE_BASED", "HMAC_BASED", *_VERIFIERS)
_IRRELEVANT = {
    "secretValue",
    "evaluatorType",
    "urlVerified",
    "createdBy",
    "updatedBy",
    "createTime",
    "updateTime",
    "tags",
    "webhookExecutionHistory",
    "ownerApp",
}


class NotOrkes(CantDo):
    """The text is not the webhook JSON of Orkes."""


@dataclass
class Imported:
    """One webhook, converted."""

    keys: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What the admin should know or do."""
    variables: dict[str, str] = field(default_factory=dict)
    """Environment variable → what to set it to."""
    unsafe: bool = False
    """Whether its deliveries would not be verified, or go nowhere."""


def read_webhooks(text: str) -> list[dict[str, Any]]:
    """The webhooks in Orkes' JSON: an object, or a list of objects. Raises NotOrkes."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise NotOrkes(f"not JSON: {error}") from None
    webhooks = value if isinstance(value, list) else [value]
    if not webhooks or not all(
        isinstance(one, dict) and isinstance(one.get("name"), str) for one in webhooks
    ):
        raise NotOrkes(
            "not webhooks of Orkes: expected an object with `name`, or a list of such objects"
        )
    return webhooks


def convert(webhooks: Iterable[Mapping[str, Any]]) -> list[Imported]:
    """Converts each webhook to the bridge's keys."""
    taken: set[str] = set()
    return [_convert(dict(webhook), taken) for webhook in webhooks]


def _convert(webhook: dict[str, Any], taken: set[str]) -> Imported:
    """`webhook` loses the fields that are read: what is left of it is unknown."""
    made, original = Imported(), webhook.pop("name")
    name = _name(str(original), taken)
    if name != original:
        made.notes.append(f"was named {json.dumps(original)} in Orkes")
    made.keys["name"] = name
    _keep_id(webhook.pop("id", None), made, taken)
    _verification(webhook, made, _variable(name))
    receivers = _versions(webhook.pop("receiverWorkflowNamesToVersions", None), made)
    if receivers:
        made.keys["receivers"] = {
            workflow: version or "any" for workflow, version in receivers.items()
        }
    starts = _starts(webhook.pop("workflowsToStart", None), made)
    if starts:
        made.keys["starts"] = starts
    if webhook.pop("expression", None):
        made.notes.append(
            "its expression was left out: Orkes evaluates it over the webhook's own configuration,"
            " not over the payload. To select by payload, write `when` for a workflow to start, or"
            " `only` for the webhook"
        )
    if not receivers and not starts:
        made.notes.append("it reaches no workflow: add receivers or starts")
        made.unsafe = True
    for key in sorted(webhook.keys() - _IRRELEVANT):
        made.notes.append(f"its field {json.dumps(key)} is unknown and was left out")
    return made


def _keep_id(webhook_id: object, made: Imported, taken: set[str]) -> None:
    if isinstance(webhook_id, str) and URL_PART.fullmatch(webhook_id) and webhook_id not in taken:
        taken.add(webhook_id)
        made.keys["id"] = webhook_id
        made.notes.append("its id is kept, so the last part of the URL stays the same")


def _starts(given: object, made: Imported) -> list[dict[str, Any]]:
    starts = dict(given) if isinstance(given, dict) else {}
    once = _once(starts.pop("idempotencyKey", None), starts.pop("idempotencyStrategy", None), made)
    entries = []
    for workflow, version in _versions(starts, made).items():
        entry: dict[str, Any] = {"workflow": workflow}
        if version:
            entry["version"] = version
        entries.append(entry | once)
    return entries


def _once(key: object, strategy: object, made: Imported) -> dict[str, Any]:
    """`once` for Orkes' idempotency key and strategy; nothing without a key, or if it can't be
    expressed."""
    if not key:
        return {}
    path = re.fullmatch(r"\$\{workflow\.input((?:[.\[][^{}]*)?)\}", str(key).strip())
    try:
        compile_path(f"${path[1] if path else ''}")
    except ValueError:
        path = None
    if path is None or not path[1]:
        made.notes.append(
            f"its idempotency key {json.dumps(key)} is not a single value of the payload and was"
            " left out; for one workflow per value write once: {key: JSONPATH}"
        )
        return {}
    # Only this strategy lets a workflow start again when the one before has ended.
    lasts = "running" if strategy == "FAIL_ON_RUNNING" else "kept"
    return {"once": {"key": f"${path[1]}", "while": lasts}}


def platform_of(source: object) -> str | None:
    """Our name for a sourcePlatform, whatever its case and spaces; None if unknown."""
    plain = re.sub(r"[^a-z0-9]", "", str(source or "custom").lower())
    return next((name for name in PLATFORMS if name.replace("-", "") == plain), None)


def _signs(platform: str) -> bool:
    """Whether a secret is all that verifying the platform's deliveries takes."""
    return PLATFORMS[platform].verifier is not None and PLATFORMS[platform].required == {"secret"}


def _verification(webhook: dict[str, Any], made: Imported, variable: str) -> None:
    verifier = str(webhook.pop("verifier", None) or "")
    platform = platform_of(webhook.pop("sourcePlatform", None))
    names = [webhook.pop(key, None) for key in ("headerKey", "secretKey")]
    header, headers = names[0] or names[1], webhook.pop("headers", None)
    proven_by = _proven_by(verifier, platform, header)

    def secret(what: str) -> Verbatim:
        made.variables[f"{variable}_SECRET"] = what
        return Verbatim(f"${{{variable}_SECRET}}")

    if verifier == "HEADER_BASED":
        _by_headers(headers, platform, made, variable)
    elif proven_by is not None:
        of = PLATFORMS[proven_by]
        made.keys["platform"] = proven_by
        made.keys["secret"] = secret(f"the {of.secret_label.lower()} of {of.title}")
    elif verifier == "SIGNATURE_BASED" and header:
        key = secret("its secretValue")
        made.keys["signature"] = {"secret": key, "header": str(header), "prefix": "sha256="}
    elif verifier == "HMAC_BASED" and header:
        key = secret("its secretValue, the key in Base64")
        encoded = {"encoding": "base64", "key_encoding": "base64"}
        made.keys["signature"] = {"secret": key, "header": str(header), **encoded}
    else:
        reason = f"verifier {json.dumps(verifier)}" if verifier else "no verifier"
        made.notes.append(
            f"{reason}: nothing would verify its deliveries; add platform and secret, headers or"
            " signature"
        )
        made.unsafe = True


def _by_headers(headers: object, platform: str | None, made: Imported, variable: str) -> None:
    if not isinstance(headers, dict) or not headers:
        made.notes.append("it has no headers to verify with: add headers, or signature")
        made.unsafe = True
        return
    made.keys["headers"] = {}
    for name in map(str, headers):
        its_variable = f"{variable}_{_variable(name)}"
        made.variables[its_variable] = f"the value of the header {name}"
        made.keys["headers"][name] = Verbatim(f"${{{its_variable}}}")
    if platform not in (None, "custom"):
        made.notes.append(
            f"better: the bridge verifies signatures of {platform}: platform: {platform}, and"
            " secret"
        )


def _proven_by(verifier: str, platform: str | None, header: object) -> str | None:
    """The platform by whose own rule deliveries are verified; None if that is none."""
    match verifier:
        case "SIGNATURE_BASED":
            if platform == "github" or str(header).lower() == "x-hub-signature-256":
                return "github"
            return platform if not header and platform is not None and _signs(platform) else None
        case "HMAC_BASED":
            return platform if platform == "microsoft-teams" else None
        case _:
            return _VERIFIERS.get(verifier)


def _versions(value: object, made: Imported) -> dict[str, int | None]:
    """workflow → version, None for any or the latest."""
    found: dict[str, int | None] = {}
    for workflow, version in value.items() if isinstance(value, dict) else ():
        text = "" if version is None else str(version)
        is_version = text.isdecimal() and len(text) < 10 and int(text) > 0
        found[str(workflow)] = int(text) if is_version else None
        if not is_version and text not in ("", "0"):
            made.notes.append(f"the version of {workflow} is not a number: any version is accepted")
    return found


def _name(text: str, taken: set[str]) -> str:
    base = re.sub(r"-*[^A-Za-z0-9._~-][^A-Za-z0-9._~]*", "-", text).strip("-._~")[:100] or "webhook"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    taken.add(name)
    return name


def _variable(text: str) -> str:
    name = re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_") or "WEBHOOK"
    return name if not name[0].isdigit() else f"_{name}"


def to_yaml(webhooks: Iterable[Imported]) -> str:
    """The webhooks as a file for BRIDGE_WEBHOOKS, with the notes as comments."""
    lines = [
        "# Imported from Orkes Conductor. Set the variables, then: webhook-bridge check",
        "webhooks:",
    ]
    for made in webhooks:
        lines += [f"  # {_comment(note)}" for note in made.notes]
        lines += [f"  # set {name}: {_comment(what)}" for name, what in made.variables.items()]
        written = as_yaml({"webhooks": [to_yaml_value(made.keys, _no_secret)]})
        lines += written.rstrip("\n").split("\n")[1:]
    return "\n".join(lines) + "\n"


def _no_secret(secret: str, label: str) -> str:
    raise TypeError("imported webhooks name variables and contain no secrets")


def _comment(text: str) -> str:
    return " ".join(
        "".join(character if character.isprintable() else " " for character in text).split()
    )

"""Converts webhooks to Orkes' API and back. Secrets never go out; a ``***`` that comes in keeps the
current one."""

# The fields: https://orkes.io/content/reference-docs/api/webhooks/create-webhook

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from admin.definitions.rotation import random_base64
from admin.definitions.values import Secret, Verbatim, verbatim
from admin.errors import BadRequest
from admin.orkes.importing import VERIFIERS, Imported, convert, platform_of
from config.value_types import URL_PART
from config.webhooks import Webhook
from criteria.descriptions import shown
from platforms import PLATFORMS
from platforms.verifiers.public_keys import decode_base64

HIDDEN = "***"
_WORDS = {
    "github": ("Github", "SIGNATURE_BASED", "X-Hub-Signature-256"),
    "microsoft-teams": ("Microsoft Teams", "HMAC_BASED", "Authorization"),
    "sendgrid": ("SendGrid", "SENDGRID", None),
    "slack": ("Slack", "SLACK_BASED", None),
    "stripe": ("Stripe", "STRIPE", "Stripe-Signature"),
    "twitter": ("Twitter", "TWITTER", None),
}
"""platform → sourcePlatform, verifier, headerKey."""
_REFERENCE = re.compile(r"\$\{(?:workflow\.)?(?:secrets\.|env\.)?([A-Za-z_][A-Za-z0-9_]*)\}")
"""Orkes' ``${workflow.secrets.NAME}``, and the shorter ways in which people write it."""
_PROOF = {
    "platform", "secret", "verify_token", "audience", "service_account", "topic", "headers", "signature", "jwt", "mtls",
    "challenge", "verifier", "callback",
}  # fmt: skip
"""The keys that a client replaces together when it asks for another kind of proof."""


# --- out


def to_orkes(webhook: Webhook, verified: bool) -> dict[str, Any]:
    """The webhook as Orkes' API shows it. 0 stands for any version, since clients only know
    numbers."""
    found: dict[str, Any] = {
        "name": webhook.name,
        "id": webhook.url_id,
        "receiverWorkflowNamesToVersions": {
            name: max(versions) if versions else 0 for name, versions in webhook.receivers.items()
        },
        "workflowsToStart": {start.workflow: start.version or 0 for start in webhook.starts},
        "urlVerified": verified,
    }
    return found | proof_of(webhook)


def proof_of(webhook: Webhook) -> dict[str, Any]:
    """The part that says how deliveries are verified."""
    source, verifier, header = _WORDS.get(
        webhook.platform, (webhook.platform, "SIGNATURE_BASED", None)
    )
    found: dict[str, Any] = {"sourcePlatform": source, "verifier": verifier}
    if webhook.platform == "custom":
        found = {"sourcePlatform": "Custom", "verifier": "HEADER_BASED"}
    if webhook.platform == "custom" and webhook.signature is not None:
        is_base64 = webhook.signature.encoding == "base64"
        found["verifier"] = "HMAC_BASED" if is_base64 else "SIGNATURE_BASED"
        found["secretValue"] = HIDDEN
        header = webhook.signature.header
    if webhook.headers:
        found["headers"] = dict.fromkeys(webhook.headers, HIDDEN)
    if header is not None:
        found["headerKey"] = header
    if webhook.secret is not None:
        found["secretValue"] = HIDDEN
    return found


# --- in


References = Callable[[str], str | None]
"""Name in a client's reference → the reference to the bridge's secret, such as ``${NAME}``; None if
there is none."""


def from_orkes(
    body: Mapping[str, Any],
    references: References,
    old: tuple[Webhook, Mapping[str, Any]] | None = None,
    taken: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """The webhook's keys. For a change, `old` is the current definition, and its keys as written.
    `taken`: other webhooks' names and last parts of URLs.

    Raises BadRequest.
    """
    if not isinstance(body.get("name"), str) or not body["name"].strip():
        raise BadRequest("name is missing")
    for field in ("receiverWorkflowNamesToVersions", "workflowsToStart", "headers"):
        if body.get(field) is not None and not isinstance(body[field], dict):
            raise BadRequest(f"{field} must be an object")
    given = {key: value for key, value in body.items() if value is not None and key != "id"}
    _check_words(given)
    (made,) = convert([given])
    if old is None:
        keys = _new(made, given, references, body.get("id"), taken)
    else:
        keys = _changed(made, given, references, *old)
    if not any(keys.get(key) for key in ("receivers", "starts", "messages")):
        raise BadRequest(
            "it reaches no workflow: set receiverWorkflowNamesToVersions or workflowsToStart"
        )
    return keys


def _check_words(body: Mapping[str, Any]) -> None:
    source, verifier = body.get("sourcePlatform"), body.get("verifier")
    if source is not None and platform_of(source) is None:
        raise BadRequest(
            f"sourcePlatform {shown(source)} is unknown; known are {', '.join(sorted(PLATFORMS))}"
        )
    if verifier not in VERIFIERS:
        said = "is missing" if verifier is None else f"{shown(verifier)} is unknown"
        raise BadRequest(f"verifier {said}; known are {', '.join(VERIFIERS)}")


def _new(
    made: Imported,
    body: Mapping[str, Any],
    references: References,
    given_id: object,
    taken: frozenset[str],
) -> dict[str, Any]:
    name = made.keys["name"]
    has_id = given_id not in (None, "")
    if has_id and not (isinstance(given_id, str) and URL_PART.fullmatch(given_id)):
        raise BadRequest(
            f"id {shown(given_id)} can't be part of a URL; use letters, digits, '-', '_', '.'"
            " and '~'"
        )
    for what, value in (("id", given_id), ("name", name)):
        if value in taken:
            raise BadRequest(f"a webhook with the {what} {value} already exists")
    keys = _with_secrets(made, body, references)
    if has_id and given_id != name:
        keys["id"] = given_id
    return keys


def _changed(
    made: Imported,
    body: Mapping[str, Any],
    references: References,
    webhook: Webhook,
    written: Mapping[str, Any],
) -> dict[str, Any]:
    if webhook.name not in (body["name"], made.keys["name"]):
        raise BadRequest(
            f"the name {webhook.name} can't be changed: make another webhook, and delete this one"
        )
    keys, before = verbatim(written), to_orkes(webhook, False)
    if _has_same_proof(made, body, webhook, before):
        _keep_or_replace(keys, body, references, webhook, written)
    else:
        keys = _with_other_proof(keys, made, body, references)
    if body.get(_RECEIVERS) != before[_RECEIVERS]:
        keys["receivers"] = _receivers(made, body.get(_RECEIVERS) or {}, before, written)
    starts = body.get("workflowsToStart") or {}
    versions = {name: version for name, version in starts.items() if type(version) is int}
    if versions != before["workflowsToStart"]:
        keys["starts"] = _starts(made, written)
    return {key: value for key, value in keys.items() if value not in ({}, [])}


_RECEIVERS = "receiverWorkflowNamesToVersions"


def _has_same_proof(
    made: Imported, body: Mapping[str, Any], webhook: Webhook, before: Mapping[str, Any]
) -> bool:
    words = ("sourcePlatform", "verifier", "headerKey")
    if all(body.get(field, before.get(field)) == before.get(field) for field in words):
        return True
    return _kind(made.keys) == _kind(_plain_keys(webhook))


def _with_other_proof(
    keys: Mapping[str, Any], made: Imported, body: Mapping[str, Any], references: References
) -> dict[str, Any]:
    """The keys with another kind of proof. Raises BadRequest."""
    if body.get("secretValue") == HIDDEN:
        raise BadRequest(
            "secretValue is ***, which keeps the secret of another verifier; send the new one"
        )
    others = {key: value for key, value in keys.items() if key not in _PROOF}
    new = _with_secrets(made, body, references)
    return others | {key: value for key, value in new.items() if key in _PROOF}


def _receivers(
    made: Imported,
    receivers: Mapping[str, Any],
    before: Mapping[str, Any],
    written: Mapping[str, Any],
) -> dict[str, Any]:
    """The receivers that were sent; what is unchanged stays as it is written."""
    old, versions = dict(written.get("receivers") or {}), before[_RECEIVERS]
    found = dict(made.keys.get("receivers", {}))
    for name in found:
        if name in old and versions.get(name) == receivers.get(name):
            found[name] = Verbatim(old[name])
    return found


def _starts(made: Imported, written: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The starts that were sent, with what only the definition says of them, such as a condition."""
    old = {start.get("workflow"): verbatim(start) for start in written.get("starts") or []}
    return [{**old.get(start["workflow"], {}), **start} for start in made.keys.get("starts", [])]


def _kind(keys: Mapping[str, Any]) -> tuple[object, ...]:
    """The kind of proof that the keys ask for, whatever the client calls it."""
    signature = keys.get("signature")
    if signature:
        return ("signature", str(signature["header"]).lower(), signature.get("encoding", "hex"))
    return ("headers",) if keys.get("headers") else (keys.get("platform", "custom"),)


def _plain_keys(webhook: Webhook) -> dict[str, Any]:
    signature = (
        webhook.signature.model_dump(include={"header", "encoding"}) if webhook.signature else None
    )
    headers = webhook.headers if webhook.platform == "custom" else None
    return {"platform": webhook.platform, "signature": signature, "headers": headers}


def _keep_or_replace(
    keys: dict[str, Any],
    body: Mapping[str, Any],
    references: References,
    webhook: Webhook,
    written: Mapping[str, Any],
) -> None:
    """The same kind of proof: only values sent in clear, or as references, are new."""
    sent = _secret_sent(body)
    if sent is not None and webhook.platform == "custom" and webhook.signature is not None:
        signature = {**verbatim(written["signature"]), "secret": _value(sent, references)}
        keys["signature"] = _with_key_encoding(signature, webhook.signature.encoding, sent)
    elif sent is not None:
        keys["secret"] = _value(sent, references)
    headers = body.get("headers")
    if headers and webhook.platform == "custom" and webhook.headers:
        keys["headers"] = _header_values(headers, references, dict(written.get("headers") or {}))


def _with_secrets(
    made: Imported, body: Mapping[str, Any], references: References
) -> dict[str, Any]:
    """The imported keys, with the secrets that were sent instead of references to variables."""
    keys = {key: value for key, value in made.keys.items() if key != "id"}
    sent = _secret_sent(body)
    value = None if sent is None else _value(sent, references)
    if "headers" in keys:
        keys["headers"] = _header_values(body.get("headers") or {}, references, {})
    elif "signature" in keys:
        signature = {**keys["signature"], "secret": value or _placeholder("custom")}
        keys["signature"] = _with_key_encoding(signature, signature.get("encoding"), sent)
    elif "secret" not in keys and keys.get("platform") != "slack":
        raise BadRequest(next(reversed(made.notes), "nothing would verify its deliveries"))
    elif value is None and keys["platform"] == "slack":
        keys.pop("secret", None)
    else:
        keys["secret"] = value or _placeholder(keys["platform"])
    return keys


def _placeholder(platform: str) -> Secret:
    """Stands for the platform's secret until that is sent: nobody knows it, so nothing is accepted
    until then."""
    return Secret(_unknown_public_key() if platform == "sendgrid" else random_base64())


def _secret_sent(body: Mapping[str, Any]) -> str | None:
    sent = body.get("secretValue")
    return sent if isinstance(sent, str) and sent not in ("", HIDDEN) else None


def _value(text: str, references: References) -> Secret | Verbatim:
    """A secret as a client sends it: the secret itself, or a reference to one of the bridge's.
    Never a reference as a literal.

    Raises BadRequest for a reference that can't be resolved.
    """
    if "${" not in text:
        return Secret(text)

    def replace(match: re.Match[str]) -> str:
        found = references(match[1])
        if found is None:
            raise BadRequest(
                f"{match[0]} is not a secret of the bridge; set the environment variable {match[1]}"
                f" for relay and admin process, or put it into the file secrets/{match[1]} beside"
                " the definitions"
            )
        return found

    referred = _REFERENCE.sub(replace, text)
    if "${" in _REFERENCE.sub("", text) or "$${" in text:
        raise BadRequest(
            "secretValue or a header has a ${…} that is not a reference; write"
            " ${workflow.secrets.NAME}"
        )
    return Verbatim(referred)


def _header_values(
    headers: Mapping[str, Any], references: References, old: Mapping[str, Any]
) -> dict[str, Secret | Verbatim]:
    found: dict[str, Secret | Verbatim] = {}
    for name, value in headers.items():
        if value == HIDDEN and name not in old:
            raise BadRequest("a header's value is ***, but there is no current one to keep")
        if not isinstance(value, str):
            raise BadRequest("a header's value must be text")
        found[str(name)] = Verbatim(old[name]) if value == HIDDEN else _value(value, references)
    return found


def _with_key_encoding(
    signature: Mapping[str, Any], encoding: object, sent: str | None
) -> dict[str, Any]:
    """HMAC_BASED, whose signatures are in Base64, sends its key in Base64 too, and it is kept like
    that. Raises BadRequest for anything else."""
    if encoding != "base64":
        return dict(signature)
    if sent is not None and "${" not in sent and decode_base64(sent.strip()) is None:
        raise BadRequest(
            "secretValue of HMAC_BASED is the key in Base64; what was sent is not Base64"
        )
    return {**signature, "key_encoding": "base64"}


def _unknown_public_key() -> str:
    """A placeholder for a secret that is a public key."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return base64.b64encode(
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).decode()

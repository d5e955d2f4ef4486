"""A webhook in the words of Orkes' API, and back. No secret goes out; ``***`` that comes in keeps what is there."""

# The fields: https://orkes.io/content/reference-docs/api/webhooks/create-webhook

from __future__ import annotations

import base64
import binascii
import secrets as random
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from admin.definitions.values import Secret, Verbatim, kept
from admin.orkes.importing import Imported, convert
from config.webhooks import Webhook

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
_PROOF = {"platform", "secret", "verify_token", "audience", "service_account", "headers", "signature", "verifier"}


class NotAWebhook(ValueError):
    """The body is no webhook that can be made; the text says why."""


# --- out ----------------------------------------------------------------------------------------------------


def to_orkes(webhook: Webhook, verified: bool) -> dict[str, Any]:
    """The webhook as Orkes' API shows one. Any version is 0: the clients know numbers only."""
    found: dict[str, Any] = {
        "name": webhook.name,
        "id": webhook.url_id,
        "receiverWorkflowNamesToVersions": {
            name: max(versions) if versions else 0 for name, versions in webhook.receivers.items()
        },
        "workflowsToStart": {start.workflow: start.version or 0 for start in webhook.starts},
        "urlVerified": verified,
    }
    return found | _proof_of(webhook)


def _proof_of(webhook: Webhook) -> dict[str, Any]:
    source, verifier, header = _WORDS.get(webhook.platform, (webhook.platform, "SIGNATURE_BASED", None))
    found: dict[str, Any] = {"sourcePlatform": source, "verifier": verifier}
    if webhook.platform == "custom":
        found["sourcePlatform"] = "Custom"
        if webhook.signature is not None:
            found["verifier"] = "HMAC_BASED" if webhook.signature.encoding == "base64" else "SIGNATURE_BASED"
            header = webhook.signature.header
            found["secretValue"] = HIDDEN
        else:
            found["verifier"] = "HEADER_BASED"
    if webhook.headers:
        found["headers"] = dict.fromkeys(webhook.headers, HIDDEN)
    if header is not None:
        found["headerKey"] = header
    if webhook.secret is not None:
        found["secretValue"] = HIDDEN
    return found


# --- in -----------------------------------------------------------------------------------------------------


def from_orkes(
    body: Mapping[str, Any], old: tuple[Webhook, Mapping[str, Any]] | None = None, taken: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """The webhook's keys. `old`, when one is changed, is what is defined and how it is written.

    Raises NotAWebhook.
    """
    if not isinstance(body.get("name"), str) or not body["name"].strip():
        raise NotAWebhook("name is missing")
    for field in ("receiverWorkflowNamesToVersions", "workflowsToStart", "headers"):
        if body.get(field) is not None and not isinstance(body[field], dict):
            raise NotAWebhook(f"{field} is no object")
    given = {key: value for key, value in body.items() if value is not None and key != "id"}
    (made,) = convert([given])
    if old is None:
        if made.keys["name"] in taken:
            raise NotAWebhook(f"there is a webhook {made.keys['name']} already")
        keys = _with_secrets(made, given)
    else:
        keys = _changed(made, given, *old)
    if not keys.get("receivers") and not keys.get("starts"):
        raise NotAWebhook("it reaches no workflow: give receiverWorkflowNamesToVersions or workflowsToStart")
    return keys


def _changed(made: Imported, body: Mapping[str, Any], webhook: Webhook, written: Mapping[str, Any]) -> dict[str, Any]:
    shown = to_orkes(webhook, False)
    keys = kept(written) | {"name": webhook.name}
    if made.keys["name"] != webhook.name:
        rest = {key: value for key, value in keys.items() if key not in ("name", "id")}
        keys = {"name": made.keys["name"], "id": webhook.url_id, **rest}
    kind = ("sourcePlatform", "verifier", "headerKey")
    if any(body.get(field, shown.get(field)) != shown.get(field) for field in kind):
        keys = {key: value for key, value in keys.items() if key not in _PROOF}
        proof = _with_secrets(made, body, dict(written.get("headers") or {}))
        keys |= {key: value for key, value in proof.items() if key in _PROOF}
    else:
        _keep_or_replace(keys, body, webhook, written)
    receivers = body.get("receiverWorkflowNamesToVersions")
    if receivers != shown["receiverWorkflowNamesToVersions"]:
        old = dict(written.get("receivers") or {})
        before = shown["receiverWorkflowNamesToVersions"]
        keys["receivers"] = {
            name: Verbatim(old[name]) if name in old and before.get(name) == (receivers or {}).get(name) else versions
            for name, versions in made.keys.get("receivers", {}).items()
        }
    starts = {name: version for name, version in (body.get("workflowsToStart") or {}).items() if type(version) is int}
    if starts != shown["workflowsToStart"]:
        conditions = {start.get("workflow"): start for start in written.get("starts") or []}
        keys["starts"] = [
            {**kept(conditions.get(start["workflow"], {})), **start} for start in made.keys.get("starts", [])
        ]
    return {key: value for key, value in keys.items() if value not in ({}, [])}


def _keep_or_replace(
    keys: dict[str, Any], body: Mapping[str, Any], webhook: Webhook, written: Mapping[str, Any]
) -> None:
    """The same kind of proof: only values that were sent in clear are new."""
    value = body.get("secretValue")
    if isinstance(value, str) and value not in ("", HIDDEN):
        if webhook.platform == "custom" and webhook.signature is not None:
            secret = _decoded(value) if webhook.signature.encoding == "base64" else value
            keys["signature"] = {**kept(written["signature"]), "secret": Secret(secret)}
        else:
            keys["secret"] = Secret(value)
    headers = body.get("headers")
    if isinstance(headers, dict) and webhook.platform == "custom" and headers:
        old = dict(written.get("headers") or {})
        if any(value == HIDDEN and name not in old for name, value in headers.items()):
            raise NotAWebhook("a header's value is ***, and there is none to keep")
        keys["headers"] = {
            name: Verbatim(old[name]) if value == HIDDEN else Secret(str(value)) for name, value in headers.items()
        }


def _with_secrets(
    made: Imported, body: Mapping[str, Any], old_headers: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """The imported keys, with the values that were sent instead of the names of variables."""
    keys = {key: value for key, value in made.keys.items() if key != "id"}
    headers = {str(name): value for name, value in (body.get("headers") or {}).items()}
    value = body.get("secretValue")
    value = value if isinstance(value, str) and value not in ("", HIDDEN) else None
    if "headers" in keys:
        if any(text == HIDDEN and name not in old_headers for name, text in headers.items()):
            raise NotAWebhook("a header's value is ***, and there is none to keep")
        keys["headers"] = {
            name: Verbatim(old_headers[name]) if headers[name] == HIDDEN else Secret(str(headers[name]))
            for name in keys["headers"]
        }
    elif "signature" in keys:
        secret = _decoded(value) if value and keys["signature"].get("encoding") == "base64" else value
        keys["signature"] = {**keys["signature"], "secret": Secret(secret or _nobodys())}
    elif keys.get("platform") == "slack" and value is None:
        keys.pop("secret", None)
    elif "secret" in keys:
        keys["secret"] = Secret(value or (_nobodys_key() if keys["platform"] == "sendgrid" else _nobodys()))
    else:
        raise NotAWebhook(made.notes[-1] if made.notes else "nothing would verify its deliveries")
    return keys


def _decoded(value: str) -> str:
    """Orkes keeps the key of HMAC_BASED in base64."""
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return value


def _nobodys() -> str:
    """A secret until the platform's own is sent: nobody knows it, so nothing is accepted before."""
    return base64.b64encode(random.token_bytes(32)).decode()


def _nobodys_key() -> str:
    """The same where a secret is a public key."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()

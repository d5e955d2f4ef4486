"""What proves a webhook's deliveries, as it is written, and how it is replaced. Pure."""

from __future__ import annotations

import base64
import re
import secrets as random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from admin.definitions.values import Keys, Secret
from platforms.guide import Guide


@dataclass(frozen=True)
class Proof:
    """A value by which the sender proves its deliveries, and which can be rotated."""

    header: str | None
    """The header whose value it is; None for the secret of a signature."""
    values: list[Any]
    """The references to those in force, as they are written, newest first."""


def proofs_of(written: dict[str, Any]) -> list[Proof]:
    """What of the webhook can be rotated."""
    found = [Proof(None, secrets)] if (secrets := secrets_of(written)) else []
    headers = written.get("headers")
    named = headers.items() if isinstance(headers, dict) else ()
    return found + [Proof(str(name), _as_list(value)) for name, value in named]


def secrets_of(written: dict[str, Any]) -> list[Any]:
    """The references to the secrets in force, as they are written, newest first."""
    inside = _around_secret(written)
    return _as_list((written if inside is None else written[inside]).get("secret"))


def _around_secret(written: dict[str, Any]) -> str | None:
    """The key whose value has the secret; None if the webhook has it itself."""
    return next((key for key in ("signature", "callback") if isinstance(written.get(key), dict)), None)


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list) else [value]


def generated_for(written: dict[str, Any], proof: Proof) -> str:
    """A new random value, written as the definition needs it: its encoding, or the word before a token."""
    if proof.header is not None:
        scheme = re.match(r"\w+ +(?=\$\{)", str(proof.values[0]))
        return f"{scheme[0] if scheme else ''}{random.token_urlsafe(32)}"
    signature = written.get("signature")
    encoding = signature.get("key_encoding") if isinstance(signature, dict) else None
    if encoding == "base64":
        return base64.b64encode(random.token_bytes(32)).decode()
    return random.token_hex(32) if encoding == "hex" else random.token_urlsafe(32)


def may_add_secret(written: dict[str, Any], guide: Guide) -> bool:
    """Whether the webhook has no secret, and its platform proves deliveries by one."""
    other_proof = {"signature", "headers", "verifier", "callback"} & written.keys()
    return not secrets_of(written) and not other_proof and "secret" in guide.platform.required


def place_of(written: dict[str, Any], header: str | None) -> tuple[str, ...]:
    """The keys that lead to the header's value, or to the secret."""
    if header is not None:
        return "headers", header
    inside = _around_secret(written)
    return (inside, "secret") if inside is not None and "secret" in written[inside] else ("secret",)


def proves_by_secret(keys: Keys) -> bool:
    """Whether a new webhook with these keys has a secret, which somebody must then enter at the sender."""
    signature = keys.get("signature")
    values = [keys.get("secret"), *(signature.values() if isinstance(signature, Mapping) else ())]
    headers = keys.get("headers")
    return any(
        isinstance(one, Secret) for one in (*values, *(headers.values() if isinstance(headers, Mapping) else ()))
    )

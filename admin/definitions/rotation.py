"""Rotates what proves a webhook's deliveries: the new value counts beside the old one, until that
is removed."""

from __future__ import annotations

import base64
import re
import secrets as random
from dataclasses import dataclass
from typing import Any, NamedTuple

from admin.bridge import Bridge
from admin.definitions.values import Secret, Verbatim
from admin.definitions.writer import DefinitionsFolder, Written
from admin.errors import CantDo
from platforms.base import Platform
from platforms.guide import Guide, guides


@dataclass(frozen=True)
class Proof:
    """A value by which the sender proves its deliveries, and which can be rotated."""

    header: str | None
    """The header whose value it is; None for the secret of a signature."""
    place: tuple[str, ...]
    """The keys that lead to it."""
    values: list[Any]
    """The references to those in force, as they are written, newest first."""


_SECRETS = ("signature", "secret"), ("callback", "secret"), ("secret",)
"""Where a webhook may have its secret."""


def proofs_of(written: dict[str, Any]) -> list[Proof]:
    """What of the webhook can be rotated."""
    secret = [
        Proof(None, place, values) for place in _SECRETS if (values := _values_at(written, place))
    ]
    headers = written.get("headers")
    named = headers.items() if isinstance(headers, dict) else ()
    return secret[:1] + [
        Proof(str(name), ("headers", str(name)), _as_list(value)) for name, value in named
    ]


def _values_at(written: Any, place: tuple[str, ...]) -> list[Any]:
    for key in place:
        written = written.get(key) if isinstance(written, dict) else None
    return _as_list(written)


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def generated_for(written: dict[str, Any], proof: Proof, platform: Platform) -> str:
    """A new random value, written as the platform or the definition needs it: its encoding, or the
    word before a token."""
    if proof.header is not None:
        scheme = re.match(r"\w+ +(?=\$\{)", str(proof.values[0]))
        word = scheme[0] if scheme else ""
        return f"{word}{random.token_urlsafe(32)}"
    if platform.made_as_whsec:
        return f"whsec_{random_base64()}"
    signature = written.get("signature")
    encoding = signature.get("key_encoding") if isinstance(signature, dict) else None
    match encoding:
        case "base64":
            return random_base64()
        case "hex":
            return random.token_hex(32)
        case _:
            return random.token_urlsafe(32)


def random_base64() -> str:
    """A value that nobody knows, of 32 bytes."""
    return base64.b64encode(random.token_bytes(32)).decode()


def may_add_secret(written: dict[str, Any], guide: Guide) -> bool:
    """Whether the webhook has no secret, and its platform proves deliveries by one."""
    other_proof = {"signature", "headers", "verifier", "callback"} & written.keys()
    return not proofs_of(written) and not other_proof and "secret" in guide.platform.required


def asked_of(platform: Platform) -> str:
    """How to ask for a secret that the platform makes."""
    return f"enter the {platform.secret_label.lower()} that {platform.title} shows"


class CantRotate(CantDo):
    """There is nothing to rotate; the text says why."""


class ValueMissing(CantDo):
    """The platform makes the secret, so somebody must enter it; the text says which."""

    status = 422


class Rotated(NamedTuple):
    """What was rotated."""

    made_up: str | None
    """The new value, if the bridge made it up and somebody must enter it at the sender."""
    added: bool
    """Whether it is the webhook's first secret."""


def rotate(
    bridge: Bridge,
    folder: DefinitionsFolder,
    written: Written,
    header: str | None,
    typed: str,
    version: str,
) -> Rotated:
    """Puts a new secret, or value of the header, before those in force, and records that. An empty
    text has one made up.

    Raises StoreUnavailable, CantRotate, ValueMissing, and what writing raises: CantWrite, Changed,
    Invalid.
    """
    keys, proof = written.keys, _proof(written, header)
    guide = guides()[str(keys.get("platform", "custom"))]
    if not proof.values:
        _check_may_add(keys, guide, header)
    if not typed and header is None and guide.platform.made_by != "us":
        raise ValueMissing(asked_of(guide.platform))
    value = typed or generated_for(keys, proof, guide.platform)
    new: list[Secret | Verbatim] = [Secret(value), *map(Verbatim, proof.values)]
    folder.put_value(str(keys["name"]), proof.place, new, version)
    done = "rotated the secret" if proof.values else "added a secret"
    bridge.record(done, str(keys["name"]), proof.header or "")
    # A callback's secret is entered nowhere, so nobody needs to see it.
    is_entered = not typed and not keys.get("callback")
    return Rotated(value if is_entered else None, not proof.values)


def _check_may_add(keys: dict[str, Any], guide: Guide, header: str | None) -> None:
    """Raises CantRotate unless a first secret may be added."""
    if not header and may_add_secret(keys, guide):
        return
    known = ", ".join(keys.get("headers") or ()) or "none"
    what = f"the header {header}" if header else "a secret"
    raise CantRotate(f"the webhook isn't proven by {what}; the headers known are {known}")


def remove_old(
    bridge: Bridge, folder: DefinitionsFolder, written: Written, header: str | None, version: str
) -> None:
    """Removes all but the newest secret, or value of the header, and records that. Raises as
    `rotate` does."""
    proof = _proof(written, header)
    if len(proof.values) < 2:
        raise CantRotate("there is no old secret")
    name = str(written.keys["name"])
    folder.put_value(name, proof.place, [Verbatim(proof.values[0])], version)
    bridge.record("removed the old secret", name, proof.header or "")


def _proof(written: Written, header: str | None) -> Proof:
    named = (header or "").lower()
    found = (proof for proof in proofs_of(written.keys) if (proof.header or "").lower() == named)
    return next(found, Proof(header, _SECRETS[-1], []))

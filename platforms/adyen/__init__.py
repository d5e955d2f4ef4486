"""Adyen: standard webhooks. The signature is in each item, over some of its fields."""

import json
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from platforms.base import Platform
from platforms.bodies import peek_json, read_json
from platforms.http import Request, text_response
from platforms.summary import Value
from platforms.verifiers import CannotSign, Check, Credentials, Draft, Part, Proof, Refused
from platforms.verifiers.compare import any_equal
from platforms.verifiers.hmacs import encoded_hmac
from platforms.verifiers.public_keys import hex_key, problem_of, usable

_SIGNED = (
    ("pspReference",), ("originalReference",), ("merchantAccountCode",), ("merchantReference",),
    ("amount", "value"), ("amount", "currency"), ("eventCode",), ("success",),
)  # fmt: skip
_REFERENCE = ("merchantReference",)


def _items(value: Any) -> list[dict[str, Any]]:
    """The items of a delivery; empty if anything in it isn't one."""
    found = value.get("notificationItems") if isinstance(value, dict) else None
    if not isinstance(found, list):
        return []
    items = [one.get("NotificationRequestItem") if isinstance(one, dict) else None for one in found]
    known = [item for item in items if isinstance(item, dict)]
    return known if len(known) == len(items) else []


def _text(item: Any, path: tuple[str, ...]) -> str:
    """The field as it is signed; Refused for one that can't be. A missing one is empty."""
    for key in path:
        item = item.get(key, "") if isinstance(item, dict) else ""
    if isinstance(item, bool) or not isinstance(item, (str, int)):
        raise Refused("a signed field is neither text nor a number")
    return str(item)


def _message(item: dict[str, Any]) -> bytes:
    """What is signed. Raises Refused if it has several readings: only the merchant's reference may
    have a colon."""
    texts = [_text(item, path) for path in _SIGNED]
    if any(":" in text for path, text in zip(_SIGNED, texts, strict=True) if path != _REFERENCE):
        raise Refused("a signed field contains a colon")
    return ":".join(texts).encode("utf-8", "surrogatepass")


def _with_signature(item: dict[str, Any], signature: str | None) -> dict[str, Any]:
    """The item with this signature, or without one."""
    data = item.get("additionalData")
    others = {
        name: one
        for name, one in (data.items() if isinstance(data, dict) else ())
        if name != "hmacSignature"
    }
    return item | {
        "additionalData": others if signature is None else others | {"hmacSignature": signature}
    }


# https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures
@dataclass(frozen=True)
class ItemSignatures:
    """HMAC-SHA256 over eight fields, in base64, inside of each item; the secret is the key in
    hexadecimal digits."""

    covers: ClassVar[frozenset[Part]] = frozenset({"fields"})

    def check(self, credentials: Credentials) -> Check:
        keys = usable(credentials.secrets, hex_key)

        def check(request: Request) -> Proof:
            items = _items(peek_json(request.body))
            if len(items) != 1:
                # Adyen sends one in JSON. Several that came one by one could be put together, in
                # ever new ways.
                raise Refused("not one notification of Adyen")
            data, message = items[0].get("additionalData"), _message(items[0])
            given = data.get("hmacSignature") if isinstance(data, dict) else None
            if not isinstance(given, str):
                raise Refused("additionalData.hmacSignature is missing")
            if not any_equal(
                given, [encoded_hmac(key, message, "sha256", "base64") for key in keys]
            ):
                raise Refused(
                    "the signature does not match" if keys else "the webhook's secret is not a key"
                )
            return Proof(message, body=False)

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        keys = usable(credentials.secrets, hex_key)
        try:
            value = read_json(draft.body.decode())
            items = _items(value)
            signatures = [
                encoded_hmac(keys[0], _message(item), "sha256", "base64").decode() for item in items
            ]
        except (ValueError, IndexError, Refused):
            signatures = []
        if not signatures:
            raise CannotSign(
                'the body is not {"notificationItems": [{"NotificationRequestItem": {…}}]}, as'
                " Adyen sends it"
            )
        signed = [
            {"NotificationRequestItem": _with_signature(item, signature)}
            for item, signature in zip(items, signatures, strict=True)
        ]
        return replace(draft, body=json.dumps(value | {"notificationItems": signed}).encode())


class Adyen(Platform):
    name = "adyen"
    title = "Adyen"
    purpose = "payments authorised, captured, refunded or disputed"
    types = ("$.notificationItems[0].NotificationRequestItem.eventCode",)
    summary = (
        "$.notificationItems[0].NotificationRequestItem.merchantReference",
        "$.notificationItems[0].NotificationRequestItem.pspReference",
        Value("$.notificationItems[0].NotificationRequestItem.success", before="success "),
    )
    secret_label = "HMAC key"
    verifier = ItemSignatures()
    ignores_dedup = True
    # https://docs.adyen.com/development-resources/webhooks/configure-and-manage#accept-webhooks
    # Adyen sends anything again that isn't answered so.
    answer = text_response("[accepted]")

    def find_secret_problem(self, secret: str) -> str | None:
        return problem_of(hex_key, secret)

    def conceal(self, value: Any) -> Any:
        items = _items(value)
        if not any("additionalData" in item for item in items):
            return value
        return value | {
            "notificationItems": [
                {"NotificationRequestItem": _with_signature(item, None)} for item in items
            ]
        }


PLATFORM = Adyen()

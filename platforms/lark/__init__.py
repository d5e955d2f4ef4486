"""Lark, or Feishu: events and callbacks of an app. The secret is the app's Encrypt Key."""

import base64
import binascii
import hashlib
import json
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from platforms.base import Platform, at, member
from platforms.bodies import BadBody, read_json
from platforms.http import Request, Response, json_response
from platforms.verifiers import Check, Credentials, Draft, Part, Proof, Refused, Timestamp
from platforms.verifiers.compare import any_equal, header_bytes, required_header

_BLOCK = 16
_LARGEST_CHALLENGE = 4096
_NONCE = "X-Lark-Request-Nonce"
_TIME = Timestamp("X-Lark-Request-Timestamp")


def _cipher(key: str, vector: bytes) -> Cipher[CBC]:
    return Cipher(AES256(hashlib.sha256(key.encode()).digest()), CBC(vector))


def _decrypt(body: bytes, key: str) -> bytes:
    """The content of a body that is ``{"encrypt": …}``; other bodies as they are. Raises Refused or
    BadBody."""
    encrypted = at(read_json(body.decode("utf-8", "replace")), "encrypt")
    if encrypted is None:
        return body
    try:
        raw = base64.b64decode(encrypted, validate=True)
        decryptor, unpadder = _cipher(key, raw[:_BLOCK]).decryptor(), PKCS7(8 * _BLOCK).unpadder()
        padded = decryptor.update(raw[_BLOCK:]) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except (binascii.Error, ValueError):
        raise Refused("the body can't be decrypted with the Encrypt Key") from None


# https://open.feishu.cn/document/ukTMukTMukTM/uYDNxYjL2QTM24iN0EjN/event-subscription-configure-/encrypt-key-encryption-configuration-case
@dataclass(frozen=True)
class KeyedDigest:
    """SHA-256, in hexadecimal digits, over time, nonce, key and body, which is encrypted with the
    same key."""

    header: str = "X-Lark-Signature"
    covers: ClassVar[frozenset[Part]] = frozenset({"time", "body"})

    def check(self, credentials: Credentials) -> Check:
        def check(request: Request) -> Proof:
            given, time = (
                header_bytes(required_header(request, self.header.lower())),
                _TIME.text(request),
            )
            before = header_bytes(time + required_header(request, _NONCE.lower()))
            for key in credentials.secrets:
                if any_equal(given, [_signature(before, key, request.body)]):
                    _TIME.check(time, request.now, credentials.tolerance)
                    return Proof(before + request.body, content=_decrypt(request.body, key))
            raise Refused("the signature does not match")

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        key, vector, padder = (
            credentials.first_secret,
            secrets.token_bytes(_BLOCK),
            PKCS7(8 * _BLOCK).padder(),
        )
        encryptor = _cipher(key, vector).encryptor()
        encrypted = (
            encryptor.update(padder.update(draft.body) + padder.finalize()) + encryptor.finalize()
        )
        body = json.dumps({"encrypt": base64.b64encode(vector + encrypted).decode()}).encode()
        time, nonce = str(int(draft.now)), secrets.token_hex(8)
        signature = _signature((time + nonce).encode(), key, body).decode()
        signed = (
            replace(draft, body=body).with_header(_TIME.header, time).with_header(_NONCE, nonce)
        )
        return signed.with_header(self.header, signature)


def _signature(before: bytes, key: str, body: bytes) -> bytes:
    return hashlib.sha256(before + key.encode() + body).hexdigest().encode()


class Lark(Platform):
    name = "lark"
    title = "Lark (Feishu)"
    purpose = "messages, approvals, contacts and card buttons"
    types = ("$.header.event_type", "$.event.type")
    summary = ("$.event.message.message_type", "$.event.message.chat_id", "$.event.action.tag")
    secret_label = "Encrypt Key"
    answer_within = 3
    verifier = KeyedDigest()
    challenge_proves = True
    # The last retry comes seven hours after the first attempt, maybe with its time.
    tolerance = 8 * 3600
    # Lark shows an error to whoever presses a button whose answer has keys that it doesn't know.
    answer = json_response({})

    # https://open.feishu.cn/document/ukTMukTMukTM/uYDNxYjL2QTM24iN0EjN/event-subscription-configure-/choose-a-subscription-mode/send-notifications-to-developers-server
    def challenge(self, request: Request, credentials: Credentials) -> Response | None:
        """Lark sends it when the URL is entered: encrypted, and not signed."""
        if request.method == "POST" and len(request.body) <= _LARGEST_CHALLENGE:
            for key in credentials.secrets:
                with suppress(Refused, BadBody, UnicodeDecodeError):
                    content = _decrypt(request.body, key)
                    value = read_json(content.decode())
                    # In clear, anyone can send it.
                    if content is not request.body and at(value, "type") == "url_verification":
                        return json_response({"challenge": at(value, "challenge")})
        return None

    def delivery_id(self, request: Request, value: Any) -> str | None:
        return at(value, "header", "event_id") or at(value, "uuid")

    def conceal(self, value: Any) -> Any:
        """Without the Verification Token, by which others may know Lark."""
        header = member(value, "header")
        if isinstance(header, dict) and "token" in header:
            return value | {
                "header": {name: item for name, item in header.items() if name != "token"}
            }
        if at(value, "token"):
            return {name: item for name, item in value.items() if name != "token"}
        return value


PLATFORM = Lark()

"""The tokens in the URLs of a webhook with `callback`: which task a URL completes, and until when.

    token       = base64url, without padding, of: claims + HMAC-SHA256(secret, context + claims)
    claims      = 0x02, when it expires (Unix seconds, 5 bytes), the URL's id, workflow id,
                  reference name (UTF-8)
    URL's id    = the 16 bytes of a UUIDv7, which begins with the time when the URL was made
                  (Unix milliseconds)
    workflow id = 0x00 and the 16 bytes of a UUID, or its length (1 byte) and the id itself
    context     = "webhook-bridge callback" 0x00, the webhook's name, 0x00

So a token is good for one webhook only, and says nothing that its holder couldn't ask for.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import uuid_utils

LONGEST_NAME = 200
"""Bytes of a reference name in UTF-8."""
_LONGEST_TOKEN = 1024
_VERSION = 2
_WORKFLOW_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_MAC = hashlib.sha256().digest_size
_TIME = 5
_ID = 16
_MADE_AT = 6
"""Bytes of a UUIDv7 that are its time."""
_IS_UUID = 0


class NoSuchTask(ValueError):
    """No task can have this address; the text says why."""


class Forged(Exception):
    """The URL is none of this webhook's: made up, damaged, or of another one."""


class Expired(Exception):
    """The URL was made by this webhook's secret, and its time is over."""


@dataclass(frozen=True, slots=True)
class Address:
    """One task of one workflow."""

    workflow_id: str
    reference_name: str
    """In a loop with the number of the iteration, as Conductor writes it: ``approve__2``. Without
    it, any will do."""

    @classmethod
    def of(cls, workflow_id: str, reference_name: str, iteration: int | None = None) -> Address:
        """Raises NoSuchTask."""
        name = reference_name if iteration is None else f"{reference_name}__{iteration}"
        if not _WORKFLOW_ID.fullmatch(workflow_id):
            raise NoSuchTask(f"{workflow_id[:200]!r} is not the id of a workflow")
        if not _is_name(name):
            raise NoSuchTask(
                f"{name[:200]!r} is not the reference name of a task, of at most {LONGEST_NAME}"
                " bytes"
            )
        return cls(workflow_id, name)


def _is_name(name: str) -> bool:
    try:
        # Conductor's URLs have no place for the names of folders.
        return (
            0 < len(name.encode()) <= LONGEST_NAME
            and name.isprintable()
            and name not in (".", "..")
        )
    except UnicodeEncodeError:  # a lone surrogate
        return False


@dataclass(frozen=True, slots=True)
class Claims:
    """What a URL says."""

    address: Address
    expires_at: int | None = None
    """Unix seconds; None if it doesn't expire."""
    made_at: int = 0
    """When the URL was made (Unix milliseconds); 0 if nothing signs it."""


def make_token(webhook: str, secret: str, address: Address, expires_at: int, made_at: int) -> str:
    """A token for this address, made at that time (Unix milliseconds), until that one (Unix
    seconds)."""
    workflow_id = address.workflow_id.encode()
    if _UUID.fullmatch(address.workflow_id):
        id_ = bytes([_IS_UUID]) + uuid.UUID(address.workflow_id).bytes
    else:
        id_ = bytes([len(workflow_id)]) + workflow_id
    url_id = made_at.to_bytes(_MADE_AT, "big") + uuid_utils.uuid7().bytes[_MADE_AT:]
    claims = (
        bytes([_VERSION])
        + expires_at.to_bytes(_TIME, "big")
        + url_id
        + id_
        + address.reference_name.encode()
    )
    return (
        base64.urlsafe_b64encode(claims + _mac(webhook, secret.encode(), claims))
        .rstrip(b"=")
        .decode()
    )


def _mac(webhook: str, secret: bytes, claims: bytes) -> bytes:
    return hmac.digest(
        secret, b"webhook-bridge callback\0" + webhook.encode() + b"\0" + claims, "sha256"
    )


class Tokens:
    """Reads one webhook's tokens."""

    def __init__(self, webhook: str, secrets: Sequence[str]):
        """`secrets`: a token by any of them counts."""
        self._webhook = webhook
        self._secrets = tuple(secret.encode() for secret in secrets)

    def read(self, token: str, now: int) -> Claims:
        """What the token says; `now` is Unix seconds.

        Raises Forged, and Expired only for a token that isn't. However a token is wrong, all of it
        is checked, so the time that it takes tells nothing.
        """
        decoded = _decoded(token)
        claims, mac = decoded[:-_MAC], decoded[-_MAC:]
        # Every secret, whatever the outcome of the first.
        proven = sum(
            hmac.compare_digest(_mac(self._webhook, secret, claims), mac)
            for secret in self._secrets
        )
        if not proven:
            raise Forged
        found = _read_claims(claims)
        if found.expires_at is not None and now >= found.expires_at:
            raise Expired
        return found


def _decoded(token: str) -> bytes:
    """The token's bytes; of a text that is no token, something that no secret signed."""
    nothing = bytes(_MAC)
    if len(token) > _LONGEST_TOKEN or not _TOKEN.fullmatch(token):
        return nothing
    try:
        found = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return nothing
    # Each token has one spelling: unused bits at its end must not make another.
    is_canonical = base64.urlsafe_b64encode(found).rstrip(b"=").decode() == token
    return found if is_canonical and len(found) > _MAC else nothing


def _read_claims(claims: bytes) -> Claims:
    """Raises Forged for claims of another version: signed, but not by this one."""
    try:
        if claims[0] != _VERSION:
            raise Forged
        expires_at, rest = claims[1 : 1 + _TIME], claims[1 + _TIME :]
        made_at, id_ = rest[:_MADE_AT], rest[_ID:]
        length = id_[0]
        if length == _IS_UUID:
            workflow_id, name = str(uuid.UUID(bytes=id_[1:17])), id_[17:]
        else:
            workflow_id, name = id_[1 : 1 + length].decode(), id_[1 + length :]
        address = Address.of(workflow_id, name.decode())
        return Claims(address, int.from_bytes(expires_at, "big"), int.from_bytes(made_at, "big"))
    except (IndexError, ValueError):
        raise Forged from None


def read_ids(path: str) -> Address:
    """The address in a URL that nothing signs: the workflow's id, a slash, the reference name.

    Raises Forged unless the id looks like one that Conductor makes: other texts aren't even looked
    up.
    """
    workflow_id, _, name = path.partition("/")
    workflow_id = workflow_id.lower()
    if not _UUID.fullmatch(workflow_id) or not _is_name(name):
        raise Forged
    return Address(workflow_id, name)

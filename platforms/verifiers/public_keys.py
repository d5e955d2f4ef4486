"""From the text of a secret to the bytes of a key."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

Key = TypeVar("Key")


def base64_key(secret: str) -> bytes:
    """The secret is the key in base64. Raises ValueError for anything else; the text says what it
    should be."""
    try:
        key = base64.b64decode(secret.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it should be base64") from None
    if not key:
        raise ValueError("it should be base64 of a key")
    return key


def hex_key(secret: str) -> bytes:
    """The same for hexadecimal digits."""
    key = decode_hex(secret.strip())
    if not key:
        raise ValueError("it should be hexadecimal digits")
    return key


def usable(secrets: Sequence[str], read: Callable[[str], Key]) -> list[Key]:
    """The keys among the secrets; others were reported when the definitions were read."""
    keys = []
    for secret in secrets:
        try:
            keys.append(read(secret))
        except ValueError:
            continue
    return keys


def decode_base64(text: str | bytes) -> bytes | None:
    """The bytes of standard base64 with padding; None for anything else."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def decode_hex(text: str) -> bytes | None:
    """The bytes of hexadecimal digits; None for anything else."""
    try:
        return binascii.unhexlify(text)
    except (binascii.Error, ValueError):
        return None


def problem_of(read: Callable[[str], object], secret: str) -> str | None:
    """What the secret should be; None if it can be read as a key."""
    try:
        read(secret)
    except ValueError as error:
        return str(error)
    return None

"""What a judge of our verifiers is: a library, or OpenSSL, that signs and verifies independently of us."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

URL = "https://relay.example.com/webhook/judge?tenant=a%20b&x=1"
BODY = '{"id": "evt_1", "text": "hé ✓", "n": 1}'.encode()
FORM = b"Body=Hello+World+%2B+%E2%9C%93+%26+more+&FromCity=&a=2&a=1&A=3&MessageSid=SM1"


@dataclass(frozen=True)
class Signed:
    """A delivery as a judge signed it."""

    headers: dict[str, str]
    body: bytes = BODY
    url: str = URL
    method: str = "POST"


@dataclass(frozen=True)
class Judge:
    """A library that signs and verifies."""

    platform: str
    secret: str
    sign: Callable[[], Signed]
    accepts: Callable[[Signed], bool]
    tolerance: float | None = None
    covers_url: bool = False
    content_type: str = "application/json"


def holds(check: Callable[[], Any]) -> bool:
    """Whether the judge's check passes; judges refuse in many ways."""
    try:
        return check() is not False
    except Exception:
        return False


@cache  # every test of all genuine deliveries asks for the same ones
def openssl_hmac(key: str, message: bytes, algorithm: str = "sha256") -> bytes:
    """The HMAC by OpenSSL's command."""
    command = ["openssl", "dgst", f"-{algorithm}", "-mac", "HMAC", "-macopt", f"hexkey:{key.encode().hex()}", "-binary"]
    return subprocess.run(command, input=message, capture_output=True, check=True).stdout

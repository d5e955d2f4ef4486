"""Webhooks, headers and errors that tests of the receiver share."""

from __future__ import annotations

import hmac
from typing import Any

KEY = "0123456789abcdef-key"
OK = {"X-Api-Key": KEY}
PLAIN = {"name": "plain", "headers": {"X-Api-Key": KEY}}
GITHUB = {"name": "push", "platform": "github", "secret": "github-secret-0123456789"}


def signed(body: bytes, secret: str = "github-secret-0123456789") -> dict[str, str]:
    """GitHub's headers for the body."""
    return {
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()
    }


def error_of(response: Any) -> str:
    """The code of an error, which has a code, a text and nothing else."""
    assert response.mimetype == "application/json"
    body = response.get_json()
    assert set(body) == {"error", "message"}
    assert isinstance(body["message"], str)
    return str(body["error"])

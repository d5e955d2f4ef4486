"""Secrets in the header Authorization."""

from __future__ import annotations

import base64

import pytest

from platforms.http import Request
from platforms.verifiers import Basic, Credentials, Refused


def accepts(secret: str, given: str, scheme: str = "Basic") -> bool:
    header = f"{scheme} {base64.b64encode(given.encode()).decode()}"
    try:
        Basic().check(Credentials((secret,)))(
            Request("POST", "", "", {"authorization": header}, b"{}", None, 0.0)
        )
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    ("secret", "given", "expected"),
    [
        ("pässword", ":pässword", True),
        ("pässword", "anyone:pässword", True),
        ("pässword", "pässword", False),
        ("pässword", "pässword:", False),
        ("pässword", "anyone:pässword:", False),
        ("pässword", ":", False),
        ("robin:pass:word", "robin:pass:word", True),
        ("robin:pass:word", "other:pass:word", False),
        ("robin:password", ":robin:password", False),
        ("robin:password", "password", False),
    ],
)
def test_a_password_alone_counts_for_every_user(secret: str, given: str, expected: bool) -> None:
    assert accepts(secret, given) is expected
    assert not accepts(secret, given, "Bearer")

"""What is this machine's own."""

from __future__ import annotations

import pytest

from config.urls import is_loopback


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.8.9.10", "::1", "[::1]", "localhost", "LOCALHOST.", "::ffff:127.0.0.1"],
)
def test_loopback_is_recognized(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "::",
        "",
        None,
        "192.0.2.1",
        "example.com",
        "localhost.evil.com",
        "127.0.0.1.evil.com",
        "2130706433",
    ],
)
def test_everything_else_is_not_loopback(host: object) -> None:
    assert not is_loopback(host)

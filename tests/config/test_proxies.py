"""BRIDGE_TRUSTED_PROXIES: a number of hops, or networks."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from config.proxies import Proxies, parse_proxies
from config.settings import SettingsError, load_settings


def networks(*texts: str) -> Proxies:
    return Proxies(networks=tuple(map(ip_network, texts)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", Proxies()),
        ("", Proxies()),
        ("2", Proxies(hops=2)),
        (1, Proxies(hops=1)),
        ("127.0.0.1", networks("127.0.0.1/32")),
        ("127.0.0.1, ::1", networks("127.0.0.1/32", "::1/128")),
        ("10.0.0.0/8,fd00::/8,", networks("10.0.0.0/8", "fd00::/8")),
    ],
)
def test_a_number_or_networks(text: object, expected: Proxies) -> None:
    assert parse_proxies(text) == expected
    assert bool(expected) == (expected != Proxies())


@pytest.mark.parametrize("text", ["one", "-1", "1000", "99999999999999", "1,10.0.0.0/8", "10.0.0.1/8", "10.0.0.0/99"])
def test_anything_else_is_an_error_with_its_remedy(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="; write "):
        parse_proxies(text)
    monkeypatch.setenv("BRIDGE_TRUSTED_PROXIES", text)
    with pytest.raises(SettingsError, match=r"BRIDGE_TRUSTED_PROXIES: .*; write"):
        load_settings()

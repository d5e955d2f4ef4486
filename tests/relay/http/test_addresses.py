"""Addresses as sockets and proxies write them."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from relay.http.addresses import read_address, subscriber_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        (" 192.0.2.7:443 ", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("[::ffff:192.0.2.7]:443", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:443", "fe80::1"),
    ],
)
def test_an_address_is_read_however_it_is_written(text: str, expected: str) -> None:
    assert read_address(text) == ip_address(expected)


@pytest.mark.parametrize("text", [None, "", "unknown", "_hidden", "1.2.3", "1.2.3.4, 5.6.7.8", "1" * 100_000, "[", "%"])
def test_what_is_no_address_is_none(text: str | None) -> None:
    assert read_address(text) is None


def test_who_has_a_network_of_ipv6_addresses_is_one() -> None:
    assert subscriber_of(ip_address("2001:db8:1:2:3::4")) == subscriber_of(ip_address("2001:db8:1:2:ffff::"))
    assert subscriber_of(ip_address("2001:db8:1:2::1")) != subscriber_of(ip_address("2001:db8:1:3::1"))
    assert subscriber_of(ip_address("192.0.2.1")) != subscriber_of(ip_address("192.0.2.2"))

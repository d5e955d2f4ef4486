"""X-Forwarded-*: believed from the proxies that are named, and from nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import create_environ, run_wsgi_app

from config.settings import parse_proxies
from relay.http.forwarded import believing
from tests.support.relay import MakeRelay

NETWORKS = "10.0.0.0/8, fd00::/8"


def seen(proxies: str, remote: str | None, **headers: str) -> dict[str, Any]:
    """The environment that the application sees of a request from the address."""
    found: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        found.update(environ)
        start_response("200 OK", [])
        return []

    environ = create_environ("/webhook/one", "http://relay:8000", headers=[*_named(headers)])
    environ["REMOTE_ADDR"] = remote or ""
    run_wsgi_app(believing(application, parse_proxies(proxies)), environ)
    return found


def _named(headers: dict[str, str]) -> list[tuple[str, str]]:
    return [(f"X-Forwarded-{name.capitalize()}", value) for name, value in headers.items()]


@pytest.mark.parametrize(
    ("remote", "chain", "client"),
    [
        ("10.1.1.1", "203.0.113.9", "203.0.113.9"),
        ("fd00::5", "2001:db8::9", "2001:db8::9"),
        ("::ffff:10.1.1.1", "203.0.113.9", "203.0.113.9"),  # a listener on IPv6 sees IPv4 so
        ("", "203.0.113.9", "203.0.113.9"),  # a socket of this machine
        ("10.1.1.1", "192.0.2.1, 203.0.113.9", "203.0.113.9"),  # the client claimed to be 192.0.2.1
        ("10.1.1.1", "192.0.2.1, 203.0.113.9, 10.2.2.2,fd00::7", "203.0.113.9"),  # three proxies
        ("10.1.1.1", "10.3.3.3, 10.2.2.2", "10.3.3.3"),  # a client inside
        ("10.1.1.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.1.1.1", "fe80::1%25eth0", "fe80::1"),
        ("10.1.1.1", "1" * 100_000, ""),
        ("10.1.1.1", "[2001:db8::9]:4711, 10.2.2.2", "2001:db8::9"),
        ("10.1.1.1", "unknown", ""),
        ("10.1.1.1", "192.0.2.1, unknown, 10.2.2.2", ""),
        ("10.1.1.1", '"192.0.2.1, 203.0.113.9', "203.0.113.9"),  # an open quote swallows nothing
        ("10.1.1.1", "192.0.2.1," + "10.0.0.1," * 2000, ""),
        ("203.0.113.9", "192.0.2.1", "203.0.113.9"),  # around the proxies: nothing is believed
        ("2001:db8::1", "192.0.2.1", "2001:db8::1"),
    ],
)
def test_the_client_is_the_last_address_that_is_no_proxys(
    remote: str, chain: str, client: str
) -> None:
    assert seen(NETWORKS, remote, **{"for": chain})["REMOTE_ADDR"] == client


def test_without_a_chain_the_peer_is_the_client() -> None:
    assert seen(NETWORKS, "10.1.1.1")["REMOTE_ADDR"] == "10.1.1.1"


def test_scheme_and_host_are_the_proxies_too() -> None:
    said = {
        "for": "203.0.113.9, 10.2.2.2",
        "proto": "https",
        "host": "evil, hooks.example.com, inner.example.com",
    }
    environ = seen(NETWORKS, "10.1.1.1", **said)
    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == ("https", "hooks.example.com")
    around = seen(NETWORKS, "203.0.113.9", proto="https", host="hooks.example.com", prefix="/x")
    assert (around["wsgi.url_scheme"], around["HTTP_HOST"], around["SCRIPT_NAME"]) == (
        "http",
        "relay:8000",
        "",
    )


def test_a_number_of_hops_is_believed_from_every_peer_as_ever() -> None:
    assert seen("1", "203.0.113.9", **{"for": "192.0.2.1, 192.0.2.2"})["REMOTE_ADDR"] == "192.0.2.2"
    assert seen("2", "203.0.113.9", **{"for": "192.0.2.1, 192.0.2.2"})["REMOTE_ADDR"] == "192.0.2.1"
    assert seen("0", "203.0.113.9", **{"for": "192.0.2.1"})["REMOTE_ADDR"] == "203.0.113.9"


def test_who_reaches_the_relay_around_its_proxy_cannot_choose_an_address(
    make_relay: MakeRelay,
) -> None:
    key = {"X-Api-Key": "0123456789abcdef"}
    webhook = {"name": "plain", "headers": key, "allow_ips": ["192.0.2.0/24", "198.51.100.0/24"]}
    relay = make_relay(webhook, bridge_trusted_proxies=NETWORKS)
    for remote, chain, status in (
        ("10.1.1.1", "192.0.2.7", 200),
        ("10.1.1.1", "198.51.100.1", 200),
        ("10.1.1.1", "[::ffff:192.0.2.7]:99", 200),
        ("10.1.1.1", "203.0.113.9", 403),
        ("10.1.1.1", "unknown", 403),
        ("203.0.113.9", "192.0.2.7", 403),
    ):
        headers = key | {"X-Forwarded-For": chain}
        answer = relay.post("plain", "{}", headers, environ_base={"REMOTE_ADDR": remote})
        assert answer.status_code == status, (remote, chain)

"""What is risky in the settings together with the definitions."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from admin.check.advice import on_proxies
from config.settings import Settings
from config.webhooks import load_definitions
from platforms import PLATFORMS

RESTRICTED = "webhooks: [{name: a, verifier: none, allow_ips: [10.0.0.0/8], receivers: {b: any}}]"


@pytest.mark.parametrize(
    ("public_url", "proxies", "level"),
    [
        (None, 0, None),
        ("http://hooks.example.com", 0, None),
        ("https://hooks.example.com", 0, "warning"),
        ("https://hooks.example.com", 1, "note"),
        ("https://hooks.example.com", "127.0.0.1", None),
        ("https://hooks.example.com", "127.0.0.1,0.0.0.0/0", "warning"),
        (None, "::/0", "warning"),
    ],
)
def test_a_proxy_that_is_not_named_is_noticed(
    public_url: str | None, proxies: object, level: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "webhooks.yaml"
    file.write_text(RESTRICTED)
    definitions = load_definitions(file, PLATFORMS)
    assert definitions.webhooks[0].allow_ips == (ip_network("10.0.0.0/8"),)
    settings = Settings(bridge_public_url=public_url, bridge_trusted_proxies=proxies)  # type: ignore[arg-type]
    found = on_proxies(settings, definitions)
    assert [one.level for one in found] == ([level] if level else [])
    assert all(one.remedy for one in found)


@pytest.mark.parametrize(
    ("public_url", "proxies", "level"),
    [
        (None, 0, "error"),
        ("https://a.example", 0, "error"),
        (None, 1, "warning"),
        (None, "127.0.0.1", None),
        (None, "::/0", "warning"),
    ],
)
def test_a_client_certificate_needs_a_proxy_that_is_named(
    public_url: str | None, proxies: object, level: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "webhooks.yaml"
    file.write_text(
        "webhooks: [{name: a, mtls: {header: X-DN, subject: CN=a}, receivers: {b: any}}]"
    )
    settings = Settings(bridge_public_url=public_url, bridge_trusted_proxies=proxies)  # type: ignore[arg-type]
    found = on_proxies(settings, load_definitions(file, PLATFORMS))
    assert [one.level for one in found] == ([level] if level else [])

"""Settings from the environment."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from config.settings import Proxies, Settings, SettingsError, load_settings, parse_proxies


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine, and an empty working folder."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        # So that what .env sets is taken back after the test.
        monkeypatch.setenv(name.upper(), "kept out")
        monkeypatch.delenv(name.upper())


def test_the_defaults_are_the_documented_ones() -> None:
    settings = load_settings()
    assert settings.bridge_webhooks == Path("config/webhooks.yaml")
    assert settings.bridge_database == "sqlite:///data/bridge.db"
    assert settings.bridge_public_url is None
    assert (settings.bridge_poll_interval, settings.bridge_discovery_interval) == (1, 30)
    assert (settings.bridge_clock_skew, settings.bridge_call_timeout) == (2, 10)
    assert settings.bridge_retention == 30 * 86400
    assert settings.bridge_task_domains == ()
    assert settings.url_of_workflow("a/b") == "http://localhost:8080/api/workflow/a%2Fb"


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "BRIDGE_WEBHOOKS": "hooks",
        "BRIDGE_DATABASE": "sqlite:////var/lib/bridge.db",
        "BRIDGE_PUBLIC_URL": "https://hooks.example.com/",
        "BRIDGE_POLL_INTERVAL": "250ms",
        "BRIDGE_TASK_DOMAINS": "blue, green,",
        "BRIDGE_LEAVE_TO_CONDUCTOR": "order_flow, on_push",
        "BRIDGE_TRUSTED_PROXIES": "2",
        "BRIDGE_LOG_FORMAT": "",
        "CONDUCTOR_SERVER_URL": "https://conductor.example.com/api/",
    }.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.bridge_webhooks == Path("hooks")
    assert settings.bridge_database == "sqlite:////var/lib/bridge.db"
    assert settings.bridge_public_url == "https://hooks.example.com"
    assert settings.bridge_poll_interval == 0.25
    assert settings.bridge_task_domains == ("blue", "green")
    assert settings.bridge_leave_to_conductor == ("order_flow", "on_push")
    assert settings.bridge_trusted_proxies == Proxies(hops=2)
    assert settings.bridge_log_format is None
    assert settings.url_of_workflow("w") == "https://conductor.example.com/api/workflow/w"


def test_the_uis_own_address_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDUCTOR_UI_SERVER_URL", "https://ui.example.com/")
    assert load_settings().url_of_workflow("w") == "https://ui.example.com/execution/w"


def test_dotenv_fills_what_the_environment_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_POLL_INTERVAL", "3s")
    Path(".env").write_text("BRIDGE_POLL_INTERVAL=5s\nBRIDGE_CALL_TIMEOUT=7s\n", encoding="utf-8")
    settings = load_settings()
    assert (settings.bridge_poll_interval, settings.bridge_call_timeout) == (3, 7)


def test_every_wrong_setting_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "BRIDGE_POLL_INTERVAL": "0s",
        "BRIDGE_RETENTION": "{soon}",
        "BRIDGE_DATABASE": "mysql://x",
        "BRIDGE_TRUSTED_PROXIES": "one",
        "BRIDGE_LOG_FORMAT": "xml",
        "BRIDGE_PUBLIC_URL": "hooks.example.com",
        "CONDUCTOR_SERVER_URL": "https://h/api?x=1",
        "BRIDGE_CONDUCTOR_PAYLOAD": "9" * 400 + "MB",
        "BRIDGE_WORKER_METRICS": "public",
        "BRIDGE_CALLS": "257",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    lines = str(caught.value).splitlines()
    assert len(lines) == 10
    for line in lines:
        name, _, rest = line.partition(": ")
        assert name.lower() in Settings.model_fields
        assert "; " in rest


@pytest.mark.parametrize(
    ("value", "said"), [("0", "than or equal to 1; "), ("257", "than or equal to 256; ")]
)
def test_a_number_beyond_its_limit_is_told_that_limit(
    value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_CALLS", value)
    with pytest.raises(SettingsError, match=said):
        load_settings()


def test_secrets_are_in_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_ADMIN_TOKEN", "hidden-0123456789")
    monkeypatch.setenv("CONDUCTOR_AUTH_SECRET", "hidden")
    monkeypatch.setenv("BRIDGE_DATABASE", "postgresql://bridge:hidden@db/bridge")
    monkeypatch.setenv("CONDUCTOR_SERVER_URL", "https://user:hidden@conductor.example.com/api")
    assert "hidden" not in repr(load_settings())


def test_a_workflows_address_is_without_the_users_name_and_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONDUCTOR_SERVER_URL", "https://user:hidden@conductor.example.com:8443/api")
    assert (
        load_settings().url_of_workflow("w") == "https://conductor.example.com:8443/api/workflow/w"
    )


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().bridge_trusted_proxies = Proxies()  # type: ignore[misc]


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


@pytest.mark.parametrize(
    "text", ["one", "-1", "1000", "99999999999999", "1,10.0.0.0/8", "10.0.0.1/8", "10.0.0.0/99"]
)
def test_anything_else_is_an_error_with_its_remedy(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="; write "):
        parse_proxies(text)
    monkeypatch.setenv("BRIDGE_TRUSTED_PROXIES", text)
    with pytest.raises(SettingsError, match=r"BRIDGE_TRUSTED_PROXIES: .*; write"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "remedy"),
    [("::ffff:10.0.0.0/104", "write 10.0.0.0/8"), ("::1, ::ffff:192.0.2.1", "write 192.0.2.1/32")],
)
def test_ipv4_written_as_ipv6_is_an_error_that_says_how_to_write_it(text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=f"; {remedy}$"):
        parse_proxies(text)

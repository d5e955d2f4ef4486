"""Guessed tokens cost their sender time, and sessions end when they should."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from admin.page.access import COOKIE, SESSION_SECONDS, Sessions
from admin.page.app import create_app
from store.delivery_records import WRONG_TOKEN
from tests.attacks.page import page as page
from tests.support.sample import settings_for
from tests.support.webhook_page import ADMIN, VIEWER, Page


@pytest.fixture
def guarded(tmp_path: Path) -> Page:
    return Page(tmp_path, bridge_admin_token=ADMIN, bridge_viewer_token=VIEWER)


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the requests take, no allowance grows meanwhile."""
    monkeypatch.setattr("admin.page.access.time", mock.Mock(monotonic=lambda: 1000.0))


def log_in(page: Page, token: str, address: str = "192.0.2.1") -> int:
    environ = {"REMOTE_ADDR": address}
    return page.client.post("/login", data={"token": token}, environ_overrides=environ).status_code


def test_wrong_tokens_have_their_sender_wait_and_the_right_one_is_let_in(guarded: Page) -> None:
    assert [log_in(guarded, f"wrong {number}") for number in range(7)] == [401] * 5 + [429] * 2
    sent = {"environ_overrides": {"REMOTE_ADDR": "192.0.2.1"}}
    refused = guarded.client.get("/api/events", headers={"Authorization": "Bearer wrong"}, **sent)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1
    right = guarded.client.get("/api/events", headers={"Authorization": f"Bearer {ADMIN}"}, **sent)
    assert right.status_code == 200, "behind a proxy all have the same address"
    assert log_in(guarded, "wrong", "192.0.2.2") == 401


@pytest.mark.parametrize(("addresses", "recorded"), [(1, 5), (200, 100)])
def test_what_wrong_tokens_make_the_bridge_log_and_write_is_bounded(
    addresses: int,
    recorded: int,
    guarded: Page,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number in range(200):
        log_in(guarded, "an old token", f"192.0.2.{number % addresses}")
    store = guarded.client.application.extensions["bridge"].store()
    assert store.queries.delivery_counts(0)[""] == {WRONG_TOKEN: recorded}
    assert capsys.readouterr().out.count("a wrong token") == recorded


def test_who_has_the_viewers_token_is_slowed_down_like_anybody(guarded: Page) -> None:
    statuses = []
    for number in range(6):
        statuses.append(log_in(guarded, f"wrong {number}"))
        if number < 4:
            assert log_in(guarded, VIEWER) == 303
    assert statuses == [401] * 5 + [429]


@pytest.mark.parametrize(
    ("address", "same"),
    [("::1", "::2"), ("2001:db8::1", "2001:db8::ffff:1"), ("::ffff:192.0.2.7", "192.0.2.7")],
)
def test_whoever_can_choose_an_address_waits_at_all_of_them(
    guarded: Page, address: str, same: str
) -> None:
    assert [log_in(guarded, f"wrong-{number}", address) for number in range(5)] == [401] * 5
    assert log_in(guarded, "wrong", same) == 429


def test_logging_out_ends_the_session_wherever_its_cookie_is(guarded: Page) -> None:
    client = guarded.client
    client.post("/login", data={"token": ADMIN})
    cookie = client.get_cookie(COOKIE)
    assert cookie is not None
    elsewhere = create_app(guarded.settings).test_client()
    elsewhere.set_cookie(COOKIE, cookie.value)
    assert elsewhere.get("/api/events").status_code == 200
    assert client.post("/logout").status_code == 303
    assert elsewhere.get("/api/events").status_code == 401
    assert (
        elsewhere.get("/api/events", headers={"X-Authorization": cookie.value}).status_code == 401
    )


def test_a_session_ends_with_its_token(guarded: Page, tmp_path: Path) -> None:
    guarded.client.post("/login", data={"token": ADMIN})
    cookie = guarded.client.get_cookie(COOKIE)
    assert cookie is not None
    for changed in ({"bridge_admin_token": f"another-{ADMIN}"}, {"bridge_admin_token": None}):
        settings = settings_for(
            tmp_path,
            **{"bridge_webhooks": guarded.folder, "bridge_viewer_token": VIEWER, **changed},
        )
        client = create_app(settings).test_client()
        client.set_cookie(COOKIE, cookie.value)
        assert client.get("/api/events").status_code == 401


def test_a_cookie_tells_nothing_of_a_token_without_the_key() -> None:
    """Whoever has a viewer's cookie can't try tokens against it: two stores sign the same
    differently."""
    one, other = (
        Sessions(
            ADMIN, VIEWER, lambda key=key: mock.Mock(key=lambda: key * 32, is_over=lambda _: False)
        )
        for key in (b"a", b"b")
    )
    assert other.role_of(one.new("viewer")) is None
    assert one.role_of(one.new("viewer")) == "viewer"
    assert SESSION_SECONDS <= 12 * 3600


def test_a_session_of_the_api_can_be_ended_as_well(guarded: Page) -> None:
    given = guarded.client.post("/api/token", json={"keyId": "me", "keySecret": ADMIN}).get_json()[
        "token"
    ]
    headers = {"X-Authorization": given}
    assert guarded.client.get("/api/events", headers=headers).status_code == 200
    guarded.client.post("/logout", headers=headers)
    assert guarded.client.get("/api/events", headers=headers).status_code == 401


def test_wrong_tokens_are_counted_and_said(guarded: Page) -> None:
    for number in range(30):
        assert log_in(guarded, "wrong", f"192.0.2.{number}") == 401
    guarded.client.post("/login", data={"token": VIEWER})
    assert "wrong token 30 times" in guarded.client.get("/").text

"""Who may see the page, and which requests may change something."""

from __future__ import annotations

import time
from typing import Any
from unittest import mock

import pytest

from admin.page.access import SESSION_SECONDS, NotAllowed, Sessions, check_local, check_same_site

LOCAL: dict[str, Any] = {
    "SERVER_NAME": "127.0.0.1",
    "REMOTE_ADDR": "127.0.0.1",
    "HTTP_HOST": "localhost:8090",
}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8090", "[::1]:8090"])
def test_a_request_of_this_machine_is_let_in(host: str) -> None:
    check_local({**LOCAL, "HTTP_HOST": host})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"REMOTE_ADDR": "192.0.2.1"}, "another machine"),
        ({"REMOTE_ADDR": ""}, "another machine"),
        ({"SERVER_NAME": "0.0.0.0"}, "not on loopback"),
        ({"HTTP_X_FORWARDED_FOR": "192.0.2.1"}, "through a proxy"),
        ({"HTTP_FORWARDED": "for=192.0.2.1"}, "through a proxy"),
        ({"HTTP_HOST": "rebound.example.com:8090"}, "a name other than localhost"),
        ({"HTTP_HOST": ""}, "a name other than localhost"),
        ({"HTTP_HOST": "["}, "a name other than localhost"),
    ],
)
def test_others_are_refused_with_the_reason_and_a_remedy(
    change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(NotAllowed, match=reason) as caught:
        check_local({**LOCAL, **change})
    assert "BRIDGE_ADMIN_TOKEN" in str(caught.value)


def test_trusted_proxies_need_a_token() -> None:
    with pytest.raises(NotAllowed, match="proxy"):
        check_local(LOCAL, trusted_proxies=True)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost:8090"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_requests_of_our_own_pages_may_change_something(headers: dict[str, str]) -> None:
    check_same_site("POST", headers, "localhost:8090")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_requests_that_another_site_caused_may_not(headers: dict[str, str]) -> None:
    with pytest.raises(NotAllowed):
        check_same_site("POST", headers, "localhost:8090")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(
    ("mode", "destination", "is_link"),
    [
        ("navigate", "document", True),
        ("navigate", "iframe", False),
        ("no-cors", "empty", False),
        ("no-cors", "image", False),
        ("cors", "empty", False),
        (None, None, False),
    ],
)
def test_another_site_may_link_to_a_page_and_load_none(
    site: str, mode: str | None, destination: str | None, is_link: bool
) -> None:
    """How long a search takes says whether it has found something, whoever may read the answer."""
    given = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}
    headers = {name: value for name, value in given.items() if value is not None}
    if is_link:
        check_same_site("GET", headers, "localhost:8090")
    else:
        with pytest.raises(NotAllowed, match="another site"):
            check_same_site("GET", headers, "localhost:8090")


def sessions_of(token: str | None) -> Sessions:
    stored = mock.Mock(key=lambda: b"a key of the store", is_over=lambda _: False)
    return Sessions(token, None, lambda: stored)


def test_only_the_token_is_the_token() -> None:
    sessions = sessions_of("right")
    assert sessions.role_of_token("right")
    assert not any(
        sessions.role_of_token(given) for given in ("wrong", "", None, "right ", "ä\ud800")
    )
    assert not sessions_of(None).role_of_token("")
    assert not sessions_of(None).role_of_token(None)


def test_a_cookie_is_good_for_its_time_and_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = sessions_of("right").new()
    assert sessions_of("right").role_of(cookie)
    assert not sessions_of("other").role_of(cookie)
    without_tokens = sessions_of(None).new()
    assert not sessions_of(None).role_of(without_tokens), (
        "or it would be an admin's once there is a viewer's token"
    )
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + SESSION_SECONDS + 1)
    assert not sessions_of("right").role_of(cookie)


@pytest.mark.parametrize(
    "change",
    [lambda c: c[:-1], lambda c: "9" + c, lambda c: "", lambda c: "a.b.c", lambda c: "é" + c],
)
def test_a_cookie_that_was_changed_is_none(change: Any) -> None:
    sessions = sessions_of("right")
    assert not sessions.role_of(change(sessions.new()))

"""URLs that name one task each: who may call them, what they are answered, and what is stored."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timezone
from typing import Any

import pytest

from config.webhooks import Webhook
from platforms import PLATFORMS
from platforms.http import Request
from platforms.verifiers import Refused
from relay.callbacks.tokens import Address, make_token
from relay.callbacks.urls import ACCEPT_BY_ID, Call
from relay.limits.admission import PAGES
from relay.verify.verification import Verification
from store.errors import StoreUnavailable
from store.one_target import callback_to
from tests.support.clock import Clock as StandingClock
from tests.support.relay import NOW, Clock, MakeRelay, Relay

SECRET, OLD = "a-secret-of-24-characters", "an-older-secret-of-24-letters"
APPROVALS: dict[str, Any] = {
    "name": "approvals",
    "callback": {"secret": SECRET, "expires": "7d", "query": ["decision", "x", "y"]},
    "receivers": {"order_flow": "any"},
}
BY_ID = {"name": "open", "callback": {"by": "id"}, "receivers": {"order_flow": "any"}}
ID = "7d0c3a30-1111-4222-8333-444444444444"
BROWSER = {
    "Accept": "text/html,application/xhtml+xml",
    "Content-Type": "application/x-www-form-urlencoded",
}


def token(
    name: str = "approve",
    workflow_id: str = ID,
    secret: str = SECRET,
    webhook: str = "approvals",
    lasts: int = 60,
    age: float = 1,
) -> str:
    """Made `age` seconds ago."""
    return make_token(
        webhook, secret, Address.of(workflow_id, name), int(NOW) + lasts, int((NOW - age) * 1000)
    )


def answer(response: Any) -> tuple[int, bytes, dict[str, str]]:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return response.status_code, response.data, headers


def test_a_body_becomes_an_event_for_the_task_that_the_url_names(
    make_relay: MakeRelay, clock: Clock
) -> None:
    relay = make_relay(APPROVALS)
    response = relay.post(f"approvals/{token()}", '{"ok": true}')
    event = relay.event()
    assert (response.status_code, response.get_json()) == (200, {"eventId": event.id})
    assert event.only == callback_to(ID, "approve", int(NOW - 1) * 1000)
    assert json.loads(event.payload) == {"ok": True}
    assert event.hold_until == int(NOW + 60) * 1000, "no longer than its URL"
    assert relay.verified() == {"approvals"}
    origins = relay.store.acknowledgements.origins(event.id)
    assert origins is not None
    assert origins.proof == "the token in its URL"


@pytest.mark.parametrize(
    ("body", "content_type", "query", "payload"),
    [
        ("", None, "", {}),
        ("", None, "decision=yes", {"decision": "yes"}),
        ("", "application/x-www-form-urlencoded", "decision=yes", {"decision": "yes"}),
        ("", "application/json", "", {}),
        ("[1]", "application/json", "", {"request": [1]}),
    ],
)
def test_bodies_are_read_as_elsewhere_and_none_is_an_empty_object(
    make_relay: MakeRelay,
    clock: Clock,
    body: str,
    content_type: str | None,
    query: str,
    payload: Any,
) -> None:
    relay = make_relay(APPROVALS)
    headers = {"Content-Type": content_type} if content_type else {}
    sent = relay.client.post(
        f"/api/webhook/approvals/{token()}", data=body, headers=headers, query_string=query
    )
    assert sent.status_code == 200
    assert relay.payloads() == [payload]


def test_a_url_is_used_once_and_each_task_has_its_own(make_relay: MakeRelay, clock: Clock) -> None:
    relay = make_relay(APPROVALS)
    assert relay.post(f"approvals/{token()}").status_code == 200
    for again in (token(), token(lasts=100)):
        used = relay.post(f"approvals/{again}")
        assert (used.status_code, used.get_json()["error"]) == (410, "used")
    assert relay.post(f"approvals/{token('approve__2')}").status_code == 200
    assert len(relay.events()) == 2


def test_a_use_ends_the_urls_made_before_it_and_no_later_one(
    make_relay: MakeRelay, clock: Clock
) -> None:
    """Of *approve* and *reject* the first counts; a task that waits anew has URLs that were made
    since."""
    relay = make_relay(APPROVALS)

    def use(made: float) -> int:
        return int(relay.post(f"approvals/{token(age=-made, lasts=1000)}").status_code)

    assert [use(-10), use(-20), use(-5)] == [200, 410, 410]
    for again in range(1, 6):
        clock.now = NOW + 100 * again
        assert [use(100 * again - 50), use(100 * again - 60), use(-5)] == [200, 410, 410]
        page = relay.client.get(
            f"/webhook/approvals/{token(age=50 - 100 * again, lasts=1000)}", headers=BROWSER
        )
        assert (
            f"This URL was used on {datetime.fromtimestamp(clock.now, timezone.utc):%Y-%m-%d at %H:%M}"
            in page.text
        )
    assert len({event.delivery_id for event in relay.events()}) == 6


def test_an_expired_url_is_gone_and_the_store_keeps_why(
    make_relay: MakeRelay, clock: Clock
) -> None:
    relay = make_relay(APPROVALS)
    for method in ("GET", "POST"):
        gone = relay.client.open(f"/webhook/approvals/{token(lasts=0)}", method=method)
        assert (gone.status_code, gone.get_json()["error"]) == (410, "expired")
    assert {(one.status, one.reason) for one in relay.rejections()} == {
        (410, "its URL has expired")
    }
    assert relay.events() == []


def test_the_first_secret_signs_and_every_one_is_accepted(
    make_relay: MakeRelay, clock: Clock
) -> None:
    relay = make_relay(APPROVALS | {"callback": {"secret": [SECRET, OLD]}})
    assert relay.post(f"approvals/{token(secret=OLD)}").status_code == 200
    assert relay.post(f"approvals/{token('other')}").status_code == 200
    relay = make_relay(APPROVALS)
    assert relay.post(f"approvals/{token(secret=OLD)}").status_code == 404


def forged(good: str) -> dict[str, str]:
    raw = base64.urlsafe_b64decode(good + "=" * (-len(good) % 4))
    flipped = {
        f"bit {bit} of byte {place}": base64.urlsafe_b64encode(
            raw[:place] + bytes([raw[place] ^ (1 << bit)]) + raw[place + 1 :]
        )
        .decode()
        .rstrip("=")
        for place in range(len(raw))
        for bit in (0, 7)
    }
    return flipped | {
        "truncated": good[:-1],
        "shorter": good[: len(good) // 2],
        "longer": good + "A",
        "padded": good + "=",
        "other spelling": good[:-1] + chr(ord(good[-1]) + 1),
        "another webhook's": token(webhook="others"),
        "another secret's": token(secret=OLD),
        "nothing": "",
        "a slash behind": good + "/",
        "twice": f"{good}/{good}",
        "dots": "../approvals",
        "a NUL": good + "%00",
        "not ASCII": good + "é",
        "very long": "A" * 7000,
        "only a signature": base64.urlsafe_b64encode(raw[-32:]).decode().rstrip("="),
        "by id": f"{ID}/approve",
    }


def test_what_is_forged_is_answered_as_what_is_unknown(make_relay: MakeRelay, clock: Clock) -> None:
    relay = make_relay(APPROVALS, APPROVALS | {"name": "others"})
    unknown = answer(relay.client.post(f"/webhook/nothing/{token()}"))
    assert unknown[0] == 404
    for what, path in forged(token()).items():
        for method in ("GET", "POST", "PUT"):
            given = relay.client.open(f"/webhook/approvals/{path}", method=method, data=b"{}")
            assert answer(given) == unknown, (what, method)
    assert relay.events() == []
    assert answer(relay.client.post("/webhook/approvals")) == unknown
    assert {one.status for one in relay.rejections()} == {404}


def test_following_a_link_shows_a_page_and_does_nothing(
    make_relay: MakeRelay, clock: Clock
) -> None:
    names = ["decision", "x", "y", *(f"a{number}" for number in range(13))]
    relay = make_relay(APPROVALS | {"callback": {"secret": SECRET, "query": names}})
    page = relay.client.get(
        f"/webhook/approvals/{token()}?decision=yes&x=<b>&y=" + "z" * 500, headers=BROWSER
    )
    text = page.get_data(as_text=True)
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert "<form method=post><button>" in text
    assert "<script" not in text
    assert "<dt>decision</dt><dd>yes</dd>" in text
    assert "&lt;b&gt;" in text
    assert "z" * 201 not in text
    assert token() not in text
    many = relay.client.get(
        f"/webhook/approvals/{token()}?" + "&".join(f"a{number}=1" for number in range(13))
    )
    assert b"and 3 more" in many.data, "what isn't shown is confirmed, too"
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "form-action 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    head = relay.client.head(f"/webhook/approvals/{token()}")
    assert (head.status_code, head.data) == (200, b"")
    assert relay.events() == []
    assert relay.rejections() == []


def test_a_link_that_was_used_says_so_and_when(make_relay: MakeRelay, clock: Clock) -> None:
    relay = make_relay(APPROVALS)
    url = f"/webhook/approvals/{token()}"
    assert b"<button" in relay.client.get(url, headers=BROWSER).data
    done = relay.client.post(url, headers=BROWSER)
    assert (done.status_code, done.mimetype, "Received" in done.text) == (200, "text/html", True)
    assert (done.headers["Referrer-Policy"], done.headers["Cache-Control"]) == (
        "no-referrer",
        "no-store",
    )
    arrived = datetime.fromtimestamp(relay.event().received_at / 1000, timezone.utc)
    for path in (url, f"/webhook/approvals/{token(lasts=90)}"):
        page = relay.client.get(path, headers=BROWSER)
        assert (page.status_code, page.mimetype) == (410, "text/html")
        assert "<h1>This link has been used</h1>" in page.text
        assert (
            f"<p>This URL was used on {arrived:%Y-%m-%d at %H:%M} UTC; it works only once"
            in page.text
        )
        assert "<button" not in page.text
        assert page.headers["Cache-Control"] == "no-store"
    program = relay.client.get(url)
    assert (program.status_code, program.get_json()["error"]) == (410, "used")
    for forged in (token(secret=OLD), token(webhook="others"), ID):
        assert relay.client.get(f"/webhook/approvals/{forged}", headers=BROWSER).status_code == 404
    late = relay.client.get(f"/webhook/approvals/{token(lasts=0)}", headers=BROWSER)
    assert "This link has expired" in late.text
    assert (
        "<button" in relay.client.get(f"/webhook/approvals/{token('other')}", headers=BROWSER).text
    )
    assert len(relay.events()) == 1


def test_a_link_of_an_unavailable_store_still_shows_its_button(
    make_relay: MakeRelay, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = make_relay(APPROVALS)
    assert relay.client.post(f"/webhook/approvals/{token()}").status_code == 200

    def unavailable(*_: Any) -> None:
        raise StoreUnavailable("it is away")

    monkeypatch.setattr(relay.store.deliveries, "known", unavailable)
    assert b"<button" in relay.client.get(f"/webhook/approvals/{token()}", headers=BROWSER).data
    again = relay.client.post(f"/webhook/approvals/{token()}", headers=BROWSER)
    assert (again.status_code, "send it again" in again.text) == (503, True)


def test_people_are_told_that_nothing_was_done_with_what_only_leaves_out(
    make_relay: MakeRelay, clock: Clock
) -> None:
    relay = make_relay(APPROVALS | {"only": {"$.decision": {"$in": ["yes", "no"]}}})
    url = f"/webhook/approvals/{token()}"
    page = relay.client.post(f"{url}?decision=maybe", headers=BROWSER)
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert "<h1>Nothing was done</h1>" in page.text
    assert "Received" not in page.text
    assert relay.client.post(f"{url}?decision=maybe").get_json() == {"filtered": True}
    assert "Received" in relay.client.post(f"{url}?decision=yes", headers=BROWSER).text
    assert relay.payloads() == [{"decision": "yes"}]


def test_only_the_parameters_that_are_named_are_shown_and_stored(
    make_relay: MakeRelay, clock: Clock
) -> None:
    relay = make_relay(APPROVALS | {"callback": {"secret": SECRET, "query": ["decision", "für"]}})
    query = "utm_source=mail&%64ecision=yes&decision%00=no&Decision=no&f%C3%BCr=mich&a=%00&=x&&decision;=no"
    url = f"/webhook/approvals/{token()}?{query}"
    page = relay.client.get(url, headers=BROWSER)
    assert "<dl><dt>decision</dt><dd>yes</dd><dt>für</dt><dd>mich</dd></dl>" in page.text
    assert relay.client.post(url, headers=BROWSER).status_code == 200
    assert relay.payloads() == [{"decision": "yes", "für": "mich"}]
    assert relay.event().query == {"decision": "yes", "für": "mich"}


def test_what_nobody_sees_is_spelled_out_on_the_page(make_relay: MakeRelay, clock: Clock) -> None:
    relay = make_relay(APPROVALS)
    page = relay.client.get(
        f"/webhook/approvals/{token()}?decision=%E2%80%AEdetcejer%0A%E2%80%8B", headers=BROWSER
    )
    assert "<dd>\\u202edetcejer\\u000a\\u200b</dd>" in page.text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused_and_use_nothing(
    make_relay: MakeRelay, clock: Clock, method: str
) -> None:
    relay = make_relay(APPROVALS)
    response = relay.client.open(f"/webhook/approvals/{token()}", method=method)
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD, POST")
    assert relay.post(f"approvals/{token()}").status_code == 200


def test_what_is_malformed_uses_nothing(make_relay: MakeRelay, clock: Clock) -> None:
    relay = make_relay(APPROVALS | {"only": {"$.ok": {"$exists": True}}})
    assert relay.post(f"approvals/{token()}", "{").status_code == 400
    assert relay.post(f"approvals/{token()}", "{}").get_json() == {"filtered": True}
    assert relay.post(f"approvals/{token()}", '{"ok": 1}').status_code == 200


def test_the_url_is_stored_nowhere(make_relay: MakeRelay, clock: Clock) -> None:
    relay = make_relay(APPROVALS)
    headers = {
        "Referer": f"https://example.com/webhook/approvals/{token()}",
        "X-Original-Uri": f"/webhook/approvals/{token()}",
        "X-Forwarded-Uri": f"/webhook/approvals/%{ord(token()[0]):02x}{token()[1:]}",
        "X-Kept": "yes",
    }
    assert relay.post(f"approvals/{token()}", "{}", headers).status_code == 200
    relay.post(f"approvals/{token()}", "{}", headers)
    relay.post(f"approvals/{token('late', lasts=-1)}", "{}", headers)
    event = relay.event()
    assert event.headers["x-kept"] == "yes"
    everything = [repr(event), *map(repr, relay.rejections())]
    everything += [
        str(row) for row in relay.store._connections.read("SELECT * FROM without_events")
    ]
    for text in everything:
        assert token()[1:] not in text
        assert token("late", lasts=-1) not in text


def test_with_by_id_the_workflow_makes_its_own_urls(make_relay: MakeRelay, clock: Clock) -> None:
    relay = make_relay(BY_ID)
    assert relay.post(f"open/{ID.upper()}/approve%20it__2", "{}").status_code == 200
    assert relay.event().only == callback_to(ID, "approve it__2")
    assert relay.post(f"open/{ID}/approve it__2", "{}").status_code == 410
    page = relay.client.get(f"/webhook/open/{ID}/other?say=anything")
    assert page.status_code == 200
    assert b"anything" not in page.data, "anyone can make such a link"
    assert relay.post(f"open/{ID}/other", "", query_string="say=anything").status_code == 200
    assert relay.payloads()[-1] == {}
    assert relay.post(f"open/{ID}/%D0%B4%D0%B0", "{}").status_code == 200
    assert relay.events()[-1].only == callback_to(ID, "да")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "x",
        ID,
        f"{ID}/",
        f"{ID[:-1]}/a",
        f"../{ID}/a",
        f"{ID}/%00",
        f"{ID}/..",
        f"{ID}/" + "a" * 201,
    ],
)
def test_what_no_workflow_can_have_made_is_unknown(
    make_relay: MakeRelay, clock: Clock, path: str
) -> None:
    relay = make_relay(BY_ID)
    assert relay.post(f"open/{path}", "{}").status_code == 404
    assert relay.events() == []


def test_only_the_tasks_that_are_named_may_be_completed(
    make_relay: MakeRelay, clock: Clock
) -> None:
    relay = make_relay(
        BY_ID | {"callback": {"by": "id", "tasks": ["approve"]}},
        APPROVALS | {"callback": {"secret": SECRET, "tasks": ["approve"]}},
    )
    assert relay.post(f"open/{ID}/pay", "{}").status_code == 404
    assert relay.post(f"approvals/{token('pay')}", "{}").status_code == 404
    assert relay.post(f"open/{ID}/approve__3", "{}").status_code == 200
    assert relay.post(f"approvals/{token('approve')}", "{}").status_code == 200


def test_made_up_ids_are_bounded_whoever_sends_them(make_relay: MakeRelay, clock: Clock) -> None:
    relay = make_relay(BY_ID, APPROVALS, clock=StandingClock(1000.0))
    statuses: list[int] = []
    while len(statuses) < 5 * ACCEPT_BY_ID.most_at_once and 429 not in statuses:
        statuses.append(relay.post(f"open/{ID}/task{len(statuses)}", "{}").status_code)
    assert statuses[-1] == 429
    assert relay.post(f"approvals/{token()}", "{}").status_code == 200


def address(relay: Relay, number: int, ip: str) -> int:
    path = f"/webhook/open/{ID}/task{number}"
    return relay.client.post(path, environ_overrides={"REMOTE_ADDR": ip}).status_code


def test_one_address_that_guesses_ids_is_slowed_down_and_others_are_not(
    make_relay: MakeRelay, clock: Clock
) -> None:
    generous = {"accept": {"rate": "1000/s", "burst": 10_000}}
    relay = make_relay(BY_ID | generous, clock=StandingClock(1000.0))
    statuses = [address(relay, number, "203.0.114.7") for number in range(130)]
    assert 429 in statuses
    assert address(relay, 999, "198.20.100.8") == 200


def test_a_webhook_with_callback_has_no_other_url_and_nothing_else_proves_a_call() -> None:
    webhook = Webhook.model_validate(APPROVALS)
    verification = Verification(webhook, PLATFORMS["custom"])
    with pytest.raises(Refused):
        verification.verify(
            Request("POST", "https://x/webhook/approvals", "", {}, b"{}", None, NOW)
        )
    assert not verification.needs_challenge
    with pytest.raises(TypeError):
        Call(Address(ID, "a"), None, "", object())


def test_an_address_sees_only_so_many_pages_a_second_and_others_still_do(
    make_relay: MakeRelay, clock: Clock
) -> None:
    relay = make_relay(APPROVALS, clock=StandingClock(1000.0))
    path = f"/webhook/approvals/{token()}"

    def look(ip: str) -> Any:
        return relay.client.get(path, headers=BROWSER, environ_overrides={"REMOTE_ADDR": ip})

    assert {look("203.0.114.9").status_code for _ in range(PAGES.burst)} == {200}
    limited = look("203.0.114.9")
    assert limited.status_code == 429
    assert (limited.headers["Retry-After"], limited.content_type) == (
        "1",
        "text/html; charset=utf-8",
    )
    assert look("198.51.99.7").status_code == 200
    used = relay.client.post(path, environ_overrides={"REMOTE_ADDR": "203.0.114.9"})
    assert used.status_code == 200, "only looking is limited"

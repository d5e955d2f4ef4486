"""Callback URLs: what nobody signed changes neither what people see nor what a task gets, but for
what is named."""

from __future__ import annotations

from typing import Any

import pytest

from tests.relay.callbacks.test_urls import APPROVALS, BROWSER, ID, SECRET, token
from tests.support.relay import Clock, MakeRelay

QUERIES = (
    "decision=approved",
    "decision%00=approved",
    "_webhook=x&_webhook.eventId=y",
    "a=%00",
    "&".join(f"a{number}=1" for number in range(2000)),
)


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_a_query_that_somebody_adds_to_a_link_changes_nothing(
    make_relay: MakeRelay, clock: Clock, query: str
) -> None:
    """A mail's tracker, or whoever passes the link on, may have added it; the token covers none of
    it."""
    relay = make_relay(APPROVALS | {"callback": {"secret": SECRET}})
    url = f"/webhook/approvals/{token()}"
    without = relay.client.get(url, headers=BROWSER)
    assert relay.client.get(f"{url}?{query}", headers=BROWSER).data == without.data
    assert relay.client.post(f"{url}?{query}", headers=BROWSER).status_code == 200
    assert (relay.payloads(), relay.event().query) == ([{}], {})


def test_a_named_parameter_is_shown_before_it_counts(make_relay: MakeRelay, clock: Clock) -> None:
    """Whatever becomes part of the output from the link is on the page with the button, in words
    that can't deceive."""
    relay = make_relay(APPROVALS | {"callback": {"secret": SECRET, "query": ["decision"]}})
    query = "decision=rejected%E2%80%AE&note=%3Cscript%3E&decision=approved"
    page = relay.client.get(f"/webhook/approvals/{token()}?{query}", headers=BROWSER)
    assert (
        relay.client.post(f"/webhook/approvals/{token()}?{query}", headers=BROWSER).status_code
        == 200
    )
    [payload] = relay.payloads()
    assert payload == {"decision": ["rejected\u202e", "approved"]}
    assert "rejected\\u202e" in page.text
    assert "approved" in page.text
    assert "script" not in page.text


def test_who_has_no_token_learns_nothing_of_a_url_that_was_used(
    make_relay: MakeRelay, clock: Clock
) -> None:
    relay = make_relay(APPROVALS)
    good = token()
    strangers = [
        good[:-1],
        good + "A",
        token(secret="another-secret-of-24-letters"),
        token(webhook="others"),
        ID,
    ]

    def seen() -> list[tuple[Any, ...]]:
        answers = [
            relay.client.open(f"/webhook/approvals/{path}", method=method, headers=BROWSER)
            for path in strangers
            for method in ("GET", "HEAD", "POST")
        ]
        return [(one.status_code, one.data, sorted(one.headers.items())) for one in answers]

    before = seen()
    assert relay.client.post(f"/webhook/approvals/{good}", headers=BROWSER).status_code == 200
    assert seen() == before
    assert {status for status, *_ in before} == {404}

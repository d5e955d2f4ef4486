"""What the relay does beside answering, and what it writes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from config.settings import Settings
from relay import create_app, metrics
from relay.definitions import GONE
from relay.reports.outcomes import KEPT, Outcomes
from store.delivery_records import WithoutEvent
from store.errors import StoreUnavailable
from tests.support.clock import Clock
from tests.support.relay import MakeRelay

PLAIN = {"name": "plain", "headers": {"X-Api-Key": "0123456789abcdef"}}


def rejection(webhook: str = "plain", reason: str = "r") -> WithoutEvent:
    return WithoutEvent(webhook, 1, 401, reason)


def test_what_cannot_be_written_is_written_later_and_counted_once(
    make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = make_relay({**PLAIN, "name": "twice"})
    store, outcomes = relay.store, Outcomes(relay.store.without_events, relay.background.keeper)
    outcomes.reject(rejection("twice", "first"))
    outcomes.count("twice", "accepted", 200, 3)

    def fails(*_: object) -> None:
        raise StoreUnavailable("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(store.without_events, "record", fails)
        outcomes.flush()
        outcomes.reject(rejection("twice", "second"))
        outcomes.flush()
    outcomes.flush()
    outcomes.flush()
    assert [one.reason for one in store.without_events.rejections()] == ["second", "first"]
    assert store.queries.delivery_counts(0)["twice"] == {"accepted": 3, "rejected": 2}
    exposed = metrics.exposition()
    assert b'bridge_deliveries_total{code="200",outcome="accepted",webhook="twice"} 3.0' in exposed
    assert b'bridge_events_committed_total{webhook="twice"} 3.0' in exposed


def test_the_last_counts_are_written_at_the_end(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN)
    relay.background.start()
    relay.post("plain", "{}")
    relay.background.stop()
    assert relay.store.queries.delivery_counts(0)["plain"] == {"rejected": 1}


def test_metrics_name_no_webhook_that_does_not_exist(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN)
    for number in range(50):
        relay.post(f"unknown-{number}", "{}")
    relay.post("plain", "{}")
    relay.background.outcomes.flush()
    text = metrics.exposition()
    assert b"unknown-" not in text
    assert b'bridge_deliveries_total{code="404",outcome="unknown",webhook=""}' in text
    assert b'bridge_deliveries_total{code="401",outcome="rejected",webhook="plain"}' in text


def test_a_mistyped_url_is_found_among_the_rejections_without_what_follows_the_id(
    make_relay: MakeRelay,
) -> None:
    relay = make_relay(PLAIN)
    for number in range(200):
        relay.post(f"plian/{number}", "{}")
    relay.background.outcomes.flush()
    found = relay.store.without_events.rejections()
    assert {(one.webhook, one.status, one.reason) for one in found} == {
        ("", 404, "no webhook has the URL /webhook/plian")
    }
    assert len(found) == KEPT
    assert relay.store.queries.delivery_counts(0)[""] == {"unknown": 200}


def test_metrics_are_on_the_public_port_only_if_asked_for(
    make_relay: MakeRelay, tmp_path: Path
) -> None:
    relay = make_relay(PLAIN)
    assert relay.client.get("/metrics").status_code == 404
    settings = Settings(
        bridge_webhooks=relay.file, bridge_database=relay.url, bridge_relay_metrics="public"
    )
    response = create_app(settings, store=relay.store).test_client().get("/metrics")
    assert response.status_code == 200
    assert b"bridge_deliveries_total" in response.data


KEY = {"X-Api-Key": "0123456789abcdef"}


def test_a_relay_that_begins_while_the_file_is_broken_takes_what_was_kept_and_says_so(
    make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("API_KEY", KEY["X-Api-Key"])
    relay = make_relay(PLAIN)
    relay.file.write_text(
        "webhooks:\n"
        "- {name: kept, headers: {X-Api-Key: '${API_KEY}'}, receivers: {w: any}}\n"
        "- {name: inline, headers: {X-Api-Key: '0123456789abcdef'}, receivers: {w: any}}\n"
    )
    relay.background.start()
    relay.background.reload_now()
    relay.background.stop()
    assert "0123456789abcdef" not in str(relay.store.kept_definitions.all())
    relay.file.write_text("webhooks: [")
    # As a process of gunicorn's, whose parent reads with connections of its own.
    for store in (
        relay.store,
        None,
    ):
        app = create_app(relay.settings, store=store)
        client = app.test_client()
        assert client.post("/webhook/kept", json={}, headers=KEY).status_code == 200
        assert client.post("/webhook/kept", json={}).status_code == 401
        answer = client.post("/webhook/inline", json={}, headers=KEY)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
        assert client.post("/webhook/other", json={}, headers=KEY).status_code == 404
    background = app.extensions["relay"]
    background.start()
    try:
        background.reload_now()
        said = relay.store.reports.read().relay_definitions_error
        assert "webhooks.yaml:1: YAML" in said
        assert "/webhook/inline: its last good definition can't be used" in said
        assert b'bridge_definitions_ok{process="relay"} 0.0' in metrics.exposition()
        relay.define([PLAIN])
        background.reload_now()
        assert client.post("/webhook/plain", json={}, headers=KEY).status_code == 200
        assert list(relay.store.kept_definitions.all()) == ["webhooks.yaml"]
        assert not relay.store.reports.read().relay_definitions_error
    finally:
        background.stop()


def test_a_webhook_that_goes_is_answered_503_for_a_minute_and_said(make_relay: MakeRelay) -> None:
    clock = Clock(1000.0)
    relay = make_relay(PLAIN, PLAIN | {"name": "other", "id": "o-1"}, clock=clock)
    with structlog.testing.capture_logs() as logs:
        relay.background.start()
        try:
            relay.define([PLAIN])
            relay.background.reload_now()
        finally:
            relay.background.stop()
    [said] = [line for line in logs if line["event"] == GONE]
    assert said["urls"] == ["/webhook/o-1"]

    def answers() -> list[int]:
        return [relay.post(name, "{}", KEY).status_code for name in ("plain", "o-1", "other")]

    assert answers() == [200, 503, 404]
    clock.seconds += 59
    relay.define([PLAIN | {"hold": "1m"}])
    relay.background.reload_now()
    assert answers() == [200, 503, 404], "another reload makes it no longer"
    clock.seconds += 2
    assert answers() == [200, 404, 404]
    relay.define([PLAIN, PLAIN | {"name": "other", "id": "o-1"}])
    relay.background.reload_now()
    assert answers() == [200, 200, 404]

"""The stream of deliveries: who gets what, how many may watch, and how it goes on after a break."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any
from unittest import mock

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from werkzeug.test import TestResponse

from admin.page import live
from admin.page.app import create_app
from admin.page.live import Feed, TooManyStreams
from store.delivery_records import WithoutEvent
from store.errors import StoreUnavailable
from store.records import Decision, NewEvent, Term, new_event_id
from tests.admin.sample import Sample

ADMIN, VIEWER = "the-token-of-admins", "the-token-of-viewers"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "EVERY", 0.02)


@pytest.fixture
def app(sample: Sample) -> Iterator[Flask]:
    app = create_app(sample.settings)
    yield app
    app.extensions["feed"].stopping.set()


def arrive(sample: Sample, webhook: str = "slack", delivery_id: str | None = None) -> str:
    now = sample.store.now()
    event = NewEvent(new_event_id(), webhook, now, '{"card": "4111 1111"}', {}, {}, now, delivery_id)
    sample.store.deliveries.append([event])
    return event.id


class Reading:
    """The events of a stream, as a browser would read them."""

    def __init__(self, response: TestResponse):
        assert response.status_code == 200, response.status
        self._parts = iter(response.response)
        self._text = ""

    def until(self, name: str) -> Any:
        """The data of the next event of this name."""
        while True:
            while "\n\n" not in self._text:
                piece = next(self._parts)
                self._text += piece.decode() if isinstance(piece, bytes) else piece
            event, _, self._text = self._text.partition("\n\n")
            fields = dict(line.split(": ", 1) for line in event.splitlines() if ": " in line)
            if fields.get("event") == name:
                return json.loads(fields["data"])


def watch(stack: ExitStack, client: FlaskClient, **options: Any) -> Reading:
    return Reading(stack.enter_context(closing(client.get(live.STREAM, **options))))


def test_the_page_shows_the_newest_deliveries_without_a_script(client: FlaskClient, sample: Sample) -> None:
    event_id = arrive(sample)
    page = client.get("/deliveries")
    assert event_id in page.text
    assert "the header X-Api-Key is wrong &lt;script&gt;" in page.text
    assert ">Reload</a>" in page.text
    assert event_id not in client.get("/deliveries?webhook=orders").text


def test_only_pages_without_payloads_may_run_scripts_and_only_our_own(client: FlaskClient) -> None:
    policy = client.get("/deliveries").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert policy.endswith("; script-src 'self'; connect-src 'self'")
    assert "script" not in client.get("/events").headers["Content-Security-Policy"]
    assert "script" not in client.get("/").headers["Content-Security-Policy"]
    assert client.get("/webhooks/orders").headers["Content-Security-Policy"].endswith("; script-src 'self'")


def test_a_stream_begins_with_the_newest_and_goes_on_with_what_comes(app: Flask, sample: Sample) -> None:
    with ExitStack() as stack:
        reading = watch(stack, app.test_client())
        snapshot = reading.until("deliveries")
        assert {one["key"] for one in snapshot} >= set(sample.events.values())
        event_id = arrive(sample)
        [row] = reading.until("deliveries")
        assert row["key"] == event_id
        assert f'href="/events/{event_id}"' in row["row"]
        sample.store.without_events.record(
            [WithoutEvent("orders", sample.store.now(), 401, "<script>alert(1)</script>")], {}
        )
        [row] = reading.until("deliveries")
        assert "&lt;script&gt;" in row["row"]
        assert "<script>" not in row["row"]


def test_a_stream_of_one_webhook_has_no_others(app: Flask, sample: Sample) -> None:
    with ExitStack() as stack:
        reading = watch(stack, app.test_client(), query_string={"webhook": "slack"})
        assert {one["key"] for one in reading.until("deliveries")} == {sample.events["hostile"], "2"}
        arrive(sample, "orders")
        event_id = arrive(sample)
        assert [one["key"] for one in reading.until("deliveries")] == [event_id]


def test_a_status_that_changes_is_told(app: Flask, sample: Sample) -> None:
    event_id = arrive(sample)
    with ExitStack() as stack:
        reading = watch(stack, app.test_client())
        reading.until("deliveries")
        decision = Decision(event_id, "expired", "no")
        sample.store.decisions.decide(Term("sample"), [decision], [], sample.store.now(), 0)
        [row] = reading.until("deliveries")
        assert row["key"] == event_id
        assert "expired" in row["row"]


def test_a_stream_ends_and_proxies_pass_it_on_at_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_LASTS", 0.0)
    answer = app.test_client().get(live.STREAM)
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.mimetype == "text/event-stream"
    assert "event: deliveries" in answer.text, "it comes to its end"


def test_viewers_may_watch_and_strangers_not(sample: Sample) -> None:
    settings = sample.settings.model_copy(update={})
    app = create_app(
        type(settings).model_validate(
            settings.model_dump(exclude_unset=True) | {"bridge_admin_token": ADMIN, "bridge_viewer_token": VIEWER}
        )
    )
    assert app.test_client().get(live.STREAM).status_code == 302
    with ExitStack() as stack:
        reading = watch(stack, app.test_client(), headers={"Authorization": f"Bearer {VIEWER}"})
        assert reading.until("deliveries")
    app.extensions["feed"].stopping.set()


def test_what_is_hidden_is_in_no_stream(app: Flask, sample: Sample) -> None:
    file = sample.folder / "webhooks.yaml"
    text = file.read_text(encoding="utf-8").replace("platform: slack\n", "platform: slack\n    hide: [$.card]\n")
    file.write_text(text, encoding="utf-8")
    with ExitStack() as stack:
        reading = watch(stack, app.test_client())
        snapshot = reading.until("deliveries")
        arrive(sample, delivery_id="4111 1111")
        assert "4111 1111" not in json.dumps(snapshot) + json.dumps(reading.until("deliveries"))


def test_one_person_may_watch_a_few_times_and_all_together_a_bounded_number(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "STREAMS", 6)
    app = create_app(sample.settings.model_copy(update={"bridge_admin_token": SecretStr(ADMIN)}))
    with ExitStack() as stack:
        me, you, they = app.test_client(), app.test_client(), app.test_client()
        for client in (me, you, they):
            client.post("/login", data={"token": ADMIN})
        for _ in range(live.STREAMS_OF_ONE):
            watch(stack, me)
        refused = me.get(live.STREAM)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "10")
        watch(stack, you)
        with ExitStack() as last:
            watch(last, you)
            assert they.get(live.STREAM).status_code == 503
        watch(stack, they)


def test_requests_without_a_session_are_one_persons(app: Flask) -> None:
    with ExitStack() as stack:
        for _ in range(live.STREAMS_OF_ONE):
            watch(stack, app.test_client())
        assert app.test_client().get(live.STREAM).status_code == 429


def test_a_store_that_is_away_is_told_and_so_is_its_return(
    app: Flask, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        reading = watch(stack, app.test_client())
        reading.until("deliveries")
        with monkeypatch.context() as patch:

            def fails(self: object) -> None:
                raise StoreUnavailable("no disk")

            patch.setattr("admin.page.context.Source._opened", fails)
            assert reading.until("trouble") == "no disk"
        assert reading.until("trouble") == ""
        event_id = arrive(sample)
        assert [one["key"] for one in reading.until("deliveries")] == [event_id]


def test_head_holds_no_stream(app: Flask) -> None:
    for _ in range(2 * live.STREAMS_OF_ONE):
        assert app.test_client().head(live.STREAM).status_code == 200


# --- the feed ---


def test_all_streams_share_one_read_a_second(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "EVERY", 3600.0)
    bridge = mock.Mock(side_effect=sample.bridge)
    feed = Feed(mock.Mock(bridge=bridge))
    event_id = arrive(sample)
    for _ in range(10):
        assert feed.newest(None)[0].key == event_id
    assert bridge.call_count == 1
    assert feed.newest("orders")[0].webhook == "orders"
    arrive(sample)
    assert feed.newest(None)[0].key == event_id
    monkeypatch.setattr(live, "EVERY", 0.0)
    assert feed.newest(None)[0].key != event_id


def test_one_token_leaves_room_for_the_other_however_often_it_logs_in(sample: Sample) -> None:
    feed = Feed(mock.Mock(bridge=sample.bridge))
    with ExitStack() as stack:
        for number in range(live.STREAMS_OF_TOKEN):
            stack.enter_context(feed.watching(f"log-in {number}", "viewer"))
        with pytest.raises(TooManyStreams), feed.watching("one more", "viewer"):
            pass
        stack.enter_context(feed.watching("me", "admin"))
    feed.stopping.set()


def test_no_stream_begins_once_the_process_ends(sample: Sample) -> None:
    feed = Feed(mock.Mock(bridge=sample.bridge))
    feed.stopping.set()
    with pytest.raises(TooManyStreams), feed.watching("me"):
        pass

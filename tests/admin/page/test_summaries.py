"""Wherever an event is shown, it says what happened, its status in words, and leads on."""

from __future__ import annotations

from flask.testing import FlaskClient

from store.records import NewEvent, new_event_id
from tests.admin.conftest import Cli
from tests.support.sample import Sample


def test_an_events_page_is_headed_by_what_happened_and_says_its_status_in_words(
    client: FlaskClient, sample: Sample
) -> None:
    assert "<h1>order=17 state=paid</h1>" in client.get(f"/events/{sample.events['expired']}").text
    assert (
        '<span class="status pending">held until '
        in client.get(f"/events/{sample.events['pending']}").text
    )


def test_a_webhooks_page_lists_what_happened_and_leads_to_its_deliveries_and_failures(
    client: FlaskClient,
) -> None:
    orders = client.get("/webhooks/orders").text
    assert ">order=17 state=paid</a>" in orders
    assert 'href="/deliveries?webhook=orders"' in orders
    assert "/failures" not in orders
    assert 'href="/failures?webhook=github-deploys"' in client.get("/webhooks/github-deploys").text


def test_the_page_of_deliveries_and_the_command_line_say_what_happened(
    client: FlaskClient, cli: Cli, sample: Sample
) -> None:
    event_id, now = new_event_id(), sample.store.now()
    event = NewEvent(
        event_id,
        "orders",
        now,
        '{"order": 1}',
        {},
        {},
        now,
        None,
        summary_parts={"$.order": "<order>=1"},
    )
    sample.store.deliveries.append([event])
    assert f'<a href="/events/{event_id}">&lt;order&gt;=1</a>' in client.get("/deliveries").text
    for command in ("show", "explain"):
        assert "\nhappened:    <order>=1\n" in cli("events", command, event_id).stdout


def test_that_nothing_can_be_retried_is_no_question(client: FlaskClient) -> None:
    assert (
        "<h1>Nothing to retry for github-deploys</h1>"
        in client.get("/rejections/retry?webhook=github-deploys").text
    )

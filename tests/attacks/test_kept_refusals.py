"""Every platform's genuine deliveries, had they been refused and kept, are accepted later as what
they were to be; and where a rejected delivery could hold a secret, none is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from config.webhooks import DefinitionsError, Webhook, load_definitions
from platforms import PLATFORMS
from platforms.bodies import BadBody
from platforms.http import Request
from relay.retry import events_of
from relay.route import Route
from relay.verify.secrets import without_secrets
from store.delivery_records import RawDelivery
from tests.support.genuine import Genuine, deliveries_of

NEVER = {
    "aws-sns",
    "cloudevents",
    "gitlab",
    "google-pubsub",
    "microsoft-graph",
    "microsoft-teams",
    "okta",
}
"""Platforms with a token, with the proof in Authorization, or with the vendor's keys."""


def read(webhook: dict[str, Any], folder: Path) -> Webhook:
    file = folder / "webhooks.yaml"
    whole = {"receivers": {"flow": "any"}, "keep_rejected": 10} | webhook
    file.write_text(json.dumps({"webhooks": [whole]}), encoding="utf-8")
    (found,) = load_definitions(file, PLATFORMS, {}).webhooks
    return found


def refused(genuine: Genuine) -> tuple[Request, RawDelivery]:
    """The request, and what the relay would collect of it if its webhook had a wrong secret."""
    parts = urlsplit(genuine.url)
    headers = {name.lower(): value for name, value in genuine.headers.items()}
    url = genuine.url.partition("?")[0]
    request = Request(
        genuine.method,
        genuine.url,
        parts.query,
        headers,
        genuine.body,
        "192.0.2.1",
        float(int(genuine.now)),
    )
    kept = RawDelivery(
        "k1", "hook", "rejected", int(genuine.now) * 1000, remote="192.0.2.1", method=genuine.method, path="/webhook/",
        url=url, query=parts.query, headers=headers, body=genuine.body,
    )  # fmt: skip
    return request, kept


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_a_genuine_delivery_is_accepted_later_as_what_it_was_to_be(
    platform: str, tmp_path: Path
) -> None:
    number, may_be_kept = 0, False
    for genuine in deliveries_of(platform, tmp_path):
        try:
            webhook = read(genuine.webhook, tmp_path)
        except DefinitionsError as error:
            assert "keep_rejected: what this webhook rejects can't be kept" in str(error)
            continue
        may_be_kept = True
        route = Route(webhook, PLATFORMS[platform], None)
        request, kept = refused(genuine)
        cleaned = without_secrets(kept, webhook, route.verification.secret_headers)
        assert cleaned is not None
        delivery = route.verification.verify(request)
        try:
            parsed = route.parser.parse(delivery)
        except BadBody:  # an example of a signature, not of an event
            continue
        if route.signed_challenge(parsed.body) is not None:
            continue
        number += 1
        expected = route.parser.events(parsed, 1)
        for event, wanted in zip(events_of(route, cleaned, 1), expected, strict=True):
            assert (event.payload, event.query) == (wanted.payload, wanted.query)
            assert event.headers == wanted.headers
            assert event.delivery_id == (
                wanted.delivery_id or f"refused k1 {expected.index(wanted)}"
            )
    assert number or not may_be_kept


@pytest.mark.parametrize("platform", sorted(NEVER))
def test_where_a_refused_delivery_could_hold_a_secret_the_definition_is_refused(
    platform: str, tmp_path: Path
) -> None:
    genuine = [*deliveries_of(platform, tmp_path)]
    assert genuine
    for one in genuine:
        with pytest.raises(
            DefinitionsError, match="keep_rejected: what this webhook rejects can't be kept"
        ):
            read(one.webhook, tmp_path)

"""Verifies a rejected delivery again, with today's definition, and makes of it what the relay would
have made of it."""

from __future__ import annotations

from dataclasses import replace

from platforms.bodies import BadBody
from platforms.http import Request
from platforms.verifiers import KeysUnavailable, Refused
from relay.events.parser import Parsed
from relay.events.selection import Misfit
from relay.route import Route, with_query
from store.delivery_records import RawDelivery
from store.records import NewEvent


class StillRejected(Exception):
    """The delivery can't be accepted; the text says why."""


def request_of(route: Route, kept: RawDelivery) -> Request:
    """The request as the relay saw it, at the time of its arrival; at today's public URL, which
    some platforms sign."""
    url = with_query(route.public_url(kept.path) or kept.url, kept.query)
    return Request(
        kept.method, url, kept.query, kept.headers, kept.body, kept.remote, kept.at / 1000
    )


def _parsed(route: Route, kept: RawDelivery) -> Parsed:
    """The delivery, verified, with its body. Raises StillRejected, Refused, BadBody or
    KeysUnavailable.

    A signed time is compared with that of the arrival: what was too old then stays refused.
    """
    if kept.event_id is not None:
        raise StillRejected(f"it was accepted before, as event {kept.event_id}")
    if route.webhook.keep_rejected is None:
        raise StillRejected(
            "its webhook no longer has keep_rejected, which says that a signature proves its"
            " deliveries"
        )
    if not route.admits(kept.remote):
        raise StillRejected("the address is not in allow_ips")
    if kept.method not in route.platform.methods:
        raise StillRejected(f"the platform doesn't deliver by {kept.method}")
    delivery = route.verification.verify(request_of(route, kept))
    parsed = route.parser.parse(delivery)
    if route.signed_challenge(parsed.body) is not None:
        raise StillRejected(
            "it is a challenge, which needs an answer: let the platform send it again"
        )
    return parsed


def events_of(route: Route, kept: RawDelivery, now: int) -> list[NewEvent]:
    """The delivery's events, which arrive now, by the store's time. Raises StillRejected.

    Each has a delivery id, so that a delivery that is retried twice leaves one event: the sender's
    own if it has one, so that it doesn't matter either if the sender has sent it again meanwhile.
    """
    try:
        events = route.parser.events(_parsed(route, kept), now, remote=kept.remote)
        if not events:
            raise StillRejected("it is an empty list: there is no event in it")
        for number, event in enumerate(events):
            if event.delivery_id is None:
                events[number] = replace(event, delivery_id=f"refused {kept.id} {number}")
        selected = route.selection.of(events)
    except (Refused, KeysUnavailable, Misfit, BadBody) as error:
        raise StillRejected(str(error)) from None
    if not selected.events:
        raise StillRejected([*selected.filtered.reasons, *selected.misfits.reasons][0])
    return selected.events

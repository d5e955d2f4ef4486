"""``events --follow``: one line for each new event, one for what becomes of it, and one for every other delivery."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import click

from admin.api.base import as_json as to_json
from admin.api.objects import EventNews, WithoutEvent
from admin.bridge import Bridge
from admin.cli.tables import plain
from admin.events.follow import Follower, News
from store.delivery_records import WithoutEvent as Unstored
from store.errors import StoreUnavailable
from store.event_filter import EventFilter
from store.records import Target, iso

_EVERY = 0.5
"""Seconds between two polls."""


def brief(targets: Sequence[Target]) -> str:
    """The targets in a few words."""
    return ", ".join(
        f"{target.kind} {target.workflow}" + (f" ({target.state})" if target.state != "done" else "")
        for target in targets
    )


def follow_events(bridge: Bridge, query: EventFilter, as_json: bool) -> None:
    """Prints until Ctrl-C; with `as_json` a JSON object per line."""
    follower = Follower(bridge, query)
    click.echo("Following new events; press Ctrl-C to stop.", err=True)
    away = False
    try:
        while True:
            try:
                for news in follower.look():
                    click.echo(_as_json(news) if as_json else line_of(news))
                for other in follower.look_at_others():
                    click.echo(json.dumps(to_json(WithoutEvent.of(other))) if as_json else line_of_other(other))
                if away:
                    click.echo("The store is back.", err=True)
                away = False
            except StoreUnavailable as error:
                if not away:
                    click.echo(f"The store can't be read, retrying: {plain(error)}", err=True)
                away = True
            time.sleep(_EVERY)
    except KeyboardInterrupt:
        pass


def line_of(news: News) -> str:
    """``12:00:00.123Z  -->  orders  pending  ID``, or ``<--`` and how an event ended that was printed before."""
    event = news.event
    arrow = "-->" if news.is_new else "<--"
    at = event.received_at if news.is_new else (event.settled_at or event.received_at)
    parts = [str(iso(at)), arrow, event.webhook, event.status, event.id]
    if news.is_new and event.delivery_id:
        parts.append(f"[{event.delivery_id}]")
    if news.is_new and event.summary:
        parts.append(event.summary)
    if news.is_new and event.replay_of:
        parts.append(f"(replay of {event.replay_of})")
    if news.targets:
        parts.append(brief(news.targets))
    errors = [target.error for target in news.targets if target.state == "failed" and target.error]
    if event.status == "failed" and errors:
        parts.append(f"({errors[0]})")
    return "  ".join(map(plain, parts))


def line_of_other(one: Unstored) -> str:
    """``12:00:00.123Z  ---  orders  rejected  WHY``; of a duplicate the event that it repeats."""
    parts = [str(iso(one.at)), "---", one.webhook, one.kind]
    parts.append(f"of {one.event_id}" if one.event_id is not None else one.reason)
    if one.remote is not None:
        parts.append(f"(from {one.remote})")
    return "  ".join(map(plain, parts))


def _as_json(news: News) -> str:
    return json.dumps(to_json(EventNews.of(news.event, targets=news.targets, new=news.is_new)))

"""``events``: the list, its filters, and failures in groups."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import click

from admin.api.built import Failures, event_in_list, whole_event
from admin.cli.common import Here, complete_webhook, echo_json, echo_table
from admin.cli.tables import counted, plain
from admin.events.descriptions import describe_effects, describe_status, status_context
from admin.events.failures import failures
from admin.events.filters import STATUSES, parts_of, search_of
from admin.events.replay_plan import Chosen, choose
from admin.events.search import BadFilter, Search
from admin.explain.results import StoryStep
from store.records import Event, iso

_Command = TypeVar("_Command", bound=Callable[..., Any])
_SAY_EVERY = 2.0
"""Seconds between lines that say how far a search is."""


def filter_options(which: str) -> Callable[[_Command], _Command]:
    """The options of a filter; `which` begins their help."""
    options = (
        click.option("-w", "--webhook", shell_complete=complete_webhook, help=f"{which} of this webhook."),
        click.option(
            "-s",
            "--status",
            type=click.Choice(STATUSES),
            help=f"{which} with this status. "
            "held, paused, retrying, quarantined: what pending ones wait for; "
            "unresolved: failed, neither acknowledged nor resolved; resolved: by a replay.",
        ),
        click.option("--type", metavar="TYPE", help=f"{which} of this type, or of types that begin like 'invoice.*'."),
        click.option("-t", "--text", help=f"{which} with this text in their id, delivery id or payload."),
        click.option("--where", multiple=True, metavar="$.PATH=VALUE", help=f"{which} with this value there."),
        click.option("--failure", metavar="REASON", help=f"{which} with this reason, as --failures lists it."),
        click.option(
            "--since",
            metavar="TIME",
            help=f"{which} since then: 2h means two hours ago, or 2026-01-31T12:00 (UTC).",
        ),
        click.option("--until", metavar="TIME", help=f"{which} before then."),
    )

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def search_for(here: Here, parts: Mapping[str, str]) -> Search:
    """What the options ask for. Exits if they can't be used."""
    try:
        return search_of(here.bridge, parts)
    except BadFilter as error:
        raise click.UsageError(str(error)) from None


def parts_given(options: Mapping[str, Any], *others: str) -> dict[str, str]:
    """The options of a filter, and the `others`, that were given."""
    return parts_of(options) | {name: options[name] for name in others if options[name] is not None}


def matching(here: Here, chosen_by: Mapping[str, str]) -> list[Chosen]:
    """The events of a filter, oldest first, and of ``after``: those that arrived after that one.

    Says on stderr how far it is: among millions of events a search for text takes minutes.
    """
    after = here.bridge.event_meant(chosen_by["after"]).seq if "after" in chosen_by else 0
    said = time.monotonic()

    def tell(number: int, back_to: Event) -> None:
        nonlocal said
        if (now := time.monotonic()) - said >= _SAY_EVERY:
            said = now
            click.echo(f"searched back to {iso(back_to.received_at)}: {counted(number, 'event')}", err=True)

    return choose(here.bridge, search_for(here, chosen_by), after_seq=after, told=tell)


def list_events(here: Here, query: Search, before: str | None, limit: int, as_json: bool, payloads: bool) -> None:
    """Prints the events, and on stderr how to go on."""
    bridge = here.bridge
    page = bridge.page(replace(query, before_seq=bridge.event_meant(before).seq if before else None, limit=limit))
    found = bridge.summarized(page.events)
    targets = bridge.targets_by_event(found)
    context = status_context(bridge, found, targets)
    if as_json and payloads:
        echo_json([whole_event(bridge, event) for one in found if (event := bridge.store.queries.event(one.id))])
    elif as_json:
        echo_json([event_in_list(event, targets[event.id], context) for event in found])
    else:
        rows = [
            [
                event.id,
                event.webhook,
                event.summary,
                describe_status(event, targets[event.id], context),
                describe_effects(targets[event.id]),
                iso(event.received_at),
            ]
            for event in found
        ]
        echo_table(["EVENT", "WEBHOOK", "WHAT HAPPENED", "STATUS", "EFFECTS", "RECEIVED AT"], rows, "no events")
    if len(found) == limit:
        click.echo(f"for older ones: --before {found[-1].id}", err=True)
    elif (oldest := page.searched_to) is not None:
        click.echo(
            f"searched back to {iso(oldest.received_at)}; for older ones narrow the time with --since and --until, "
            f"or go on with --before {oldest.id}",
            err=True,
        )


def show_failures(here: Here, parts: Mapping[str, str], as_json: bool) -> None:
    """Prints failures in groups."""
    if set(parts) - {"webhook"}:
        raise click.UsageError("--failures can only be narrowed by --webhook")
    search_for(here, parts)
    found = failures(here.bridge, parts.get("webhook"))
    if as_json:
        echo_json(Failures.of(found))
        return
    rows = [
        [group.number, group.webhook, group.reason, iso(group.first_at), iso(group.last_at), group.last_event]
        for group in found.groups
    ]
    echo_table(["EVENTS", "WEBHOOK", "REASON", "FIRST", "LAST", "LAST EVENT"], rows, "no failed event is unresolved")
    if found.searched_to is not None:
        click.echo(f"only the newest {found.events} are counted, back to {iso(found.searched_to)}", err=True)
    if found.groups:
        click.echo("to list those of a group: --status unresolved --webhook WEBHOOK --failure REASON", err=True)


def echo_story(story: Iterable[StoryStep]) -> None:
    """What happened to an event, a line each."""
    click.echo("\nstory:")
    for one in story:
        click.echo(f"  {iso(one.at)}  {plain(one.what)}")

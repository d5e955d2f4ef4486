"""The options by which events are selected: the parts of the API's filter."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from admin.cli.common import Here, complete_webhook
from admin.cli.tables import counted
from admin.events.filters import STATUSES, Parts, parts_of, search_of
from admin.events.replay_plan import Chosen, choose
from admin.events.search import BadFilter, Search
from store.records import Event, iso

_Command = TypeVar("_Command", bound=Callable[..., Any])
_SAY_EVERY = 2.0
"""Seconds between lines that say how far a search is."""
_SHORT = {"webhook": ["-w"], "status": ["-s"], "text": ["-t"]}
_MORE: Mapping[str, Mapping[str, Any]] = {
    "webhook": {"shell_complete": complete_webhook},
    "status": {"type": click.Choice(STATUSES)},
    "where": {"multiple": True, "metavar": "$.PATH=VALUE"},
    "since": {"metavar": "TIME"},
    "until": {"metavar": "TIME"},
}


def filter_options(which: str) -> Callable[[_Command], _Command]:
    """The options of a filter; `which` begins their help."""

    def add(command: _Command) -> _Command:
        for name, field in reversed(Parts.model_fields.items()):
            text = (field.description or "").replace("only those", which) + "."
            command = click.option(f"--{name}", *_SHORT.get(name, ()), help=text, **_MORE.get(name, {}))(command)
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

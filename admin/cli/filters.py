"""The options by which events are selected: the parts of the API's filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from admin.cli.common import Here, complete_webhook
from admin.events.filters import STATUSES, Parts, search_of
from admin.events.search import BadFilter, Search

_Command = TypeVar("_Command", bound=Callable[..., Any])
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

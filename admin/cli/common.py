"""What the commands share: settings, definitions and store, loaded when first needed, and
printing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from admin.api.base import ApiObject, Json
from admin.api.base import as_json as to_json
from admin.bridge import Bridge, open_definitions, os_user
from admin.cli.groups import SERVER, TOKEN, server_options
from admin.cli.tables import compact, plain, table
from admin.events.filters import STATUSES, Parts
from config.quantities import counted, parse_duration
from config.settings import Settings, SettingsError, load_settings
from config.webhooks import Definitions, Problem
from store.errors import NewerStore, StoreUnavailable
from store.open import open_store
from store.sql.store import Store

_Value = TypeVar("_Value")
_Command = TypeVar("_Command", bound=Callable[..., Any])


class Here:
    """Settings, definitions and store of this machine, each loaded when it is first needed."""

    @cached_property
    def settings(self) -> Settings:
        """Raises SettingsError."""
        return load_settings()

    @cached_property
    def readable(self) -> Definitions:
        """The definitions, as far as they can be read, with a note on stderr if they have errors."""
        found = open_definitions(self.settings, self._kept_definitions).current
        if found.errors:
            click.echo(
                f"note: the definitions have {counted(len(found.errors), 'error')} (see webhook-bridge check); "
                "this uses what can be read of them",
                err=True,
            )
        return found

    def definitions_errors(self) -> Sequence[Problem]:
        """What is wrong with this machine's definitions."""
        return self.readable.errors

    def _kept_definitions(self) -> Mapping[str, str]:
        try:
            return self.store.kept_definitions.all()
        except (StoreUnavailable, NewerStore):  # a command that needs the store says so itself
            return {}

    @cached_property
    def store(self) -> Store:
        """The store, which must exist. Raises StoreUnavailable, NewerStore."""
        store = open_store(self.settings.bridge_database, migrate=False)
        click.get_current_context().call_on_close(store.close)
        return store

    @cached_property
    def bridge(self) -> Bridge:
        """Store and definitions together."""
        return Bridge(self.settings, self.store, self.readable, f"command line ({os_user()})")

    def ask(self, request: str, local: Callable[[Bridge], object], **given: object) -> Any:
        """What the API answers to a request, as JSON, whichever bridge is asked: this machine's
        calls `local`.

        `request` is the method and the path below `/api`, such as ``GET tasks/{task_id}``; `given`
        are its parameters.
        """
        return to_json(local(self.bridge))

    def checked(self, offline: bool, without_secrets: bool) -> Json:
        """What is found by a check of definitions, settings, Conductor and store
        (`admin.check.checking`)."""
        from admin.check.checking import check_everything

        found: Json = to_json(
            check_everything(self.settings, lambda: self.bridge, offline, without_secrets)
        )
        return found


Columns = Mapping[str, str | Callable[[Json], object]]
"""Heading of a table → the field of the JSON that is below it, or what to make of all of the JSON.
"""
LIMIT = click.IntRange(1, 1_000_000_000)
"""How many may be asked for: fewer than any database counts to."""
as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON instead of a table."
)


def here(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the bridge that it is about, as its first argument: this machine's, or
    another's. A group does nothing itself if one of its commands was named."""

    @wraps(command)
    def run(*given: Any, **options: Any) -> None:
        ctx = click.get_current_context()
        if ctx.invoked_subcommand is None:
            ctx.invoke(command, _bridge_meant(ctx), *given, **options)

    return run


def _bridge_meant(ctx: click.Context) -> Here:
    on_this_machine = Here()
    settings = on_this_machine.settings
    server = ctx.meta.get(SERVER) or settings.bridge_server
    if server is None:
        return on_this_machine
    from admin.cli.remote import There  # most commands ask none

    token = ctx.meta.get(TOKEN)
    if token is None and settings.bridge_token is not None:
        token = settings.bridge_token.get_secret_value()
    return There(HTTP_URL.convert(server, None, ctx), secret_given(token, "--token"))


def asks(command: _Command) -> Callable[..., Any]:
    """The same for a command that only asks, and so has the options for another machine's bridge."""
    return server_options(here(command))


class Parsed(click.ParamType[_Value]):
    """What a function makes of the text of an argument or option; its ValueError says what is wrong
    with it."""

    def __init__(self, name: str, parse: Callable[[str], _Value]):
        self.name = name
        self._parse = parse

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> _Value:
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _http_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise ValueError(f"{text!r} is not a URL; write one such as http://localhost:8000")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL with a password shows it to everyone on this machine")
    return text


DURATION = Parsed("duration", parse_duration)
"""Seconds."""
HTTP_URL = Parsed("url", _http_url)


def complete_webhook(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of webhooks for shell completion."""
    try:
        names = open_definitions(load_settings(), dict).current.by_name
    except SettingsError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def echo_json(found: object) -> None:
    """The objects, or what is JSON already."""
    click.echo(json.dumps(to_json(found), indent=2))


def echo_list(
    found: Sequence[ApiObject] | Sequence[Json], columns: Columns, nothing: str, as_json: bool
) -> None:
    """The objects as JSON, or as a table. `columns`: heading → the field in the JSON, or what to
    make of all of it."""
    if as_json:
        echo_json(found)
        return
    rows = [
        [one.get(cell) if isinstance(cell, str) else cell(one) for cell in columns.values()]
        for one in to_json(found)
    ]
    echo_table(list(columns), rows, nothing)


def echo_table(headings: Sequence[str], rows: Sequence[Sequence[object]], nothing: str) -> None:
    """The table, or `nothing` on stderr if it would be empty."""
    if rows:
        click.echo(table(headings, rows))
    else:
        click.echo(nothing, err=True)


def whole_event(here: Here, event_id: str) -> Json:
    """One event with all that is shown of it."""
    from admin import operations

    def show(bridge: Bridge) -> ApiObject:
        return operations.show_event(bridge, bridge.event_meant(event_id))

    found: Json = here.ask("GET events/{event_id}", show, event_id=event_id)
    return found


def note_search(since: str) -> None:
    """Says that a list is short because its search ended, and how to go on."""
    since = plain(since)
    click.echo(
        f"searched back to {since}; for older ones: --until {since}, or narrow the time with --since",
        err=True,
    )


def echo_fields(fields: Mapping[str, object]) -> None:
    """A line for each field that has a value."""
    for name, value in fields.items():
        if value is not None:
            click.echo(f"{name + ':':<12} {plain(value)}")


def echo_values(heading: str, values: Mapping[str, Any] | None) -> None:
    """JSON values below a heading; nothing if there are none."""
    if values:
        click.echo(f"\n{heading}:")
        for key, value in values.items():
            click.echo(
                f"  {plain(key)}: {plain(value) if isinstance(value, str) else compact(value)}"
            )


def echo_left_out(left_out: Mapping[str, int], to_stderr: bool = True) -> None:
    """Reasons, each with how many are left out for it."""
    for reason, number in sorted(left_out.items()):
        click.echo(f"{number} left out: {plain(reason)}", err=to_stderr)


def confirm(reason: str, question: str, done: str = "replayed") -> None:
    """Returns if the answer is yes. Exits with 2 if nobody can be asked."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"nothing was {done}: {reason}. To do it anyway, add --yes")
    click.confirm(f"{reason}.\n{question}", abort=True, err=True)


def secret_given(text: str | None, option: str = "--secret") -> str:
    """The secret of an option, empty for none. Exits with 2 if it can't be read."""
    try:
        return bytes_given(text or "", option).decode().strip()
    except UnicodeDecodeError:
        raise click.BadParameter("not UTF-8 text", param_hint=option) from None


def bytes_given(text: str, option: str) -> bytes:
    """What an option says by @FILE, by - or @- (standard input), or by the text itself."""
    if text in ("-", "@-"):
        return sys.stdin.buffer.read()
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"{text[1:]}: {error.strerror}", param_hint=option) from None


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
            command = click.option(
                f"--{name}", *_SHORT.get(name, ()), help=text, **_MORE.get(name, {})
            )(command)
        return command

    return add

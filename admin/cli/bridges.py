"""The bridge that a command is about: this machine's, or another's, asked by its API."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, wraps
from string import Formatter
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, urlencode

import click

from admin.api_object import Json
from admin.api_object import as_json as to_json
from admin.bridge import Bridge, open_definitions, os_user
from admin.cli.common import HTTP_URL, note_search, secret_given
from admin.cli.groups import SERVER, TOKEN, fail, server_options
from config.quantities import counted
from config.settings import Settings, load_settings
from config.webhooks import Definitions, Problem
from store.errors import NewerStore, StoreUnavailable
from store.open import open_store
from store.processes import AdminStore

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
                f"note: the definitions have {counted(len(found.errors), 'error')} (see"
                " webhook-bridge check); this uses what can be read of them",
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
    def store(self) -> AdminStore:
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


class There(Here):
    """The bridge of an admin process elsewhere."""

    def __init__(self, url: str, token: str):
        """`token`: its admin or viewer token, empty for none. Raises UsageError for what is no
        token."""
        if not (token.isascii() and token.isprintable()):  # an error about the header would show it
            raise click.UsageError("--token or BRIDGE_TOKEN isn't one line of ASCII text")
        self._url = url.rstrip("/")
        self._token = token

    @property
    def settings(self) -> Settings:
        """Raises UsageError: only that machine has its settings, definitions and store."""
        raise click.UsageError(
            f"this needs the bridge's own machine, and {self._url} is asked: leave out --server, or"
            " unset BRIDGE_SERVER"
        )

    def definitions_errors(self) -> Sequence[Problem]:
        """None that are seen from here: `check` asks for them."""
        return ()

    def checked(self, offline: bool, without_secrets: bool) -> Json:
        """What a check finds there. Raises UsageError for one of what is on this machine."""
        if offline or without_secrets:
            _ = self.settings
        found: Json = self._answer("GET check", {})
        return found

    def ask(self, request: str, local: Callable[[Bridge], object], **given: object) -> Any:
        """What that bridge's API answers. Exits with 1 if it refuses, or there is no answer."""
        return self._answer(request, given)

    def _answer(self, request: str, given: Mapping[str, object]) -> Any:
        method, path = request.split()
        url, body = f"{self._url}/api/{_filled(path, given)}", None
        parameters = _without_empty(path, given)
        if method == "POST":
            body = json.dumps(parameters).encode()
        elif parameters:
            url += f"?{urlencode(parameters, doseq=True)}"
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        from admin.events.send import call  # most commands ask no other machine

        status, answer, about = call(method, url, headers, body)
        try:
            found = json.loads(answer)
        except ValueError:
            fail(f"{self._url} is no admin page of a bridge: it answered {status} without JSON")
        if status >= 400:
            self._refused(status, found)
        since = about.get("Searched-Since")
        if since is not None:
            note_search(since)
        return found

    def _refused(self, status: int, found: Any) -> NoReturn:
        message = found.get("message") if isinstance(found, dict) else None
        said = str(message or f"{self._url} answered {status}: {found}")
        if status == 400:  # what was asked for is wrong usage here, too
            raise click.UsageError(said)
        if status == 401:
            said += "; give its token with --token @FILE, or set BRIDGE_TOKEN"
        fail(said)


def _names_in(path: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(path) if name}


def _filled(path: str, given: Mapping[str, object]) -> str:
    return path.format_map({name: quote(str(given[name]), safe="") for name in _names_in(path)})


def _without_empty(path: str, given: Mapping[str, object]) -> dict[str, object]:
    """The parameters that aren't in the path and say something."""
    names = _names_in(path)
    return {
        name: value
        for name, value in given.items()
        if name not in names and value not in (None, False, ())
    }


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
    token = ctx.meta.get(TOKEN)
    if token is None and settings.bridge_token is not None:
        token = settings.bridge_token.get_secret_value()
    return There(HTTP_URL.convert(server, None, ctx), secret_given(token, "--token"))


def asks(command: _Command) -> Callable[..., Any]:
    """As `here`, for a command that only asks: it can be sent to another machine's bridge by
    options."""
    return server_options(here(command))


def whole_event(here: Here, event_id: str) -> Json:
    """One event with all that is shown of it."""
    from admin import operations

    found: Json = here.ask(
        "GET events/{event_id}",
        lambda bridge: operations.show_event(bridge, bridge.event_meant(event_id)),
        event_id=event_id,
    )
    return found

"""``webhook-bridge --server URL``: another machine's bridge, asked by its API."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from string import Formatter
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

import click

from admin.api.base import Json
from admin.bridge import Bridge
from admin.cli.common import Here, note_search
from admin.cli.groups import fail
from admin.events.send import call
from config.settings import Settings
from config.webhooks import Problem


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
            f"this needs the bridge's own machine, and {self._url} is asked: leave out --server, or unset BRIDGE_SERVER"
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

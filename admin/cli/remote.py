"""``webhook-bridge --server URL``: the commands that another machine's admin page answers by its API, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import click
from click.core import ParameterSource

from admin.cli.groups import Commands, fail
from admin.cli.tables import plain
from admin.events.send import call

REQUESTS = {
    "webhooks": "GET webhooks",
    "pause": "POST webhooks/{webhook}/pause",
    "resume": "POST webhooks/{webhook}/resume",
    "events": "GET events",
    "events show": "GET events/{event_id}",
    "events explain": "GET events/{event_id}/why",
    "events replay": "POST events/{event_id}/replay",
    "events erase": "POST events/{event_id}/erase",
    "tasks": "GET tasks",
    "tasks show": "GET tasks/{task_id}",
    "rejections": "GET rejections",
    "rejections show": "GET rejections/{kept_id}",
    "callback": "POST callbacks",
}
"""Command → its request. What the path doesn't name of the given arguments and options is the query, or the body."""
_NOT_THERE = {"in_groups", "follow", "payloads", "all_tasks", "broken"}
"""Options that the API doesn't have."""


@dataclass(frozen=True)
class Remote:
    """An admin page elsewhere."""

    url: str
    token: str

    def ask(self, method: str, path: str, given: Mapping[str, Any]) -> None:
        """Prints the answer's JSON; exits with 1 if it refuses, or there is none. `path`: below `/api`."""
        url = f"{self.url.rstrip('/')}/api/{path}"
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if method == "GET":
            url, given = f"{url}?{urlencode(given, doseq=True)}", {}
        try:
            status, answer = call(method, url, headers, json.dumps(given).encode() if given else None)
            found = json.loads(answer)
        except ValueError:
            fail(f"{self.url} is no admin page of a bridge: it answered {status} without JSON")
        if status >= 400:
            remedy = "; give its token with --token @FILE" if status == 401 else ""
            said = f": {found.get('message') or found}" if isinstance(found, dict) else ""
            fail(f"{status}{said}{remedy}")
        click.echo(plain(json.dumps(found, indent=2), lines=True))


def asking(command: click.Command, words: str) -> click.Command:
    """The command, as one that asks there, with its arguments and options: the page refuses those it doesn't know."""

    @click.pass_context
    def ask(ctx: click.Context, /, **values: Any) -> None:
        if ctx.invoked_subcommand is not None:
            return
        given = {name: values[name] for name in values if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
        given.pop("as_json", None)
        confirmed = given.pop("yes", False)
        if words == "events replay":
            given["confirm"] = confirmed
        elif words == "events erase" and not confirmed:
            click.confirm("Erase the event's payload for good?", abort=True, err=True)
        method, path = REQUESTS[words].split()
        parts = {name: given.pop(name) for name in list(given) if f"{{{name}}}" in path}
        if path.count("{") > len(parts):
            raise click.UsageError("--server acts on one at a time: give its id")
        at = ctx.find_object(Remote)
        assert at is not None  # it is set with --server
        at.ask(method, path.format_map({name: quote(part, safe="") for name, part in parts.items()}), given)

    params = [one for one in command.params if one.name not in _NOT_THERE]
    own: dict[str, Any] = {"params": params, "callback": ask, "help": command.help}
    if not isinstance(command, click.Group):
        return click.Command(command.name, **own)
    inner = {
        name: asking(one, f"{words} {name}") for name, one in command.commands.items() if f"{words} {name}" in REQUESTS
    }
    return Commands(command.name, commands=inner, invoke_without_command=True, **own)

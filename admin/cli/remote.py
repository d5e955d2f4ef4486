"""``webhook-bridge --server URL``: commands that ask another machine's admin page, by its API, and print its JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import click
import urllib3

from admin.cli.filters import filter_options
from admin.cli.groups import Commands, fail
from admin.cli.tables import plain
from admin.events.send import pool_for

_TIMEOUT = 30.0


@dataclass(frozen=True)
class Remote:
    """An admin page elsewhere."""

    url: str
    token: str

    def ask(self, method: str, path: str, given: Mapping[str, Any]) -> None:
        """Prints the answer's JSON; exits with 1 if it refuses, or there is none.

        `path`: below `/api`, with the names of those that it takes of `given`. The others are a GET's query, or else
        the body.
        """
        below = path.format_map({name: quote(str(value), safe="") for name, value in given.items()})
        others = {name: value for name, value in given.items() if f"{{{name}}}" not in path and value not in (None, ())}
        url, body = f"{self.url.rstrip('/')}/api/{below}", others
        if method == "GET":
            url, body = f"{url}?{urlencode(others, doseq=True)}", {}
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            with pool_for(url) as pool:
                answer = pool.request(method, url, json=body or None, headers=headers, timeout=_TIMEOUT, redirect=False)
            found = json.loads(answer.data)
        except urllib3.exceptions.HTTPError as error:
            fail(f"{self.url} can't be reached: {getattr(error, 'reason', None) or error}")
        except ValueError:
            fail(f"{self.url} is no admin page of a bridge: it answered {answer.status} without JSON")
        if answer.status >= 400:
            remedy = "; give its token with --token @FILE" if answer.status == 401 else ""
            said = f": {found.get('message') or found}" if isinstance(found, dict) else ""
            fail(f"{answer.status}{said}{remedy}")
        click.echo(plain(json.dumps(found, indent=2), lines=True))


@click.group(cls=Commands)
def remote() -> None:
    """Ask the admin page at --server, with its BRIDGE_ADMIN_TOKEN or BRIDGE_VIEWER_TOKEN; prints JSON.

    \b
    Examples:
      webhook-bridge --server https://bridge.internal --token @token events --status failed
      webhook-bridge --server https://bridge.internal --token @token events explain 01935c2e-6f3a-7000-8000-000000000000
      webhook-bridge --server https://bridge.internal --token @token pause orders
    """


_Option = Callable[[Callable[..., None]], Callable[..., None]]
_WEBHOOK, _EVENT = click.argument("webhook"), click.argument("event_id")


def _command(group: click.Group, name: str, request: str, text: str, *options: _Option, **more: Any) -> None:
    """A command that makes the request: what its path names comes from arguments, the rest of a GET from options."""
    method, path = request.split()

    @click.pass_context
    def ask(ctx: click.Context, /, **given: Any) -> None:
        at = ctx.find_object(Remote)
        assert at is not None  # it is set with --server
        if ctx.invoked_subcommand is None:
            at.ask(method, path, given)

    for option in reversed(options):
        ask = option(ask)
    group.command(name, help=text, **more)(ask)


_command(remote, "webhooks", "GET webhooks", "List the webhooks.")
_command(remote, "pause", "POST webhooks/{webhook}/pause", "Accept deliveries, but decide nothing.", _WEBHOOK)
_command(remote, "resume", "POST webhooks/{webhook}/resume", "Resume a paused webhook.", _WEBHOOK)
_command(
    remote,
    "events",
    "GET events",
    "List events; show, explain, replay or erase one.",
    filter_options("Only events"),
    click.option(
        "-n", "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many at most."
    ),
    cls=Commands,
    invoke_without_command=True,
)
_events = remote.commands["events"]
assert isinstance(_events, click.Group)
_command(_events, "show", "GET events/{event_id}", "Show an event with its payload.", _EVENT)
_command(_events, "explain", "GET events/{event_id}/why", "Explain why an event did or didn't match.", _EVENT)
_command(
    _events,
    "replay",
    "POST events/{event_id}/replay",
    "Deliver an event again, as a new one.",
    _EVENT,
    click.option("--target", type=click.IntRange(min=1), help="Only to this one of its targets."),
    click.option("-y", "--yes", "confirm", is_flag=True, help="Although it repeats an effect."),
)
_command(
    _events,
    "erase",
    "POST events/{event_id}/erase",
    "Erase an event's payload, headers and answers.",
    _EVENT,
    click.confirmation_option("-y", "--yes", prompt="Erase the event's payload for good?", help="Don't ask."),
)
_command(
    remote, "tasks", "GET tasks", "List waiting tasks.", click.option("--workflow", help="Only tasks of this workflow.")
)
_command(
    remote,
    "rejections",
    "GET rejections",
    "List rejected deliveries.",
    click.option("-w", "--webhook", help="Only those of this webhook."),
)

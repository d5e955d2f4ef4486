"""``webhook-bridge --server URL``: commands that ask another machine's admin page, by its API, and print its JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import click
import urllib3

from admin.cli.groups import Commands, fail
from admin.cli.tables import plain
from admin.events.filters import PARTS
from admin.events.send import pool_for

_TIMEOUT = 30.0
_FILTERS = tuple(part for part in PARTS if part != "where")


@dataclass(frozen=True)
class Remote:
    """An admin page elsewhere."""

    url: str
    token: str

    def ask(self, method: str, *path: str, body: object = None, query: Mapping[str, object] | None = None) -> None:
        """Prints the answer's JSON; exits with 1 if it refuses, or there is none. `path`: its parts, below `/api`."""
        fields = {name: str(value) for name, value in (query or {}).items() if value is not None}
        below = "/".join(quote(part, safe="") for part in path)
        url = f"{self.url.rstrip('/')}/api/{below}" + (f"?{urlencode(fields)}" if fields else "")
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            with pool_for(url) as pool:
                answer = pool.request(method, url, json=body, headers=headers, timeout=_TIMEOUT, redirect=False)
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


_pass = click.make_pass_decorator(Remote)


@remote.command("webhooks")
@_pass
def _webhooks(at: Remote) -> None:
    """List the webhooks."""
    at.ask("GET", "webhooks")


@remote.command("pause")
@click.argument("webhook")
@_pass
def _pause(at: Remote, webhook: str) -> None:
    """Accept the webhook's deliveries, but decide nothing until it is resumed."""
    at.ask("POST", "webhooks", webhook, "pause")


@remote.command("resume")
@click.argument("webhook")
@_pass
def _resume(at: Remote, webhook: str) -> None:
    """Resume a paused webhook."""
    at.ask("POST", "webhooks", webhook, "resume")


def _with_filters(command: Any) -> Any:
    for name in reversed(_FILTERS):
        command = click.option(f"--{name}")(command)
    return command


@remote.group("events", cls=Commands, invoke_without_command=True)
@_with_filters
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.pass_context
def _events(ctx: click.Context, /, limit: int, **filters: str | None) -> None:
    """List events; show, explain, replay or erase one."""
    if ctx.invoked_subcommand is None:
        at = ctx.find_object(Remote)
        assert at is not None  # it is set with --server
        at.ask("GET", "events", query={"limit": limit, **filters})


@_events.command("show")
@click.argument("event_id")
@_pass
def _show(at: Remote, event_id: str) -> None:
    """Show an event with its payload."""
    at.ask("GET", "events", event_id)


@_events.command("explain")
@click.argument("event_id")
@_pass
def _explain(at: Remote, event_id: str) -> None:
    """Explain why an event did or didn't match each waiting task."""
    at.ask("GET", "events", event_id, "why")


@_events.command("replay")
@click.argument("event_id")
@click.option("--target", type=click.IntRange(min=1), help="Only to this one of its targets.")
@click.option("-y", "--yes", is_flag=True, help="Although it repeats an effect.")
@_pass
def _replay(at: Remote, event_id: str, target: int | None, yes: bool) -> None:
    """Deliver an event again, as a new one."""
    body = {"confirm": yes} | ({} if target is None else {"target": target})
    at.ask("POST", "events", event_id, "replay", body=body)


@_events.command("erase")
@click.argument("event_id")
@click.confirmation_option("-y", "--yes", prompt="Erase the event's payload for good?")
@_pass
def _erase(at: Remote, event_id: str) -> None:
    """Erase an event's payload, headers and answers."""
    at.ask("POST", "events", event_id, "erase")


@remote.command("tasks")
@click.option("--workflow", help="Only tasks of workflows with this name.")
@_pass
def _tasks(at: Remote, workflow: str | None) -> None:
    """List waiting tasks."""
    at.ask("GET", "tasks", query={"workflow": workflow})


@remote.command("rejections")
@click.option("--webhook", help="Only of this webhook.")
@_pass
def _rejections(at: Remote, webhook: str | None) -> None:
    """List rejected deliveries."""
    at.ask("GET", "rejections", query={"webhook": webhook})

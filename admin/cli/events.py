"""The commands about what was received: events."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from textwrap import indent
from typing import Any

import click

from admin import operations
from admin.api import objects
from admin.api_object import ApiObject, Json
from admin.api_object import as_json as to_json
from admin.bridge import Bridge
from admin.cli.bridges import Here, asks, whole_event
from admin.cli.common import (
    LIMIT,
    as_json_option,
    echo_comparison,
    echo_criteria,
    echo_fields,
    echo_json,
    echo_list,
    echo_table,
    echo_values,
    filter_options,
    note_search,
)
from admin.cli.groups import Commands, fail
from admin.cli.replay import acknowledge, erase, reopen, replay
from admin.events.failures import failures
from admin.events.filters import parts_of, search_of
from admin.events.follow import Follower, News
from admin.events.tree import differences, place
from admin.explain.results import in_lines
from admin.search import Search
from admin.wording.terminal import compact, cut, plain, pretty
from config.quantities import counted
from store.delivery_records import WithoutEvent
from store.errors import StoreUnavailable
from store.records import Event, Target, iso
from store.rules.transitions import FAILED

_COLUMNS = {
    "EVENT": "eventId",
    "WEBHOOK": "webhook",
    "WHAT HAPPENED": "summary",
    "STATUS": "statusInWords",
    "EFFECTS": "effects",
    "RECEIVED AT": "receivedAt",
}
_FAILURES = {
    "EVENTS": "number",
    "WEBHOOK": "webhook",
    "REASON": "reason",
    "FIRST": "firstAt",
    "LAST": "lastAt",
    "LAST EVENT": "lastEvent",
}
_LONGEST = 60
"""Characters of a value in a table."""
_LONGEST_FIELD = 200
"""Characters of a field's path there: all rows are as wide as the widest, and a sender may choose
long keys."""


# --- events


@click.group(cls=Commands, invoke_without_command=True)
@filter_options("Only events")
@click.option("--failures", "in_groups", is_flag=True, help="Show unresolved failures by reason.")
@click.option(
    "--before", metavar="EVENT_ID", help="Only events that arrived before this one (for paging)."
)
@click.option("-n", "--limit", type=LIMIT, default=50, show_default=True, help="How many at most.")
@click.option("--payloads", is_flag=True, help="With --json: each event's payload, too.")
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    help="Show new events, what becomes of them, and other deliveries.",
)
@as_json_option
@asks
def events(
    here: Here,
    /,
    in_groups: bool,
    before: str | None,
    limit: int,
    payloads: bool,
    follow: bool,
    as_json: bool,
    **filters: Any,
) -> None:
    """List events, newest first, or follow them; show, explain or replay one.

    \b
    An event is
      pending    held for a task that starts waiting, or waiting for Conductor
      delivered  its targets are completed or started
      expired    its hold ran out, and no task took it
      ignored    it was for nothing: no `when` held, or no workflow ran for its message
      failed     Conductor refused it permanently: fix the cause, then replay

    \b
    Examples:
      webhook-bridge events --webhook github-deploys --status failed
      webhook-bridge events --text 'refs/heads/main' --json | jq '.[0].eventId'
      webhook-bridge events --type 'invoice.*' --where '$.data.object.currency=eur' --since 2h
      webhook-bridge events --failures                 what failed, grouped by webhook and reason
      webhook-bridge events --follow                   as they arrive, until Ctrl-C
      webhook-bridge events explain 01935c2e-6f3a-7000-8000-000000000000

    Wherever an EVENT_ID is given, its first 8 or more characters are enough if no other id begins with them.
    `last` is the newest event.
    """
    parts = parts_of(filters)
    if in_groups and set(parts) - {"webhook"}:
        raise click.UsageError("--failures can only be narrowed by --webhook")
    if in_groups:
        _list_failures(here, parts.get("webhook"), as_json)
    elif not follow:
        _list_events(here, parts, limit, before, as_json, payloads)
    elif before:
        raise click.UsageError("--follow shows new events: leave out --before")
    elif parts.keys() & {"status", "failure"}:
        raise click.UsageError(
            "--follow shows each event and what becomes of it: leave out --status and --failure"
        )
    else:
        _follow(here.bridge, search_of(here.bridge, parts), as_json)


def _list_events(
    here: Here,
    parts: Mapping[str, str],
    limit: int,
    before: str | None,
    as_json: bool,
    payloads: bool,
) -> None:
    def listed(bridge: Bridge) -> list[objects.ListedEvent]:
        found = operations.list_events(bridge, search_of(bridge, parts), limit, before)
        if found.searched_to is not None:
            note_search(str(iso(found.searched_to.received_at)))
        return found.events

    found = here.ask("GET events", listed, **parts, limit=limit, before=before)
    if as_json and payloads:
        echo_json([whole_event(here, one["eventId"]) for one in found])
    else:
        echo_list(found, _COLUMNS, "no events", as_json)
    if len(found) == limit:
        click.echo(f"for older ones: --before {found[-1]['eventId']}", err=True)


def _list_failures(here: Here, webhook: str | None, as_json: bool) -> None:
    found = here.ask("GET failures", lambda bridge: failures(bridge, webhook), webhook=webhook)
    if as_json:
        echo_json(found)
        return
    echo_list(found["groups"], _FAILURES, "no failed event is unresolved", as_json)
    if found["searchedTo"] is not None:
        click.echo(
            f"only the newest {found['events']} are counted, back to {found['searchedTo']}",
            err=True,
        )
    if found["groups"]:
        click.echo(
            "to list those of a group: --status unresolved --webhook WEBHOOK --failure REASON",
            err=True,
        )


@events.command(short_help="Show an event: story, targets and payload.")
@click.argument("event_id")
@click.option(
    "-f", "--follow", is_flag=True, help="Show the story as it goes on, until the event is settled."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@asks
def show(here: Here, event_id: str, follow: bool, as_json: bool) -> None:
    """Show an event: its status and what that means, targets, headers, payload.

    For a call that will be retried, and for an event that is set aside: the reason, and when it is tried next.

    \b
    Examples:
      webhook-bridge events show last
      webhook-bridge events show last --follow      what becomes of it, until it is settled or Ctrl-C
    """
    if follow and as_json:
        raise click.UsageError("--follow prints the story: leave out --json")
    found = whole_event(here, event_id)
    if follow:
        _follow_one(here, found)
        return
    if as_json:
        echo_json(found)
        return
    _echo_event(found)
    for name in ("enclosing", "claims", "headers", "query"):
        echo_values(name, found[name])
    click.echo("\npayload:")
    click.echo(pretty(found["payload"]))


def _follow_one(here: Here, event: Json) -> None:
    """Prints the event's story as it goes on, until it is settled."""
    told: set[tuple[str, str]] = set()
    with suppress(KeyboardInterrupt):
        while True:
            new = [step for step in event["story"] if (step["at"], step["what"]) not in told]
            for step in new:
                click.echo(f"{step['at']}  {plain(step['what'])}")
            told |= {(step["at"], step["what"]) for step in new}
            if event["status"] != "pending":
                click.echo(plain(f"{event['status']}: {event['cause']}"))
                return
            time.sleep(_EVERY)
            event = whole_event(here, event["eventId"])


_FIELDS = {
    "event": "eventId",
    "happened": "summary",
    "webhook": "webhook",
    "status": "status",
    "received at": "receivedAt",
    "delivery id": "deliveryId",
    "replay of": "replayOf",
}


def _echo_event(event: Json) -> None:
    echo_fields({name: event[field] or None for name, field in _FIELDS.items()})
    for sentence in filter(
        None, dict.fromkeys((event["cause"], event["remedy"], *event["meaning"]))
    ):
        click.echo(f"  {plain(sentence)}")
    click.echo("\nstory:")
    for step in event["story"]:
        click.echo(f"  {step['at']}  {plain(step['what'])}")


@events.command(short_help="Explain why an event did or didn't match.")
@click.argument("event_id")
@click.option(
    "--all", "all_tasks", is_flag=True, help="Each task by itself, those out of reach too."
)
@click.option(
    "-n", "--limit", type=LIMIT, default=200, show_default=True, help="How many tasks at most."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object per task.")
@asks
def explain(here: Here, event_id: str, all_tasks: bool, limit: int, as_json: bool) -> None:
    """Explain why an event did or didn't match each waiting task.

    First the answer, then the tasks that came closest, grouped by what failed: the criteria of one
    of them with the values found. With --all each task by itself, and also those that were out of
    reach (not a receiver, another version, started later, taken by another event). For what is set
    aside, because Conductor can't show it: the reason, and when it is tried next.
    """
    found = here.ask(
        "GET events/{event_id}/why",
        lambda bridge: operations.explain_event(bridge, event_id, limit),
        event_id=event_id,
        limit=limit,
    )
    tasks = found["tasks"]
    if as_json:
        echo_json(tasks)
        return
    _echo_event(found)
    for start in found["starts"]:
        version = f" version {start['version']}" if start["version"] else ""
        verdict = "STARTS" if start["holds"] else "DOESN'T START"
        _echo_entry(verdict, f"{start['workflow']}{version}", start)
    for message in found["messages"]:
        verdict = "SENDS MESSAGE" if message["holds"] else "SENDS NO MESSAGE"
        _echo_entry(verdict, f"to {message['workflow']}", message)
    others = len(tasks)
    for task in tasks:
        stands_for = 1 if all_tasks else task["standsFor"]
        if stands_for:
            _echo_task(task, stands_for)
        others -= stands_for
    if others:
        click.echo(f"\n{counted(others, 'other task')}: --all lists them")
    if len(tasks) == limit:
        click.echo(f"\nOnly the closest {limit} tasks are listed; see --limit", err=True)


def _echo_task(task: Json, stands_for: int) -> None:
    where = f"task {plain(task['referenceName'])} of {plain(task['workflow'])}"
    ids = f"task {plain(task['taskId'])}, workflow {plain(task['workflowId'])}"
    click.echo(f"\n{task['verdict'].upper()}  {where}")
    click.echo(f"  {ids}, since {task['waitingSince']}")
    echo_comparison(task)
    if stands_for > 1:
        click.echo(f"  and {counted(stands_for - 1, 'more task')} like it")


def _echo_entry(verdict: str, workflow: str, entry: Json) -> None:
    """What one entry of the webhook's `starts` or `messages` made of the event."""
    click.echo(f"\n{verdict}  {plain(workflow)}")
    echo_criteria(entry["criteria"], entry["reason"])
    if "input" in entry:
        click.echo(indent(plain(f"input: {in_lines(entry['input'])}", lines=True), "  "))


@events.command(short_help="Compare two events, field by field.")
@click.argument("before")
@click.argument("after")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@asks
def diff(here: Here, before: str, after: str, as_json: bool) -> None:
    """Compare the payloads of two events, field by field, headers and query included.

    Exits with 1 if they differ. What `hide` names is not compared.

    \b
    Example:
      webhook-bridge events diff 01935c2e-6f3a last
    """
    result = differences(_compared(whole_event(here, before)), _compared(whole_event(here, after)))
    if as_json:
        found = [
            {"what": it.kind, "path": it.path, "before": it.before, "after": it.after}
            for it in result.found
        ]
        click.echo(json.dumps({"complete": result.complete, "differences": found}, indent=2))
    else:
        rows = [
            [
                it.kind,
                cut(place(it), _LONGEST_FIELD),
                compact(it.before, _LONGEST) if it.kind != "added" else "",
                compact(it.after, _LONGEST) if it.kind != "removed" else "",
            ]
            for it in result.found
        ]
        echo_table(["WHAT", "FIELD", "BEFORE", "AFTER"], rows, "they are the same")
        if not result.complete:
            click.echo("there is too much to compare all of it", err=True)
    sys.exit(bool(result.found) or not result.complete)


def _compared(event: Json) -> Json:
    """What is compared of an event: what isn't different in any two of them."""
    if "unreadable" in event:
        fail(f"event {event['eventId']} can't be read: {event['unreadable']}")
    return {**event["payload"], "_webhook": {"headers": event["headers"], "query": event["query"]}}


for command in (replay, acknowledge, reopen, erase):
    events.add_command(command)


# --- following

_EVERY = 0.5
"""Seconds between two polls."""


def _follow(bridge: Bridge, query: Search, as_json: bool) -> None:
    """Prints until Ctrl-C one line for each new event, one for what becomes of it, and one for
    every other delivery; with `as_json` a JSON object per line."""
    follower = Follower(bridge, query)
    click.echo("Following new events; press Ctrl-C to stop.", err=True)
    away = False
    with suppress(KeyboardInterrupt):
        while True:
            try:
                for news in follower.look():
                    found = objects.EventNews.of(news.event, targets=news.targets, new=news.is_new)
                    _echo_line(found, line_of(news), as_json)
                for other in follower.look_at_others():
                    _echo_line(objects.WithoutEvent.of(other), line_of_other(other), as_json)
                if away:
                    click.echo("The store is back.", err=True)
                away = False
            except StoreUnavailable as error:
                if not away:
                    click.echo(f"The store can't be read, retrying: {plain(error)}", err=True)
                away = True
            time.sleep(_EVERY)


def _echo_line(found: ApiObject, line: str, as_json: bool) -> None:
    click.echo(json.dumps(to_json(found)) if as_json else line)


def line_of(news: News) -> str:
    """``12:00:00.123Z  -->  orders  pending  ID``, or ``<--`` and how an event ended that was
    printed before."""
    event = news.event
    at, arrow = event.received_at, "-->"
    if not news.is_new:
        at, arrow = event.settled_at or at, "<--"
    parts = [str(iso(at)), arrow, event.webhook, event.status, event.id]
    if news.is_new:
        parts += _about_arrival(event)
    parts.append(", ".join(map(_in_short, news.targets)))
    errors = [target.error for target in news.targets if target.state in FAILED and target.error]
    if event.status == "failed" and errors:
        parts.append(f"({errors[0]})")
    return "  ".join(plain(part) for part in parts if part)


def _about_arrival(event: Event) -> Iterator[str]:
    if event.delivery_id:
        yield f"[{event.delivery_id}]"
    yield event.summary
    if event.replay_of:
        yield f"(replay of {event.replay_of})"


def _in_short(target: Target) -> str:
    state = "" if target.state == "done" else f" ({target.state})"
    return f"{target.kind} {target.workflow}{state}"


def line_of_other(one: WithoutEvent) -> str:
    """``12:00:00.123Z  ---  orders  rejected  WHY``; of a duplicate the event that it repeats."""
    parts = [str(iso(one.at)), "---", one.webhook, one.kind]
    parts.append(f"of {one.event_id}" if one.event_id is not None else one.reason)
    if one.remote is not None:
        parts.append(f"(from {one.remote})")
    return "  ".join(map(plain, parts))

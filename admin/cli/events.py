"""The commands about what was received and what is waiting: events, tasks."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from textwrap import indent
from typing import Any

import click

from admin import operations
from admin.api import objects
from admin.api.base import as_json as to_json
from admin.bridge import Bridge
from admin.cli.common import (
    LIMIT,
    Columns,
    Here,
    as_json_option,
    echo_fields,
    echo_json,
    echo_list,
    echo_table,
    echo_values,
    filter_options,
    here,
)
from admin.cli.groups import Commands, fail
from admin.cli.replay import acknowledge, erase, reopen, replay
from admin.cli.tables import compact, counted, cut, plain, pretty
from admin.events.failures import failures
from admin.events.filters import parts_of, search_of
from admin.events.follow import Follower, News
from admin.events.search import Search
from admin.events.tree import compared, differences, place
from admin.explain.explainer import Explainer
from admin.explain.results import Comparison, EventExplanation, StoryStep, answer, shown_first
from criteria.descriptions import describe_criterion
from criteria.matches import Criterion
from store.delivery_records import WithoutEvent
from store.errors import StoreUnavailable
from store.records import Event, iso
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
"""Characters of a field's path there: all rows are as wide as the widest, and a sender may choose long keys."""


# --- events -------------------------------------------------------------------------------------------------


@click.group(cls=Commands, invoke_without_command=True)
@filter_options("Only events")
@click.option("--failures", "in_groups", is_flag=True, help="Show unresolved failures by reason.")
@click.option("--before", metavar="EVENT_ID", help="Only events that arrived before this one (for paging).")
@click.option("-n", "--limit", type=LIMIT, default=50, show_default=True, help="How many at most.")
@click.option("--payloads", is_flag=True, help="With --json: each event's payload, too.")
@click.option("-f", "--follow", is_flag=True, help="Show new events, what becomes of them, and other deliveries.")
@as_json_option
@here
@click.pass_context
def events(
    ctx: click.Context,
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
    if ctx.invoked_subcommand is not None:
        return
    parts = parts_of(filters)
    search = search_of(here.bridge, parts)
    if in_groups and set(parts) - {"webhook"}:
        raise click.UsageError("--failures can only be narrowed by --webhook")
    if in_groups:
        _list_failures(here, parts.get("webhook"), as_json)
    elif not follow:
        _list_events(here, search, limit, before, as_json, payloads)
    elif before:
        raise click.UsageError("--follow shows new events: leave out --before")
    elif parts.keys() & {"status", "failure"}:
        raise click.UsageError("--follow shows each event and what becomes of it: leave out --status and --failure")
    else:
        _follow(here.bridge, search, as_json)


def _list_events(here: Here, search: Search, limit: int, before: str | None, as_json: bool, payloads: bool) -> None:
    bridge = here.bridge
    found = operations.list_events(bridge, search, limit, before)
    if as_json and payloads:
        whole = (bridge.store.queries.event(one.event_id) for one in found.events)
        echo_json([operations.show_event(bridge, event) for event in whole if event is not None])
    else:
        echo_list(found.events, _COLUMNS, "no events", as_json)
    if found.searched_to is not None:
        click.echo(
            f"searched back to {iso(found.searched_to.received_at)}; for older ones narrow the time with --since and "
            f"--until, or go on with --before {found.older}",
            err=True,
        )
    elif found.older is not None:
        click.echo(f"for older ones: --before {found.older}", err=True)


def _list_failures(here: Here, webhook: str | None, as_json: bool) -> None:
    found = failures(here.bridge, webhook)
    if as_json:
        echo_json(found)
        return
    echo_list(found.groups, _FAILURES, "no failed event is unresolved", as_json)
    if found.searched_to is not None:
        click.echo(f"only the newest {found.events} are counted, back to {iso(found.searched_to)}", err=True)
    if found.groups:
        click.echo("to list those of a group: --status unresolved --webhook WEBHOOK --failure REASON", err=True)


@events.command(short_help="Show an event: story, targets and payload.")
@click.argument("event_id")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@here
def show(here: Here, event_id: str, as_json: bool) -> None:
    """Show an event: its status and what that means, targets, headers, payload.

    For a call that will be retried, and for an event that is set aside: the reason, and when it is tried next.
    """
    bridge = here.bridge
    event = bridge.event_meant(event_id)
    if as_json:
        echo_json(operations.show_event(bridge, event))
        return
    found = Explainer(bridge).event(event, 50)
    event = bridge.shown(event)
    _echo_event(event, found.meaning, found.story)
    for name in ("enclosing", "claims", "headers", "query"):
        echo_values(name, getattr(event, name))
    click.echo("\npayload:")
    click.echo(pretty(json.loads(event.payload)))


def _echo_event(event: Event, meaning: Sequence[str], story: Iterable[StoryStep]) -> None:
    fields = {
        "event": event.id,
        "happened": event.summary or None,
        "webhook": event.webhook,
        "status": event.status,
        "received at": iso(event.received_at),
        "delivery id": event.delivery_id,
        "replay of": event.replay_of,
    }
    echo_fields(fields)
    for sentence in meaning:
        click.echo(f"  {plain(sentence)}")
    click.echo("\nstory:")
    for step in story:
        click.echo(f"  {iso(step.at)}  {plain(step.what)}")


@events.command(short_help="Explain why an event did or didn't match.")
@click.argument("event_id")
@click.option("--all", "all_tasks", is_flag=True, help="Each task by itself, those out of reach too.")
@click.option("-n", "--limit", type=LIMIT, default=200, show_default=True, help="How many tasks at most.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object per task.")
@here
def explain(here: Here, event_id: str, all_tasks: bool, limit: int, as_json: bool) -> None:
    """Explain why an event did or didn't match each waiting task.

    First the answer, then the tasks that came closest, grouped by what failed: the criteria of one of them with the
    values found. With --all each task by itself, and also those that were out of reach (not a receiver, another
    version, started later, taken by another event). For what is in doubt or set aside, because Conductor can't show
    it: the reason, and when it is tried next.
    """
    bridge = here.bridge
    found = Explainer(bridge).event(bridge.event_meant(event_id), limit)
    if as_json:
        echo_json(list(map(objects.compared_task, found.tasks)))
        return
    _echo_event(bridge.shown(found.event), (answer(found.tasks), *found.meaning), found.story)
    _echo_entries(found)
    shown, others = shown_first(found.tasks, each=all_tasks)
    for comparison, number in shown:
        task = comparison.task
        click.echo(f"\n{comparison.verdict.upper()}  task {plain(task.reference_name)} of {plain(task.workflow)}")
        click.echo(f"  task {plain(task.id)}, workflow {plain(task.workflow_id)}, since {iso(task.scheduled_at)}")
        _echo_comparison(comparison)
        if number > 1:
            click.echo(f"  and {counted(number - 1, 'more task')} like it")
    if others:
        click.echo(f"\n{counted(others, 'other task')}: --all lists them")
    if len(found.tasks) == limit:
        click.echo(f"\nOnly the closest {limit} tasks are listed; see --limit", err=True)


def _echo_entries(found: EventExplanation) -> None:
    """What the webhook's `starts` and `messages` made of the event."""
    for start in found.starts:
        version = f" version {start.entry.version}" if start.entry.version else ""
        verdict = "STARTS" if start.holds else "DOESN'T START"
        click.echo(f"\n{verdict}  {plain(start.entry.workflow)}{version}")
        _echo_criteria(start.criteria, start.reason)
        if start.input_text is not None:
            click.echo(indent(plain(f"input: {start.input_text}", lines=True), "  "))
    for one in found.messages:
        click.echo(f"\n{'SENDS' if one.holds else 'SENDS NO'} MESSAGE  to {plain(one.entry.workflow)}")
        _echo_criteria(one.criteria, one.reason)


def _echo_comparison(comparison: Comparison) -> None:
    if comparison.verdict != "differs":  # then the reason is the first criterion that doesn't hold
        click.echo(f"  {plain(comparison.reason)}")
    _echo_criteria(comparison.criteria)


def _echo_criteria(criteria: Sequence[Criterion], otherwise: str = "") -> None:
    """The criteria, or else why there are none."""
    if not criteria and otherwise:
        click.echo(f"  {plain(otherwise)}")
    for criterion in criteria:
        click.echo(f"    {'ok ' if criterion.holds else 'NOT'} {plain(describe_criterion(criterion))}")


@events.command(short_help="Compare two events, field by field.")
@click.argument("before")
@click.argument("after")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@here
def diff(here: Here, before: str, after: str, as_json: bool) -> None:
    """Compare the payloads of two events, field by field, headers and query included.

    Exits with 1 if they differ. What `hide` names is not compared.

    \b
    Example:
      webhook-bridge events diff 01935c2e-6f3a last
    """
    bridge = here.bridge
    one, other = (bridge.shown(bridge.event_meant(event_id)) for event_id in (before, after))
    for event in (one, other):
        if event.unreadable is not None:
            fail(f"event {event.id} can't be read: {event.unreadable}")
    result = differences(compared(one), compared(other))
    if as_json:
        found = [{"what": it.kind, "path": it.path, "before": it.before, "after": it.after} for it in result.found]
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
    sys.exit(1 if result.found or not result.complete else 0)


for command in (replay, acknowledge, reopen, erase):
    events.add_command(command)


# --- following ----------------------------------------------------------------------------------------------

_EVERY = 0.5
"""Seconds between two polls."""


def _follow(bridge: Bridge, query: Search, as_json: bool) -> None:
    """Prints until Ctrl-C one line for each new event, one for what becomes of it, and one for every other delivery;
    with `as_json` a JSON object per line."""
    follower = Follower(bridge, query)
    click.echo("Following new events; press Ctrl-C to stop.", err=True)
    away = False
    with suppress(KeyboardInterrupt):
        while True:
            try:
                for news in follower.look():
                    found = objects.EventNews.of(news.event, targets=news.targets, new=news.is_new)
                    click.echo(json.dumps(to_json(found)) if as_json else line_of(news))
                for other in follower.look_at_others():
                    click.echo(json.dumps(to_json(objects.WithoutEvent.of(other))) if as_json else line_of_other(other))
                if away:
                    click.echo("The store is back.", err=True)
                away = False
            except StoreUnavailable as error:
                if not away:
                    click.echo(f"The store can't be read, retrying: {plain(error)}", err=True)
                away = True
            time.sleep(_EVERY)


def line_of(news: News) -> str:
    """``12:00:00.123Z  -->  orders  pending  ID``, or ``<--`` and how an event ended that was printed before."""
    event = news.event
    at = event.received_at if news.is_new else (event.settled_at or event.received_at)
    parts = [str(iso(at)), "-->" if news.is_new else "<--", event.webhook, event.status, event.id]
    if news.is_new and event.delivery_id:
        parts.append(f"[{event.delivery_id}]")
    if news.is_new and event.summary:
        parts.append(event.summary)
    if news.is_new and event.replay_of:
        parts.append(f"(replay of {event.replay_of})")
    states = ("" if target.state == "done" else f" ({target.state})" for target in news.targets)
    targets = zip(news.targets, states, strict=True)
    parts.append(", ".join(f"{target.kind} {target.workflow}{state}" for target, state in targets))
    errors = [target.error for target in news.targets if target.state in FAILED and target.error]
    if event.status == "failed" and errors:
        parts.append(f"({errors[0]})")
    return "  ".join(plain(part) for part in parts if part)


def line_of_other(one: WithoutEvent) -> str:
    """``12:00:00.123Z  ---  orders  rejected  WHY``; of a duplicate the event that it repeats."""
    parts = [str(iso(one.at)), "---", one.webhook, one.kind]
    parts.append(f"of {one.event_id}" if one.event_id is not None else one.reason)
    if one.remote is not None:
        parts.append(f"(from {one.remote})")
    return "  ".join(map(plain, parts))


# --- tasks --------------------------------------------------------------------------------------------------


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--workflow", help="Only tasks of workflows with this name.")
@click.option("--broken", is_flag=True, help="Only tasks whose matches are missing or can't be parsed.")
@click.option("-n", "--limit", type=LIMIT, default=1000, show_default=True, help="How many at most.")
@as_json_option
@here
@click.pass_context
def tasks(ctx: click.Context, here: Here, workflow: str | None, broken: bool, limit: int, as_json: bool) -> None:
    """List waiting WAIT_FOR_WEBHOOK tasks with their matches; or show one.

    \b
    Examples:
      webhook-bridge tasks --workflow deploy
      webhook-bridge tasks show TASK_ID          which recent events came close, and what they lacked
      webhook-bridge tasks forget TASK_ID        Conductor has lost it for good: it no longer waits
    """
    if ctx.invoked_subcommand is not None:
        return
    if broken:
        found = list(map(objects.Task.of, here.bridge.broken_tasks(limit, workflow)))
    else:
        found = operations.list_tasks(here.bridge, workflow, limit)
    columns: Columns = {
        "TASK": "taskId",
        "WORKFLOW": "workflow",
        "WORKFLOW ID": "workflowId",
        "REFERENCE": "referenceName",
        "WAITING SINCE": "waitingSince",
        "MATCHES": lambda task: f"BROKEN: {task['broken']}" if "broken" in task else compact(task["matches"]),
    }
    echo_list(found, columns, "no task is known to be waiting", as_json)
    if len(found) == limit:
        click.echo(f"only {limit} tasks are listed; see --limit", err=True)


@tasks.command("forget", short_help="No longer wait for tasks that Conductor has lost.")
@click.argument("task_ids", metavar="TASK_ID...", nargs=-1, required=True)
@here
def forget_tasks(here: Here, task_ids: tuple[str, ...]) -> None:
    """No longer wait for these tasks: Conductor has lost them for good, as after a reset of its database.

    The bridge itself forgets a task that Conductor has lost only while Conductor knows others that waited before. A
    task that Conductor shows in progress is found again.
    """
    forgotten = operations.forget_tasks(here.bridge, task_ids)
    for task_id in forgotten:
        click.echo(f"{task_id} is forgotten")
    for task_id in sorted(set(task_ids).difference(forgotten)):
        click.echo(f"{task_id} does not wait", err=True)
    sys.exit(int(len(forgotten) < len(set(task_ids))))


@tasks.command("show", short_help="Show a task, and which events came close.")
@click.argument("task_id")
@click.option("-n", "--limit", type=LIMIT, default=10, show_default=True, help="How many events at most.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@here
def show_task(here: Here, task_id: str, limit: int, as_json: bool) -> None:
    """Show a task, and which recent events came closest to it: why is it still waiting?

    For a task that is set aside, because it or its workflow can't be read: the reason, and when it is tried next.
    """
    if as_json:
        echo_json(operations.show_task(here.bridge, task_id, limit))
        return
    task = here.bridge.task(task_id)
    found = Explainer(here.bridge).task(task, limit)
    fields = {
        "task": task.id,
        "reference": task.reference_name,
        "workflow": f"{task.workflow} ({task.workflow_id})",
        "state": task.state,
        "waiting since": iso(task.scheduled_at),
        "domain": task.domain,
    }
    echo_fields(fields)
    click.echo(f"  {plain(found.meaning)}\n\nmatches:\n{pretty(task.matches)}")
    if not found.near:
        click.echo("\nNo event of its webhooks is stored.")
    for comparison in found.near:
        event = comparison.event
        click.echo(
            f"\n{comparison.verdict.upper()}  event {event.id} of {plain(event.webhook)}, "
            f"{event.status}, {iso(event.received_at)}"
        )
        _echo_comparison(comparison)

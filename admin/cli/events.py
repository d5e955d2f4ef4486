"""The commands about what was received and what is waiting: events, tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from textwrap import indent
from typing import Any

import click

from admin.api import objects
from admin.api.built import whole_event
from admin.cli.acknowledge import acknowledge, reopen
from admin.cli.common import LIMIT, Here, as_json_option, echo_fields, echo_json, echo_table, echo_values, here
from admin.cli.diff import diff
from admin.cli.event_list import echo_story, filter_options, list_events, parts_given, search_for, show_failures
from admin.cli.follow import follow_events
from admin.cli.groups import Commands
from admin.cli.replay import confirm, replay_many
from admin.cli.tables import compact, counted, plain, pretty
from admin.events.erase import erase
from admin.events.replay import NeedsConfirmation
from admin.events.replay import replay as replay_event
from admin.explain.explainer import Explainer
from admin.explain.groups import answer, shown_first
from admin.explain.results import Comparison, EventExplanation
from criteria.descriptions import describe_criterion
from criteria.matches import Criterion
from store.records import Event, Task, iso

_PAGE = 500


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
      ignored    the webhook only starts workflows, and no `when` held
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
    parts = parts_given(filters)
    if in_groups:
        show_failures(here, parts, as_json)
        return
    query = search_for(here, parts)
    if follow:
        if before:
            raise click.UsageError("--follow shows new events: leave out --before")
        if query.waiting is not None:
            raise click.UsageError(
                f"--follow can't wait for {query.waiting}, which an event is only for a while: follow "
                f"--status pending, or list those that are {query.waiting} without --follow"
            )
        if query.resolved:
            raise click.UsageError(
                "--follow can't wait for resolved: a replay resolves an earlier event, and is an event of its own; "
                "follow --status delivered, or list the resolved ones without --follow"
            )
        follow_events(here.bridge, query, as_json)
        return
    list_events(here, query, before, limit, as_json, payloads)


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
        echo_json(whole_event(bridge, event))
        return
    found = Explainer(bridge).event(event, 50)
    event = bridge.shown(event)
    _echo_event(event, found.meaning)
    echo_story(found.story)
    for name, values in (
        ("enclosing", event.enclosing),
        ("claims", event.claims),
        ("headers", event.headers),
        ("query", event.query),
    ):
        echo_values(name, values)
    click.echo("\npayload:")
    click.echo(pretty(json.loads(event.payload)))


def _echo_event(event: Event, meaning: Sequence[str]) -> None:
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
    _echo_event(bridge.shown(found.event), (answer(found.tasks), *found.meaning))
    echo_story(found.story)
    _echo_starts(found)
    _echo_messages(found)
    shown, others = shown_first(found.tasks, each=all_tasks)
    for comparison, number in shown:
        _echo_task(comparison)
        if number > 1:
            click.echo(f"  and {counted(number - 1, 'more task')} like it")
    if others:
        click.echo(f"\n{counted(others, 'other task')}: --all lists them")
    if len(found.tasks) == limit:
        click.echo(f"\nOnly the closest {limit} tasks are listed; see --limit", err=True)


def _echo_task(comparison: Comparison) -> None:
    task = comparison.task
    click.echo(f"\n{comparison.verdict.upper()}  task {plain(task.reference_name)} of {plain(task.workflow)}")
    click.echo(f"  task {plain(task.id)}, workflow {plain(task.workflow_id)}, since {iso(task.scheduled_at)}")
    _echo_comparison(comparison)


def _echo_starts(found: EventExplanation) -> None:
    for start in found.starts:
        version = f" version {start.start.version}" if start.start.version else ""
        verdict = "STARTS" if start.holds else "DOESN'T START"
        click.echo(f"\n{verdict}  {plain(start.start.workflow)}{version}")
        if not start.criteria:
            click.echo(f"  {plain(start.reason)}")
        _echo_criteria(start.criteria)
        if start.input_text is not None:
            click.echo(indent(plain(f"input: {start.input_text}", lines=True), "  "))


def _echo_messages(found: EventExplanation) -> None:
    for one in found.messages:
        click.echo(f"\n{'SENDS' if one.holds else 'SENDS NO'} MESSAGE  to {plain(one.message.workflow)}")
        if not one.criteria:
            click.echo(f"  {plain(one.reason)}")
        _echo_criteria(one.criteria)


def _echo_comparison(comparison: Comparison) -> None:
    if comparison.verdict != "differs":  # then the reason is the first criterion that doesn't hold
        click.echo(f"  {plain(comparison.reason)}")
    _echo_criteria(comparison.criteria)


def _echo_criteria(criteria: Sequence[Criterion]) -> None:
    for criterion in criteria:
        click.echo(f"    {'ok ' if criterion.holds else 'NOT'} {plain(describe_criterion(criterion))}")


@events.command(short_help="Deliver events again, as new ones.")
@click.argument("event_id", required=False)
@filter_options("Many: those")
@click.option("--after", metavar="EVENT_ID", help="Many: those that arrived after this one, to continue.")
@click.option("--target", type=click.IntRange(min=1), help="One: only to this one of its targets, by its number.")
@click.option("--rate", metavar="RATE", default="20/s", show_default=True, help="The highest rate, such as 20/s.")
@click.option("--acknowledged", is_flag=True, help="Many: acknowledged ones too.")
@click.option("--dry-run", is_flag=True, help="Only show what it would do.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask, for scripts.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@here
def replay(here: Here, /, event_id: str | None, as_json: bool, **many: Any) -> None:
    """Deliver an event, or many, again, as new events that arrive now.

    A new event has the old one's payload and headers, is held as the webhook now says, and completes or starts
    whatever it matches: nothing that the old event did is undone. If it had an effect, or is pending, this says so and
    asks first. The new event's id is printed.

    With --target, whose numbers `events show` lists, the new event has only that one: the same task of the same
    workflow, or the same start. Everything else that it matches is left alone.

    Many are selected by the filter of the list, --status, --webhook, --since and so on, and replayed in the order in
    which they arrived.
    Left out are acknowledged events, those with a replay that was delivered or is pending, and those of webhooks that
    are no longer defined. It shows what it will do, and asks first if events were delivered, wholly or in part, if
    they are pending, or if they belong to several webhooks; where nobody can be asked it needs --yes. Ctrl-C stops
    between two events and prints how to continue.

    \b
    Examples:
      webhook-bridge events replay 01935c2e-6f3a-7000-8000-000000000000
      webhook-bridge events replay 01935c2e-6f3a-7000-8000-000000000000 --target 2
      webhook-bridge events replay --status failed --webhook orders --since 2h --dry-run
      webhook-bridge events replay --status failed --webhook orders --since 2h --rate 20/s
    """
    chosen_by = parts_given(many, "after")
    if event_id is None:
        if not chosen_by or many["target"] is not None:
            raise click.UsageError(
                "which events? Give EVENT_ID, or options of a filter: --status, --webhook, --since …"
            )
        replay_many(here, chosen_by, many["rate"], many["dry_run"], many["yes"], as_json, many["acknowledged"])
        return
    if chosen_by or many["dry_run"] or many["acknowledged"]:
        raise click.UsageError("EVENT_ID is one event: leave out the options that select many")
    event = here.bridge.event_meant(event_id)
    try:
        new_id = replay_event(here.bridge, event.id, many["target"], many["yes"])
    except NeedsConfirmation as error:
        confirm(f"event {event.id}: {error}", "Replay it?")
        new_id = replay_event(here.bridge, event.id, many["target"], True)
    which = f"event {event.id}" + (f", target {many['target']}" if many["target"] is not None else "")
    here.record("replayed", event.webhook, f"{which}, as {new_id}")
    if as_json:
        echo_json(objects.Replay(event_id=new_id, replay_of=event.id))
        return
    click.echo(new_id)


events.add_command(acknowledge)
events.add_command(reopen)
events.add_command(diff)


# --- tasks --------------------------------------------------------------------------------------------------


@events.command("erase", short_help="Erase an event's payload, headers and answers.")
@click.argument("event_id")
@click.option("-y", "--yes", is_flag=True, help="Don't ask, for scripts.")
@here
def erase_event(here: Here, event_id: str, yes: bool) -> None:
    """Erase what an event says, such as a person's data: payload, headers and answers.

    Its row, ids, times and targets stay, so it is still a duplicate's original. What Conductor got is Conductor's. If
    the event is being delivered right now, this waits for half a minute.
    """
    event = here.bridge.event_meant(event_id)
    if not yes:
        click.confirm(f"Erase the payload of event {event.id} of {event.webhook} for good?", abort=True, err=True)
    erase(here.bridge, event.id, patience=30.0)
    here.record("erased", event.webhook, f"event {event.id}")
    click.echo(f"{event.id} is erased")


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
    """
    if ctx.invoked_subcommand is not None:
        return
    found = _waiting(here, workflow, broken, limit)
    if as_json:
        echo_json(list(map(objects.Task.of, found)))
        return
    rows = [
        [
            task.id,
            task.workflow,
            task.workflow_id,
            task.reference_name,
            iso(task.scheduled_at),
            compact(task.matches) if task.broken is None else f"BROKEN: {task.broken}",
        ]
        for task in found
    ]
    echo_table(
        ["TASK", "WORKFLOW", "WORKFLOW ID", "REFERENCE", "WAITING SINCE", "MATCHES"],
        rows,
        "no task is known to be waiting",
    )
    if len(found) == limit:
        click.echo(f"only {limit} tasks are listed; see --limit", err=True)


def _waiting(here: Here, workflow: str | None, broken: bool, limit: int) -> list[Task]:
    if broken:
        return here.bridge.broken_tasks(limit, workflow)
    found: list[Task] = []
    while len(found) < limit and (
        page := here.store.queries.waiting_tasks(found[-1].id if found else "", _PAGE, workflow)
    ):
        found += page
    return found[:limit]


@tasks.command("show", short_help="Show a task, and which events came close.")
@click.argument("task_id")
@click.option("-n", "--limit", type=LIMIT, default=10, show_default=True, help="How many events at most.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@here
def show_task(here: Here, task_id: str, limit: int, as_json: bool) -> None:
    """Show a task, and which recent events came closest to it: why is it still waiting?

    For a task that is set aside, because it or its workflow can't be read: the reason, and when it is tried next.
    """
    bridge = here.bridge
    task = bridge.task(task_id)
    found = Explainer(bridge).task(task, limit)
    if as_json:
        echo_json(objects.whole_task(task, found))
        return
    fields = {
        "task": task.id,
        "reference": task.reference_name,
        "workflow": f"{task.workflow} ({task.workflow_id})",
        "state": task.state,
        "waiting since": iso(task.scheduled_at),
        "domain": task.domain,
    }
    echo_fields(fields)
    click.echo(f"  {plain(found.meaning)}")
    click.echo("\nmatches:")
    click.echo(pretty(task.matches))
    if not found.near:
        click.echo("\nNo event of its webhooks is stored.")
    for comparison in found.near:
        event = comparison.event
        click.echo(
            f"\n{comparison.verdict.upper()}  event {event.id} of {plain(event.webhook)}, "
            f"{event.status}, {iso(event.received_at)}"
        )
        _echo_comparison(comparison)

"""``events acknowledge`` and ``events reopen``: one event, some, or many."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import click

from admin.api.notes import NotePlan, Notes
from admin.bridge import Bridge
from admin.cli.common import Here, echo_by_webhook, echo_json, echo_left_out, here, user
from admin.cli.event_list import filter_options, parts_given
from admin.cli.event_list import matching as matching_of_filter
from admin.cli.replay import confirm
from admin.cli.tables import counted
from admin.events.acknowledge import CantNote, check_reason, note_all, plan_notes
from admin.events.replay_plan import Chosen, Plan, chosen
from store.story import Noted

_VERBS: Mapping[Noted, str] = {"acknowledged": "acknowledge", "reopened": "reopen"}


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            click.argument("event_ids", metavar="[EVENT_ID]...", nargs=-1),
            filter_options("Many: those"),
            click.option("--after", metavar="EVENT_ID", help="Many: those that arrived after this one."),
            click.option("-r", "--reason", help="Why, for others to read."),
            click.option("--dry-run", is_flag=True, help="Only show what it would do."),
            click.option("-y", "--yes", is_flag=True, help="Many: don't ask, for scripts."),
            click.option("--json", "as_json", is_flag=True, help="Print JSON."),
            here,
        )
    ):
        command = option(command)
    return command


@click.command(short_help="Acknowledge events that need nothing more.")
@_options
def acknowledge(here: Here, event_ids: tuple[str, ...], **options: Any) -> None:
    """Acknowledge events that failed, expired or were ignored: they need nothing, and no longer count as failed.

    Say why with --reason. Who did it, when and why is shown with the event, and in the list of changes. No replay of
    many takes an acknowledged event, unless it is run with --acknowledged.

    \b
    Examples:
      webhook-bridge events acknowledge 01935c2e-6f3a-7000-8000-000000000000 --reason 'refunded by hand'
      webhook-bridge events acknowledge --status failed --webhook orders --since 2h --reason 'test orders'
    """
    _run(here, "acknowledged", event_ids, **options)


@click.command(short_help="Let acknowledged events count again.")
@_options
def reopen(here: Here, event_ids: tuple[str, ...], **options: Any) -> None:
    """Reopen acknowledged events: they count as failed, expired or ignored again.

    \b
    Examples:
      webhook-bridge events reopen 01935c2e-6f3a-7000-8000-000000000000 --reason 'the customer asks again'
      webhook-bridge events reopen --status failed --webhook orders --since 2h
    """
    _run(here, "reopened", event_ids, **options)


def _run(
    here: Here,
    what: Noted,
    event_ids: tuple[str, ...],
    reason: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **many: Any,
) -> None:
    chosen_by = parts_given(many, "after")
    if bool(event_ids) == bool(chosen_by):
        raise click.UsageError(
            "EVENT_IDs are single events: leave out the options that select many"
            if event_ids
            else "which events? Give EVENT_IDs, or a filter: --status, --webhook, --since …"
        )
    try:
        text = check_reason(what, reason) if reason is not None or not dry_run else ""
    except CantNote as error:
        raise click.UsageError(f"--reason: {error}") from None
    matching = _single(here.bridge, event_ids) if event_ids else matching_of_filter(here, chosen_by)
    plan = plan_notes(matching, what)
    if dry_run or not plan.chosen:
        _say_plan(plan, what, as_json)
        sys.exit(0 if dry_run or not event_ids else 1)
    if not event_ids and not yes and plan.to_confirm:
        confirm("; ".join(plan.to_confirm), f"{_VERBS[what]} {len(plan.chosen)} events?".capitalize(), what)
    by = ", ".join(f"--{name} {value}" for name, value in chosen_by.items()) or "id"
    _say_done(note_all(here.bridge, plan, what, user(), text, by), plan, what, as_json)


def _single(bridge: Bridge, event_ids: tuple[str, ...]) -> list[Chosen]:
    events = {event.id: event for event in map(bridge.event_meant, event_ids)}
    return sorted(map(chosen, events.values()), key=lambda event: event.seq)


def _say_plan(plan: Plan, what: Noted, as_json: bool) -> None:
    if as_json:
        echo_json(NotePlan.of(plan, chosen=plan.total, to_confirm=plan.to_confirm))
        return
    events = f"{counted(len(plan.chosen), 'event')} would be" if plan.chosen else "no event can be"
    click.echo(f"{events} {what}" if plan.total else "no event matches", err=not plan.chosen)
    echo_by_webhook(plan)
    echo_left_out(plan.left_out)


def _say_done(done: Counter[str], plan: Plan, what: Noted, as_json: bool) -> None:
    if as_json:
        echo_json(Notes(chosen=plan.total, webhooks=done, changed=done.total(), left_out=plan.left_out))
        return
    click.echo(f"{done.total()} of {plan.total} events {what}")
    echo_left_out(plan.left_out)

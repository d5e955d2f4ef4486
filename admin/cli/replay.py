"""What is done with events, one or many: replay, acknowledge and reopen, erase."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from admin import operations
from admin.api.objects import ManyPlan, Notes, Replay, Replays, ReplayTo
from admin.bridge import Bridge
from admin.cli.bridges import Here, asks, here, whole_event
from admin.cli.common import Parsed, confirm, echo_json, echo_left_out, filter_options
from admin.cli.groups import fail
from admin.events.acknowledge import CantNote, check_reason, note_all, plan_notes
from admin.events.filters import parts_of, search_of
from admin.events.replay import (
    SETTLED,
    NeedsConfirmation,
    Plan,
    Progress,
    choose,
    plan_of,
    replay_all,
)
from admin.wording.terminal import plain
from config.quantities import counted, parse_rate
from store.errors import StoreUnavailable
from store.records import Event, iso
from store.story import Noted

_WHICH = "which events? Give EVENT_ID, or options of a filter: --status, --webhook, --since …"
_ONE = "EVENT_ID is one event: leave out the options that select many"


# --- replay


@click.command(short_help="Deliver events again, as new ones.")
@click.argument("event_id", required=False)
@filter_options("Many: those")
@click.option(
    "--target",
    type=click.IntRange(min=1),
    help="One: only to this one of its targets, by its number.",
)
@click.option(
    "--rate",
    type=Parsed("rate", parse_rate),
    default="20/s",
    show_default=True,
    help="The highest rate, such as 20/s.",
)
@click.option("--acknowledged", is_flag=True, help="Many: acknowledged ones too.")
@click.option("--dry-run", is_flag=True, help="Only show what it would do.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask, for scripts.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@asks
def replay(
    here: Here, /, event_id: str | None, target: int | None, yes: bool, as_json: bool, **many: Any
) -> None:
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
    between two events; run it again to continue.

    \b
    Examples:
      webhook-bridge events replay 01935c2e-6f3a-7000-8000-000000000000
      webhook-bridge events replay 01935c2e-6f3a-7000-8000-000000000000 --target 2
      webhook-bridge events replay --status failed --webhook orders --since 2h --dry-run
      webhook-bridge events replay --status failed --webhook orders --since 2h --rate 20/s
    """
    chosen_by = parts_of(many)
    if event_id is None:
        if not chosen_by or target is not None:
            raise click.UsageError(_WHICH)
        _replay_many(
            here, chosen_by, many["rate"], many["dry_run"], yes, as_json, many["acknowledged"]
        )
        return
    if chosen_by or many["dry_run"] or many["acknowledged"]:
        raise click.UsageError(_ONE)

    def once_more(bridge: Bridge) -> Replay:
        try:
            return operations.replay_event(bridge, event_id, ReplayTo(target=target, confirm=yes))
        except NeedsConfirmation as error:
            confirm(f"event {bridge.event_meant(event_id).id}: {error}", "Replay it?")
            return operations.replay_event(bridge, event_id, ReplayTo(target=target, confirm=True))

    made = here.ask(
        "POST events/{event_id}/replay", once_more, event_id=event_id, target=target, confirm=yes
    )
    if as_json:
        echo_json(made)
    else:
        click.echo(made["eventId"])


def _replay_many(
    here: Here,
    chosen_by: Mapping[str, str],
    rate: float,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    acknowledged: bool,
) -> None:
    """Replays the events that match; exits with 1 if it was stopped or some couldn't be replayed."""
    bridge = here.bridge
    plan = plan_of(bridge, choose(bridge, search_of(here.bridge, chosen_by)), acknowledged)
    if dry_run or not plan.total:
        _say_plan(plan, "would be replayed", as_json)
        return
    _say_plan(plan, "will be replayed", to_stderr=True)
    if not yes:
        _confirm(plan, "Replay them?", "replayed")
    progress = Progress(plan.total, plan.left_out)
    stopped: str | None = None
    stop = threading.Event()
    # Not as an exception, which could be raised between a commit and its count.
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        by = _words_of(chosen_by)
        steps = replay_all(bridge, plan, rate, stop.wait, stop.is_set, acknowledged, chosen_by=by)
        with click.progressbar(steps, length=plan.total, file=sys.stderr) as shown:
            for step in shown:
                progress = step
        if progress.done < progress.total:
            stopped = "stopped"
    except StoreUnavailable as error:
        stopped = f"the store can't be used: {error}"
    finally:
        signal.signal(signal.SIGINT, before)
    _say_end(progress, stopped, as_json)


def _confirm(plan: Plan, question: str, done: str) -> None:
    if plan.to_confirm:
        confirm("; ".join(plan.to_confirm), question, done)


def _words_of(chosen_by: Mapping[str, str]) -> str:
    return ", ".join(f"--{name} {value}" for name, value in chosen_by.items())


def _say_end(progress: Progress, stopped: str | None, as_json: bool) -> None:
    replayed = progress.replayed.total()
    if as_json:
        echo_json(
            Replays.of(
                progress,
                chosen=progress.total,
                webhooks=progress.replayed,
                replayed=replayed,
                stopped=stopped,
            )
        )
    else:
        click.echo(f"{replayed} of {progress.total} events replayed")
        echo_left_out(progress.left_out)
    if stopped is not None:
        fail(f"{stopped}: {progress.total - progress.done} are left; run it again to continue")
    if not SETTLED.issuperset(progress.left_out):
        sys.exit(1)


# --- acknowledge and reopen


def _noting(command: Callable[..., None]) -> Callable[..., None]:
    """The options of both commands."""
    for option in reversed(
        (
            click.argument("event_ids", metavar="[EVENT_ID]...", nargs=-1),
            filter_options("Many: those"),
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
@_noting
def acknowledge(here: Here, **options: Any) -> None:
    """Acknowledge events that failed, expired or were ignored: they need nothing, and no longer count as failed.

    Say why with --reason. Who did it, when and why is shown with the event, and in the list of changes. No replay of
    many takes an acknowledged event, unless it is run with --acknowledged.

    \b
    Examples:
      webhook-bridge events acknowledge 01935c2e-6f3a-7000-8000-000000000000 --reason 'refunded by hand'
      webhook-bridge events acknowledge --status failed --webhook orders --since 2h --reason 'test orders'
    """
    _note(here, "acknowledged", "Acknowledge", **options)


@click.command(short_help="Let acknowledged events count again.")
@_noting
def reopen(here: Here, **options: Any) -> None:
    """Reopen acknowledged events: they count as failed, expired or ignored again.

    \b
    Examples:
      webhook-bridge events reopen 01935c2e-6f3a-7000-8000-000000000000 --reason 'the customer asks again'
      webhook-bridge events reopen --status failed --webhook orders --since 2h
    """
    _note(here, "reopened", "Reopen", **options)


def _note(
    here: Here,
    what: Noted,
    verb: str,
    event_ids: tuple[str, ...],
    reason: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **many: Any,
) -> None:
    chosen_by = parts_of(many)
    if bool(event_ids) == bool(chosen_by):
        raise click.UsageError(_ONE if event_ids else _WHICH)
    text = _reason_given(what, reason, dry_run)
    events = _named(here.bridge, event_ids)
    if not event_ids:
        events = choose(here.bridge, search_of(here.bridge, chosen_by))
    plan = plan_notes(events, what)
    if dry_run or not plan.chosen:
        _say_plan(plan, f"would be {what}", as_json, to_stderr=not dry_run)
        sys.exit(bool(event_ids) and not dry_run)
    if not (event_ids or yes):
        _confirm(plan, f"{verb} {len(plan.chosen)} events?", what)
    done = note_all(here.bridge, plan, what, text, _words_of(chosen_by) or "id")
    if as_json:
        echo_json(
            Notes(chosen=plan.total, webhooks=done, changed=done.total(), left_out=plan.left_out)
        )
        return
    click.echo(f"{done.total()} of {plan.total} events {what}")
    echo_left_out(plan.left_out)


def _named(bridge: Bridge, event_ids: Sequence[str]) -> list[Event]:
    """The events, oldest first."""
    found = {event.id: event for event in map(bridge.event_meant, event_ids)}
    return sorted(found.values(), key=lambda event: event.seq)


def _reason_given(what: Noted, reason: str | None, dry_run: bool) -> str:
    if dry_run and reason is None:
        return ""
    try:
        return check_reason(what, reason)
    except CantNote as error:
        raise click.UsageError(f"--reason: {error}") from None


# --- what both say


def _say_plan(plan: Plan, will_be: str, as_json: bool = False, to_stderr: bool = False) -> None:
    """How many events of each webhook and status, and how many are left out."""
    if as_json:
        echo_json(ManyPlan.of(plan, chosen=plan.total))
        return
    if not plan.total:
        click.echo("no event matches", err=True)
        return
    arrived = ""
    if plan.chosen:
        arrived = (
            f", which arrived from {iso(plan.chosen[0].received_at)} to"
            f" {iso(plan.chosen[-1].received_at)}"
        )
    click.echo(f"{counted(len(plan.chosen), 'event')} {will_be}{arrived}", err=to_stderr)
    for webhook, statuses in plan.by_webhook.items():
        each = ", ".join(f"{number} {status}" for status, number in sorted(statuses.items()))
        click.echo(f"  {plain(webhook)}: {each}", err=to_stderr)
    echo_left_out(plan.left_out, to_stderr)


# --- erase


@click.command(short_help="Erase an event's payload, headers and answers.")
@click.argument("event_id")
@click.option("-y", "--yes", is_flag=True, help="Don't ask, for scripts.")
@asks
def erase(here: Here, event_id: str, yes: bool) -> None:
    """Erase what an event says, such as a person's data: payload, headers and answers.

    Its row, ids, times and targets stay, so it is still a duplicate's original. What Conductor got
    is Conductor's. If the event is being delivered right now, this waits for half a minute.
    """
    event = whole_event(here, event_id)
    found = event["eventId"]
    if not yes:
        webhook = plain(event["webhook"])
        click.confirm(
            f"Erase the payload of event {found} of {webhook} for good?", abort=True, err=True
        )
    here.ask(
        "POST events/{event_id}/erase",
        lambda bridge: operations.erase_event(bridge, found, patience=30.0),
        event_id=found,
    )
    click.echo(f"{found} is erased")

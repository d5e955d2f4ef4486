"""``events replay`` of many: shows what it will do, asks, shows progress, and can be stopped and continued."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import click

from admin.api.objects import ReplayPlan, Replays
from admin.cli.common import Here, echo_by_webhook, echo_json, echo_left_out
from admin.cli.event_list import matching
from admin.cli.groups import fail
from admin.cli.tables import counted
from admin.events.replay import Progress, replay_all
from admin.events.replay_plan import SETTLED, Plan, plan_of
from config.rates import parse_rate
from store.errors import StoreUnavailable
from store.records import iso

_SAY_EVERY = 2.0
"""Seconds between lines of progress where there is no terminal."""


def replay_many(
    here: Here,
    chosen_by: Mapping[str, Any],
    rate: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    acknowledged: bool = False,
) -> None:
    """Replays the events that match; exits with 1 if it was stopped or some couldn't be replayed."""
    try:
        per_second = parse_rate(rate)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    bridge = here.bridge
    plan = plan_of(bridge, matching(here, chosen_by), acknowledged)
    if dry_run or not plan.total:
        _say_dry(plan, as_json)
        return
    _say_plan(plan, "will be", to_stderr=True)
    if plan.to_confirm and not yes:
        confirm("; ".join(plan.to_confirm), "Replay them?")
    progress = Progress(plan.total, plan.left_out)
    stopped: str | None = None
    said = time.monotonic()
    on_terminal = sys.stderr.isatty()
    stop = threading.Event()
    # Not as an exception, which could be raised between a commit and its count.
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        for progress in replay_all(bridge, plan, per_second, stop.wait, stop.is_set, acknowledged=acknowledged):
            if on_terminal:
                click.echo(f"\r{progress.done} of {progress.total}", err=True, nl=False)
            elif time.monotonic() - said > _SAY_EVERY:
                said = time.monotonic()
                click.echo(f"{progress.done} of {progress.total}", err=True)
        if progress.done < progress.total:
            stopped = "stopped"
    except StoreUnavailable as error:
        stopped = f"the store can't be used: {error}"
    finally:
        signal.signal(signal.SIGINT, before)
    if on_terminal:
        click.echo(err=True)
    for webhook, number in sorted(progress.replayed.items()):
        text = f"{number} events, by --" + ", --".join(f"{name} {value}" for name, value in chosen_by.items())
        try:
            here.record("replayed", webhook, text)
        except StoreUnavailable:
            break
    _say_end(progress, stopped, as_json)


def confirm(reason: str, question: str, done: str = "replayed") -> None:
    """Returns if the answer is yes. Exits with 2 if nobody can be asked."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"nothing was {done}: {reason}. To do it anyway, add --yes")
    click.confirm(f"{reason}.\n{question}", abort=True, err=True)


def _say_dry(plan: Plan, as_json: bool) -> None:
    if as_json:
        webhooks = {name: sum(statuses.values()) for name, statuses in plan.by_webhook.items()}
        echo_json(ReplayPlan.of(plan, chosen=plan.total, webhooks=webhooks, replayed=0))
    elif not plan.total:
        click.echo("no event matches", err=True)
    else:
        _say_plan(plan, "would be", to_stderr=False)


def _say_plan(plan: Plan, will_be: str, to_stderr: bool) -> None:
    arrived = ""
    if len(plan.chosen) == 1:
        arrived = f", which arrived at {iso(plan.chosen[0].received_at)}"
    elif plan.chosen:
        arrived = f", which arrived from {iso(plan.chosen[0].received_at)} to {iso(plan.chosen[-1].received_at)}"
    events = counted(len(plan.chosen), "event")
    click.echo(f"{events} {will_be} replayed{arrived}", err=to_stderr)
    echo_by_webhook(plan, to_stderr)
    echo_left_out(plan.left_out, to_stderr)


def _say_end(progress: Progress, stopped: str | None, as_json: bool) -> None:
    replayed = progress.replayed.total()
    if as_json:
        echo_json(
            Replays(
                chosen=progress.total,
                webhooks=progress.replayed,
                replayed=replayed,
                left_out=progress.left_out,
                last=progress.last,
                stopped=stopped,
            )
        )
    else:
        click.echo(f"{replayed} of {progress.total} events replayed")
        echo_left_out(progress.left_out)
    if stopped is not None:
        rest = f"; to continue, add --after {progress.last}" if progress.last else ""
        fail(f"{stopped}: {progress.total - progress.done} are left{rest}")
    if not SETTLED.issuperset(progress.left_out):
        sys.exit(1)

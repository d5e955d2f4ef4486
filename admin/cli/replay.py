"""``events replay`` of many: counts them, shows progress, and can be stopped and continued."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import click

from admin.api.objects import ReplayPlan, Replays
from admin.cli.common import Here, check_webhook, echo_json, fail, me
from admin.events.replay import Progress, choose, replay_all
from config.durations import parse_duration
from config.rates import parse_rate
from store.errors import StoreUnavailable
from store.records import Change, EventFilter, iso

_SAY_EVERY = 2.0
"""Seconds between lines of progress where there is no terminal."""


def replay_many(here: Here, chosen_by: Mapping[str, Any], rate: str, dry_run: bool, as_json: bool) -> None:
    """Replays the events that match; exits with 1 if it was stopped or some couldn't be replayed."""
    try:
        per_second = parse_rate(rate)
        since = parse_duration(chosen_by["since"]) if "since" in chosen_by else None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    bridge = here.bridge
    check_webhook(here, chosen_by.get("webhook"))
    after = bridge.event_meant(chosen_by["after"]).seq if "after" in chosen_by else 0
    query = EventFilter(chosen_by.get("webhook"), chosen_by.get("status"), text=chosen_by.get("text"))
    began = here.store.now() - int(since * 1000) if since is not None else None
    chosen = choose(bridge, query, began, after)
    if dry_run or not chosen:
        _say_dry(chosen, as_json)
        return
    progress = Progress(len(chosen))
    stopped: str | None = None
    said = time.monotonic()
    on_terminal = sys.stderr.isatty()
    stop = threading.Event()
    # Not as an exception, which could be raised between a commit and its count.
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        for progress in replay_all(bridge, chosen, per_second, stop.wait, stop.is_set):
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
            here.store.changes.record(Change(here.store.now(), me(), "replayed", webhook, text))
        except StoreUnavailable:
            break
    _say_end(progress, stopped, as_json)


def _say_dry(chosen: Any, as_json: bool) -> None:
    by_webhook: dict[str, int] = {}
    for event in chosen:
        by_webhook[event.webhook] = by_webhook.get(event.webhook, 0) + 1
    if as_json:
        echo_json(ReplayPlan(chosen=len(chosen), webhooks=by_webhook, replayed=0))
        return
    if not chosen:
        click.echo("no event matches", err=True)
        return
    each = ", ".join(f"{name} {number}" for name, number in sorted(by_webhook.items()))
    click.echo(
        f"{len(chosen)} events would be replayed ({each}), which arrived from {iso(chosen[0].received_at)} "
        f"to {iso(chosen[-1].received_at)}"
    )


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
        for reason, number in progress.left_out.items():
            click.echo(f"{number} were not: {reason}", err=True)
    if stopped is not None:
        rest = f"; to continue, add --after {progress.last}" if progress.last else ""
        fail(f"{stopped}: {progress.total - progress.done} are left{rest}")
    if progress.left_out:
        sys.exit(1)

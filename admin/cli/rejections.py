"""The commands about rejected deliveries: list, show, retry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import click

from admin import operations
from admin.api.objects import KeptRejection
from admin.bridge import Bridge
from admin.cli.bridges import Here, asks, here
from admin.cli.common import (
    DURATION,
    LIMIT,
    as_json_option,
    complete_webhook,
    confirm,
    echo_fields,
    echo_json,
    echo_left_out,
    echo_list,
    echo_values,
)
from admin.cli.groups import Commands, fail
from admin.events.filters import check_webhook
from admin.events.kept_rejections import ALL, KeptRejections, RetryOfMany
from admin.wording.terminal import plain, pretty
from store.delivery_records import RawDelivery

_COLUMNS = {
    "AT": "at",
    "WEBHOOK": "webhook",
    "METHOD": "method",
    "ANSWER": "status",
    "FROM": "remote",
    "KEPT": "keptId",
    "REASON": "reason",
}


@click.group(cls=Commands, invoke_without_command=True)
@click.option(
    "-w", "--webhook", shell_complete=complete_webhook, help="Only those of this webhook."
)
@click.option("-n", "--limit", type=LIMIT, default=50, show_default=True, help="How many at most.")
@click.option("--filtered", is_flag=True, help="Show those that `only` filtered out instead.")
@as_json_option
@asks
def rejections(here: Here, webhook: str | None, limit: int, filtered: bool, as_json: bool) -> None:
    """List the newest rejected deliveries, with the reasons that their senders aren't told; show or retry one.

    A webhook with `keep_rejected` keeps them with their bytes, under the id in the column KEPT. Once its secret is
    corrected, they can be verified again.

    \b
    Examples:
      webhook-bridge rejections --webhook github-deploys
      webhook-bridge rejections show 01935c2e-6f3a-7000-8000-000000000000
      webhook-bridge rejections retry --webhook github-deploys --since 2h --dry-run
    """
    found = here.ask(
        "GET rejections",
        lambda bridge: operations.list_rejections(bridge, webhook, limit, filtered),
        webhook=webhook,
        limit=limit,
        filtered=filtered,
    )
    echo_list(found, _COLUMNS, "none filtered" if filtered else "no rejections", as_json)
    if len(found) == limit:
        click.echo(f"only the newest {limit} are listed; see --limit", err=True)


@rejections.command(short_help="Show a rejected delivery that was kept.")
@click.argument("kept_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@asks
def show(here: Here, kept_id: str, as_json: bool) -> None:
    """Show a rejected delivery that was kept, and whether it would be accepted now.

    Its signature isn't shown, nor what `hide` names, nor a body that can't be read. Its content is
    unproven.
    """

    def kept(bridge: Bridge) -> KeptRejection:
        shown = KeptRejections(bridge).shown(kept_id)
        return KeptRejection.of(shown, shown.delivery)

    found = here.ask("GET rejections/{kept_id}", kept, kept_id=kept_id)
    if as_json:
        echo_json(found)
        return
    event_id, still_rejected = found["eventId"], found["stillRejected"]
    now = f"still rejected: {still_rejected}" if still_rejected else "it would be accepted"
    if event_id is not None:
        now = f"accepted, as event {event_id}"
    fields = {
        "id": found["keptId"],
        "webhook": found["webhook"],
        "arrived at": found["at"],
        "from": found["remote"],
        "method": found["method"],
        "rejected": f"{found['status']}: {found['reason']}",
        "now": now,
    }
    echo_fields(fields)
    echo_values("headers", found["headers"])
    echo_values("query", found["query"])
    if found["payload"] is not None:
        click.echo(f"\npayload (not proven):\n{pretty(found['payload'])}")
    elif event_id is None:
        click.echo(f"\nThe body ({found['size']} bytes) can't be read, or must not be shown.")


@rejections.command(short_help="Verify rejected deliveries again.")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option(
    "-w", "--webhook", shell_complete=complete_webhook, help="Many: those of this webhook."
)
@click.option(
    "--since", type=DURATION, help="Many: those that arrived within the last DURATION, such as 2h."
)
@click.option("--dry-run", is_flag=True, help="Only show what it would do.")
@click.option("-y", "--yes", is_flag=True, help="Many: don't ask, for scripts.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@here
def retry(
    here: Here,
    ids: tuple[str, ...],
    webhook: str | None,
    since: float | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Verify rejected deliveries again, with today's definition, and accept those that pass.

    They become events that arrive now, in the order in which they came. A signed time must have been fresh when the
    delivery arrived: what was rejected for its age stays rejected. Deliveries that their sender has sent
    again, or that somebody has retried, are left out. Exits with 1 if one that was named is still rejected.

    \b
    Examples:
      webhook-bridge rejections retry 01935c2e-6f3a-7000-8000-000000000000
      webhook-bridge rejections retry --webhook github-deploys --since 2h --dry-run
    """
    if bool(ids) == (webhook is not None):
        raise click.UsageError("which deliveries? Give their IDs, or --webhook")
    if since is not None and webhook is None:
        raise click.UsageError("--since goes with --webhook")
    kept = KeptRejections(here.bridge)
    plan = kept.plan(_chosen(here, kept, ids, webhook, since))
    if dry_run or not plan.ready:
        would_be = {webhook or "": len(plan.ready)} if plan.ready else {}
        found = RetryOfMany(accepted=would_be, left_out=plan.refused, event_ids=[])
        _say(found, "would be accepted", as_json)
    else:
        if webhook is not None and not yes:
            _confirm(len(plan.ready), webhook)
        done = kept.retry(plan.ready, ", ".join(ids) or ALL)
        left_out = Counter(done.left_out) + plan.refused
        _say(done.model_copy(update={"left_out": left_out}), "accepted", as_json)
    rejected = sorted({*ids} - {*plan.ready})
    if rejected:
        fail(f"still rejected: {', '.join(rejected)}")


def _chosen(
    here: Here, kept: KeptRejections, ids: tuple[str, ...], webhook: str | None, since: float | None
) -> Iterable[RawDelivery]:
    if webhook is None:
        return map(kept.delivery, sorted({*ids}))
    check_webhook(here.bridge, webhook)
    return kept.of(webhook, 0 if since is None else here.store.now() - int(since * 1000))


def _confirm(number: int, webhook: str) -> None:
    which, would = "rejected deliveries", "become events"
    if number == 1:
        which, would = "rejected delivery", "becomes an event"
    confirm(f"{number} {which} of {plain(webhook)} {would}", "Retry?", "accepted")


def _say(found: RetryOfMany, what: str, as_json: bool) -> None:
    if as_json:
        echo_json(found)
        return
    number = sum(found.accepted.values())
    click.echo(f"{number} rejected deliver{'y' if number == 1 else 'ies'} {what}")
    for event_id in found.event_ids:
        click.echo(f"  event {event_id}")
    echo_left_out(found.left_out)

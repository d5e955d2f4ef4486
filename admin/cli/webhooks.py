"""The commands about webhooks and their definitions: webhooks, pause, resume, schema, import."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TextIO

import click
from pydantic import ValidationError

from admin import operations
from admin.api.objects import WebhookStatus
from admin.api_object import as_json as to_json
from admin.api_object import what_is_wrong
from admin.bridge import Bridge, webhook_of
from admin.cli.bridges import Here, asks, here
from admin.cli.common import (
    as_json_option,
    complete_webhook,
    echo_fields,
    echo_json,
    echo_list,
    secret_given,
)
from admin.cli.groups import Commands, fail
from admin.definitions.rotation import remove_old
from admin.definitions.rotation import rotate as rotate_proof
from admin.definitions.schema import json_schema
from admin.definitions.writer import DefinitionsFolder, Written
from admin.errors import NotFound
from admin.orkes.importing import convert, read_webhooks, to_yaml
from admin.urls import url_of
from admin.wording.terminal import plain
from config.webhooks import Webhook
from platforms import PLATFORMS
from store.errors import StoreMissing

_LISTED = ("name", "url", "platform", "status", "verifiedAt", "pausedAt")


@click.group(cls=Commands, invoke_without_command=True)
@as_json_option
@asks
def webhooks(here: Here, as_json: bool) -> None:
    """List the webhooks: name, URL, platform, and since when each has been verified; or show, rotate or delete one.

    Enter the URL at the platform: it is BRIDGE_PUBLIC_URL and the webhook's path. A webhook is Unverified until its
    first valid delivery or an answered challenge, and again whenever its verifier or secret changes.

    \b
    Examples:
      webhook-bridge webhooks
      webhook-bridge webhooks show github-deploys      what to enter at the platform, and its YAML
      webhook-bridge webhooks rotate github-deploys    a new secret, beside the old one
    """
    try:
        found = here.ask("GET webhooks", operations.list_webhooks)
    except StoreMissing as error:
        click.echo(f"note: {error}; so nothing is verified yet", err=True)
        found = to_json([_unverified(webhook, here) for webhook in here.readable.webhooks])
    found = [{name: webhook[name] for name in _LISTED if name in webhook} for webhook in found]
    errors = here.definitions_errors()
    for problem in errors:
        click.echo(plain(problem), err=True)
    columns = {
        "NAME": "name",
        "URL": "url",
        "PLATFORM": "platform",
        "STATUS": "status",
        "VERIFIED AT": "verifiedAt",
    }
    if any("pausedAt" in webhook for webhook in found):
        columns["PAUSED AT"] = "pausedAt"
    echo_list(found, columns, "no webhooks are defined", as_json)
    sys.exit(bool(errors))


def _unverified(webhook: Webhook, here: Here) -> WebhookStatus:
    return WebhookStatus.of(webhook, url=url_of(webhook, here.settings), verified_at=None)


@webhooks.command(short_help="Show a webhook: setup and definition.")
@click.argument("webhook", shell_complete=complete_webhook)
@as_json_option
@asks
def show(here: Here, webhook: str, as_json: bool) -> None:
    """Show a webhook: its URL, what to enter at the platform, and its definition, without secrets."""
    found = here.ask(
        "GET webhooks/{name}", lambda bridge: operations.show_webhook(bridge, webhook), name=webhook
    )
    if as_json:
        echo_json(found)
        return
    for name, field in {
        "webhook": "name",
        "URL": "url",
        "platform": "platform",
        "setup": "setup",
    }.items():
        echo_fields({name: found[field] or None})
    echo_fields({"try it": found["howToTry"]})
    for problem in found["errors"]:
        click.echo(plain(problem), err=True)
    if found["definition"] is not None:
        click.echo(plain(f"\n{found['definition'].rstrip()}", lines=True))


@webhooks.command(short_help="Put a new secret before the old one.")
@click.argument("webhook", shell_complete=complete_webhook)
@click.option("--header", help="The header whose value is rotated, instead of the secret.")
@click.option("--secret", metavar="@FILE|-|TEXT", help="The new value; by default one is made up.")
@click.option(
    "--forget", is_flag=True, help="Remove the old one instead, once the sender uses the new one."
)
@here
def rotate(here: Here, webhook: str, header: str | None, secret: str | None, forget: bool) -> None:
    """Rotate a webhook's secret, or a header's value: the new one and the old one count until `--forget`.

    A value that is made up here is printed once.

    \b
    Example:
      webhook-bridge webhooks rotate orders --header X-Api-Key
      webhook-bridge webhooks rotate orders --header X-Api-Key --forget
    """
    written, folder = _written(here, webhook), _folder(here)
    if forget:
        remove_old(here.bridge, folder, written, header, written.version)
        click.echo("only the newest counts now")
        return
    rotated = rotate_proof(
        here.bridge, folder, written, header, secret_given(secret), written.version
    )
    if rotated.made_up is not None:
        click.echo(rotated.made_up)
    if rotated.added:
        return
    when = "the sender uses the new one"
    if "callback" in written.keys:
        when = "the URLs made with the old one have expired"
    click.echo(f"both count now; once {when}, run this again with --forget", err=True)


@webhooks.command(short_help="Delete a webhook.")
@click.argument("webhook", shell_complete=complete_webhook)
@click.option("-y", "--yes", is_flag=True, help="Don't ask, for scripts.")
@here
def delete(here: Here, webhook: str, yes: bool) -> None:
    """Delete a webhook's definition, and the files of its secrets. Its events stay until they are
    pruned."""
    written = _written(here, webhook)
    if not yes:
        click.confirm(f"Delete {webhook} from {written.file}?", abort=True, err=True)
    _folder(here).delete(webhook, written.version)
    with suppress(StoreMissing):  # before the first start
        operations.record_webhook(here.bridge, "deleted", webhook)
    click.echo(plain(f"{webhook} is deleted"))


def _folder(here: Here) -> DefinitionsFolder:
    return DefinitionsFolder(here.settings.bridge_webhooks)


def _written(here: Here, name: str) -> Written:
    """The webhook as it is written in a folder. Raises CantWrite; exits if there is none."""
    folder = _folder(here)
    folder.check_writable()
    written = folder.find(name)
    if written is None:
        webhook_of(here.readable, name)
        raise NotFound(f"{name} is written nowhere in {here.settings.bridge_webhooks}")
    return written


@click.command()
@click.argument("webhook", shell_complete=complete_webhook)
@asks
def pause(here: Here, webhook: str) -> None:
    """Accept the webhook's deliveries, but decide nothing until it is resumed.

    For a maintenance window of the systems that its workflows use. Deliveries are verified, stored and answered as
    usual. Calls to Conductor that were already decided are still made.

    \b
    Example:
      webhook-bridge pause orders
    """
    here.ask(
        "POST webhooks/{name}/pause", lambda bridge: operations.pause(bridge, webhook), name=webhook
    )
    remedy = f"webhook-bridge resume {webhook}"
    click.echo(plain(f"{webhook} is paused: deliveries are accepted, nothing is decided; {remedy}"))


@click.command()
@click.argument("webhook", shell_complete=complete_webhook)
@asks
def resume(here: Here, webhook: str) -> None:
    """Resume a paused webhook, beginning with what arrived in the meantime.

    As after a downtime of the bridge, events are decided in order, and a task that started waiting within an event's
    hold still takes it, even if the hold has ended by now.

    \b
    Example:
      webhook-bridge resume orders
    """

    def resumed(bridge: Bridge) -> None:
        if not operations.resume(bridge, webhook):
            fail(
                f"{webhook} isn't paused; paused webhooks:"
                f" {', '.join(bridge.store.pauses.paused()) or 'none'}"
            )

    here.ask("POST webhooks/{name}/resume", resumed, name=webhook)
    click.echo(plain(f"{webhook} is resumed"))


@click.command()
def schema() -> None:
    """Print the JSON Schema of the YAML, for editors.

    The first line of the shipped config/webhooks.yaml refers to it, so that editors complete and check as you type.

    \b
    Example:
      webhook-bridge schema > config/webhooks.schema.json
    """
    click.echo(json.dumps(json_schema(PLATFORMS), indent=2))


@click.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8"))
def import_(file: TextIO) -> None:
    """Turn the webhook JSON of Orkes Conductor into YAML.

    FILE is what Orkes' `GET /api/metadata/webhook` returns (or one webhook of it); `-` reads standard input. The
    YAML goes to standard output: it can be one more file of the folder BRIDGE_WEBHOOKS. No secret is copied: each
    becomes a ${NAME}, and the variables to set are listed on stderr and next to each webhook.

    \b
    Examples:
      curl -s -H "X-Authorization: $TOKEN" https://ORKES/api/metadata/webhook > orkes.json
      webhook-bridge import orkes.json > webhooks/orkes.yaml
    """
    try:
        made = convert(read_webhooks(file.read()))
        click.echo(plain(to_yaml(made), lines=True), nl=False)
    except UnicodeDecodeError:
        fail(f"{file.name} isn't UTF-8; save it as UTF-8 (PowerShell's > writes UTF-16)")
    for one in made:
        for variable, what in one.variables.items():
            click.echo(plain(f"set {variable}: {what}"), err=True)
    unsafe = [one for one in made if one.unsafe]
    for one in unsafe:
        click.echo(plain(f"{one.keys['name']}: {one.notes[-1]}"), err=True)
    sys.exit(bool(unsafe))


@click.command()
@click.argument("webhook", shell_complete=complete_webhook)
@click.option(
    "--workflow", "workflow_id", required=True, metavar="ID", help="The id of the workflow."
)
@click.option("--task", required=True, metavar="REF", help="The reference name of its task.")
@click.option(
    "--iteration", type=click.IntRange(min=1), help="Of a task in a loop: which iteration's."
)
@click.option(
    "--expires", metavar="2h", help="How long it can be used; by default as the definition says."
)
@as_json_option
@asks
def callback(
    here: Here,
    webhook: str,
    workflow_id: str,
    task: str,
    iteration: int | None,
    expires: str | None,
    as_json: bool,
) -> None:
    """Make a URL that completes one task, once.

    Whoever has the URL can complete the task: a body that is posted to it becomes the task's output, and a browser
    shows a page with a button. It works for tasks of any type, and for those that are to come. The webhook needs
    `callback: {secret: ${NAME}}`. Only the URL goes to standard output.

    \b
    Examples:
      webhook-bridge callback approvals --workflow 7d0c3a30-… --task approve
      webhook-bridge callback approvals --workflow 7d0c3a30-… --task approve --iteration 2 --expires 2h
    """
    asked = {
        "webhook": webhook,
        "workflowId": workflow_id,
        "task": task,
        "iteration": iteration,
        "expires": expires,
    }
    try:
        made = here.ask(
            "POST callbacks",
            lambda bridge: operations.make_callback(
                bridge, operations.ToCallBack.model_validate(asked)
            ),
            **asked,
        )
    except ValidationError as error:
        raise click.UsageError(f"--{what_is_wrong(error, ())}") from None
    if as_json:
        echo_json(made)
        return
    click.echo(made["url"])
    click.echo(plain(f"until {made['expiresAt']}"), err=True)

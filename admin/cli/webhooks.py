"""The commands about webhooks and their definitions: webhooks, pause, resume, schema, import."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TextIO

import click
from pydantic import ValidationError

from admin import operations
from admin.api.base import what_is_wrong
from admin.api.objects import WebhookStatus
from admin.bridge import webhook_of
from admin.cli.common import (
    Here,
    as_json_option,
    complete_webhook,
    echo_fields,
    echo_json,
    echo_list,
    here,
    secret_given,
)
from admin.cli.groups import Commands, fail
from admin.cli.tables import plain
from admin.definitions.rotation import remove_old
from admin.definitions.rotation import rotate as rotate_proof
from admin.definitions.schema import json_schema
from admin.definitions.writer import DefinitionsFolder, Written
from admin.errors import NotFound
from admin.orkes.importing import convert, read_webhooks, to_yaml
from admin.setup_steps import as_text, how_to_try, setup_steps
from admin.urls import url_of
from platforms import PLATFORMS
from platforms.guide import guides
from store.errors import StoreMissing
from store.records import iso


@click.group(cls=Commands, invoke_without_command=True)
@as_json_option
@here
@click.pass_context
def webhooks(ctx: click.Context, here: Here, as_json: bool) -> None:
    """List the webhooks: name, URL, platform, and since when each has been verified; or show, rotate or delete one.

    Enter the URL at the platform: it is BRIDGE_PUBLIC_URL and the webhook's path. A webhook is Unverified until its
    first valid delivery or an answered challenge, and again whenever its verifier or secret changes.

    \b
    Examples:
      webhook-bridge webhooks
      webhook-bridge webhooks show github-deploys      what to enter at the platform, and its YAML
      webhook-bridge webhooks rotate github-deploys    a new secret, beside the old one
    """
    if ctx.invoked_subcommand is not None:
        return
    definitions = here.readable
    verified: dict[str, int | None] = {}
    paused: dict[str, int] = {}
    try:
        verified, paused = here.bridge.verified_at(), here.store.pauses.paused()
    except StoreMissing as error:
        click.echo(f"note: {error}; so nothing is verified yet", err=True)
    found = [
        WebhookStatus.of(
            webhook,
            url=url_of(webhook, here.settings),
            verified_at=verified.get(webhook.name),
            paused_at=paused.get(webhook.name),
        )
        for webhook in definitions.webhooks
    ]
    for problem in definitions.errors:
        click.echo(plain(problem), err=True)
    columns = {"NAME": "name", "URL": "url", "PLATFORM": "platform", "STATUS": "status", "VERIFIED AT": "verifiedAt"}
    echo_list(found, columns | ({"PAUSED AT": "pausedAt"} if paused else {}), "no webhooks are defined", as_json)
    sys.exit(bool(definitions.errors))


@webhooks.command(short_help="Show a webhook: setup and definition.")
@click.argument("webhook", shell_complete=complete_webhook)
@here
def show(here: Here, webhook: str) -> None:
    """Show a webhook: its URL, what to enter at the platform, and its definition, without secrets."""
    definition = webhook_of(here.readable, webhook)
    url = url_of(definition, here.settings)
    echo_fields({"webhook": definition.name, "URL": url, "platform": definition.platform})
    if setup := setup_steps(definition, guides()[definition.platform]):
        click.echo(plain(f"setup:       {as_text(setup)}"))
    if (how := how_to_try(definition, url)) is not None:
        click.echo(plain(f"try it:      {how}"))
    errors = [problem for problem in here.readable.errors if problem.is_about(webhook)]
    for problem in errors:
        click.echo(plain(problem), err=True)
    written = _folder(here).find(webhook) if not here.readable.errors else None
    if written is not None:
        click.echo(plain(f"\n{written.shown.rstrip()}", lines=True))


@webhooks.command(short_help="Put a new secret before the old one.")
@click.argument("webhook", shell_complete=complete_webhook)
@click.option("--header", help="The header whose value is rotated, instead of the secret.")
@click.option("--secret", metavar="@FILE|-|TEXT", help="The new value; by default one is made up.")
@click.option("--forget", is_flag=True, help="Remove the old one instead, once the sender uses the new one.")
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
    rotated = rotate_proof(here.bridge, folder, written, header, secret_given(secret), written.version)
    if rotated.made_up is not None:
        click.echo(rotated.made_up)
    if rotated.added:
        return
    is_callback = "callback" in written.keys
    when = "the URLs made with the old one have expired" if is_callback else "the sender uses the new one"
    click.echo(f"both count now; once {when}, run this again with --forget", err=True)


@webhooks.command(short_help="Delete a webhook.")
@click.argument("webhook", shell_complete=complete_webhook)
@click.option("-y", "--yes", is_flag=True, help="Don't ask, for scripts.")
@here
def delete(here: Here, webhook: str, yes: bool) -> None:
    """Delete a webhook's definition, and the files of its secrets. Its events stay until they are pruned."""
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
@here
def pause(here: Here, webhook: str) -> None:
    """Accept the webhook's deliveries, but decide nothing until it is resumed.

    For a maintenance window of the systems that its workflows use. Deliveries are verified, stored and answered as
    usual. Calls to Conductor that were already decided are still made.

    \b
    Example:
      webhook-bridge pause orders
    """
    operations.pause(here.bridge, webhook)
    remedy = f"webhook-bridge resume {webhook}"
    click.echo(plain(f"{webhook} is paused: deliveries are accepted, nothing is decided; {remedy}"))


@click.command()
@click.argument("webhook", shell_complete=complete_webhook)
@here
def resume(here: Here, webhook: str) -> None:
    """Resume a paused webhook, beginning with what arrived in the meantime.

    As after a downtime of the bridge, events are decided in order, and a task that started waiting within an event's
    hold still takes it, even if the hold has ended by now.

    \b
    Example:
      webhook-bridge resume orders
    """
    if not operations.resume(here.bridge, webhook):
        fail(f"{webhook} isn't paused; paused webhooks: {', '.join(here.store.pauses.paused()) or 'none'}")
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
    sys.exit(1 if unsafe else 0)


@click.command()
@click.argument("webhook", shell_complete=complete_webhook)
@click.option("--workflow", "workflow_id", required=True, metavar="ID", help="The id of the workflow.")
@click.option("--task", required=True, metavar="REF", help="The reference name of its task.")
@click.option("--iteration", type=click.IntRange(min=1), help="Of a task in a loop: which iteration's.")
@click.option("--expires", metavar="2h", help="How long it can be used; by default as the definition says.")
@as_json_option
@here
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
    asked = {"webhook": webhook, "workflow_id": workflow_id, "task": task, "iteration": iteration, "expires": expires}
    try:
        made = operations.make_callback(here.bridge, operations.ToCallBack.model_validate(asked))
    except ValidationError as error:
        raise click.UsageError(f"--{what_is_wrong(error, ())}") from None
    if as_json:
        echo_json(made)
        return
    click.echo(made.url)
    click.echo(plain(f"until {iso(made.expires_at)}"), err=True)

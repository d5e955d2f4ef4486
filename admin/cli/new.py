"""``webhook-bridge new``: creates a webhook, from options or by asking."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import click

from admin.api.objects import NewWebhook
from admin.bridge import read_definitions
from admin.cli.common import Here, echo_json, fail, here, me
from admin.cli.tables import plain
from admin.definitions.forms import WebhookForm
from admin.definitions.writer import CantWrite, DefinitionsFolder, Invalid, NameTaken
from admin.markdown import as_text
from admin.urls import url_of
from platforms import PLATFORMS
from platforms.guide import Guide, guides, samples
from store.errors import StoreUnavailable
from store.records import Change


@click.command()
@click.argument("name", required=False)
@click.option("--platform", type=click.Choice(sorted(PLATFORMS)), help="Who sends.")
@click.option(
    "--secret", metavar="@FILE|-|TEXT", help="@FILE or - (standard input) keeps it out of the shell's history."
)
@click.option(
    "--receiver", "receivers", multiple=True, metavar="WORKFLOW[:VERSIONS]", help="A workflow whose tasks it completes."
)
@click.option("--start", "starts", multiple=True, metavar="WORKFLOW[:VERSION]", help="A workflow that it starts.")
@click.option("--when", metavar="'$.PATH: VALUE'", multiple=True, help="A condition for the start; all must hold.")
@click.option(
    "--input",
    "inputs",
    metavar="'NAME: $.PATH'",
    multiple=True,
    help="What the started workflow gets: a path or constant.",
)
@click.option(
    "--more", metavar="'KEY: VALUE'", multiple=True, help="A further setting, such as 'split: $.items' or 'hold: 1m'."
)
@click.option("--header", help="custom: the header that carries the secret or, with --signature, the signature.")
@click.option("--signature", is_flag=True, help="custom: the header carries an HMAC-SHA256 signature of the body.")
@click.option("--signed", metavar="TEXT", help="With --signature: what is signed, such as '{timestamp}.{body}'.")
@click.option("--format", metavar="TEXT", help="With --signature: the header's form, 't={timestamp},v1={signature}'.")
@click.option("--timestamp-header", help="With --signature: the header that carries the signed time.")
@click.option("--issuer", metavar="URL", help="custom: the issuer of the bearer token (JWT) that proves deliveries.")
@click.option("--jwks", metavar="URL", help="With --issuer: its keys, if it has no OpenID discovery.")
@click.option("--subject", help="custom: the client certificate's subject, which a proxy hands on in --header.")
@click.option("--san", help="custom: the same for its alternative name.")
@click.option("--verify-token", help="facebook, whatsapp: the token of Meta's challenge.")
@click.option("--audience", help="google-pubsub, google-chat, or with --issuer: the audience of the token.")
@click.option("--service-account", help="google-pubsub: the e-mail of its service account.")
@click.option("--dry-run", is_flag=True, help="Only print the YAML, and what the check says about it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@here
def new(here: Here, /, name: str | None, platform: str | None, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Create the webhook NAME: a file in the folder BRIDGE_WEBHOOKS, and one for its secret.

    On a terminal it asks for what is missing. It writes nothing that `check` would reject. It prints the URL and what
    to enter at the platform; a generated secret is printed once.

    \b
    Examples:
      webhook-bridge new
      webhook-bridge new deploys --platform github --receiver deploy
      webhook-bridge new orders --platform custom --header X-Api-Key --receiver order_flow:1,2
      webhook-bridge new parcels --issuer https://login.example.com --audience hooks --receiver parcel_flow
    """
    asks = _on_terminal() and not as_json
    folder = DefinitionsFolder(here.settings.bridge_webhooks, PLATFORMS)
    try:
        folder.check_writable()
    except CantWrite as error:
        fail(error)
    platform = platform or (_choose() if asks else "custom")
    guide = guides()[platform]
    form = _form(guide, name, given, asks)
    keys = form.keys(guide)
    try:
        change = folder.plan(keys) if dry_run or form.errors else folder.create(keys)
    except Invalid as error:
        form.place(error.problems)
    except (NameTaken, CantWrite) as error:
        fail(error)
    if form.errors:
        fail("\n".join(f"{field or 'webhook'}: {what}" for field, what in form.errors.items()))
    if dry_run:
        click.echo(plain(change.yaml, lines=True), nl=False)
    else:
        _done(here, form, guide, as_json)
    for warning in change.warnings:
        click.echo(plain(f"warning: {warning.what}; {warning.remedy}"), err=True)


def _on_terminal() -> bool:
    return sys.stdin.isatty()


def _choose() -> str:
    for guide in guides().values():
        click.echo(f"  {guide.platform.name:<18} {guide.platform.purpose}")
    return str(click.prompt("Platform", type=click.Choice(sorted(PLATFORMS)), show_choices=False))


def _form(guide: Guide, name: str | None, given: dict[str, Any], asks: bool) -> WebhookForm:
    """The form, filled in from the options and, on a terminal, by asking for the rest."""
    if name is None and not asks:
        raise click.UsageError("NAME is missing")
    form = WebhookForm(guide.platform.name, name=name or str(click.prompt("Name (the URL ends with it)")))
    form.header = given["header"] or ""
    form.proof = _proof(given)
    for setting in ("signed", "format", "timestamp_header", "issuer", "jwks", "subject", "san"):
        setattr(form, setting, given[setting] or "")
    for setting in ("verify_token", "audience", "service_account"):
        value = given[setting]
        if value is None and asks and setting in guide.platform.own_settings:
            value = click.prompt(setting.replace("_", " ").capitalize(), default="", show_default=False)
        setattr(form, setting, value or "")
    is_custom = guide.platform.name == "custom"
    if is_custom and form.proof != "jwt" and not form.header and asks:
        form.header = str(click.prompt("Header that carries the secret", default="X-Api-Key"))
    form.secret = _secret(given["secret"])
    if is_custom and form.proof in ("jwt", "mtls"):
        form.secret = ""
    elif not form.secret and guide.platform.made_by == "us":
        form.generate()
    elif not form.secret and guide.platform.made_by == "platform" and asks:
        click.echo(as_text(guide.setup))
        form.secret = str(click.prompt(guide.platform.secret_label, hide_input=True, default="", show_default=False))
    receivers, starts = list(given["receivers"]), list(given["starts"])
    if not receivers and not starts and asks:
        receivers = [
            str(click.prompt("Workflow whose tasks it completes (empty for none)", default="", show_default=False))
        ]
        starts = [str(click.prompt("Workflow that it starts (empty for none)", default="", show_default=False))]
    if given["when"] and not any(starts):
        raise click.UsageError("--when is a condition of --start: which workflow is to start? Add --start WORKFLOW")
    if given["inputs"] and not any(starts):
        raise click.UsageError("--input is of --start: which workflow is to start? Add --start WORKFLOW")
    form.receivers, form.more = "\n".join(receivers), "\n".join(given["more"])
    for start in filter(None, starts):
        workflow, _, version = start.partition(":")
        when, its_input = "\n".join(given["when"]), "\n".join(given["inputs"])
        form.starts.append({"workflow": workflow, "version": version, "when": when, "input": its_input})
    return form


def _proof(given: dict[str, Any]) -> str:
    if given["issuer"]:
        return "jwt"
    if given["subject"] or given["san"]:
        return "mtls"
    return "signature" if given["signature"] else "headers"


def _secret(text: str | None) -> str:
    if text == "-":
        return sys.stdin.read().strip()
    if text is None or not text.startswith("@"):
        return text or ""
    try:
        with open(text[1:], encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{text[1:]}: {error}", param_hint="--secret") from None


def _done(here: Here, form: WebhookForm, guide: Guide, as_json: bool) -> None:
    webhook = read_definitions(here.settings.bridge_webhooks, True).by_name[form.name]
    url = url_of(webhook, here.settings)
    with suppress(StoreUnavailable):  # before the first start there is no store
        here.store.changes.record(
            Change(here.store.now(), me(), "created", form.name, f"platform {guide.platform.name}")
        )
    if as_json:
        secret = form.secret if form.generated else None
        echo_json(NewWebhook.of(webhook, url=url, verified_at=None, secret=secret))
        return
    click.echo(f"URL:     {url}")
    if form.generated:
        click.echo(
            f"Secret:  {form.secret}   (shown only once; enter it at the platform as {guide.platform.secret_label})"
        )
    if guide.setup:
        click.echo(f"Setup:   {as_text(guide.setup)}")
    if sample := next(iter(samples(guide.platform.name)), None):
        click.echo(f"Try it:  webhook-bridge send {form.name} --sample {sample}", err=True)

"""``webhook-bridge new``: creates a webhook, from options or by asking."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import click

from admin import operations
from admin.api.objects import NewWebhook
from admin.bridge import open_definitions
from admin.cli.bridges import Here, here
from admin.cli.common import echo_json, secret_given
from admin.cli.groups import fail
from admin.definitions.forms import KINDS, WebhookForm
from admin.definitions.writer import DefinitionsFolder, Invalid
from admin.setup_steps import as_text, how_to_try, setup_steps
from admin.urls import url_of
from admin.wording.terminal import plain
from platforms import PLATFORMS
from platforms.guide import guides
from platforms.senders import SENDERS
from store.errors import StoreUnavailable


@click.command()
@click.argument("name", required=False)
@click.option(
    "--platform",
    type=click.Choice(sorted({*PLATFORMS, *SENDERS})),
    metavar="NAME",
    help="Who sends.",
)
@click.option(
    "--proof",
    type=click.Choice([*KINDS]),
    help="custom: how deliveries are proven: headers, or what --more has settings of.",
)
@click.option("--header", help="custom: the header with the secret.")
@click.option(
    "--secret",
    metavar="@FILE|-|TEXT",
    help="@FILE or - (standard input) keeps it out of the shell's history.",
)
@click.option("--verify-token", help="facebook, whatsapp: the token of Meta's challenge.")
@click.option(
    "--receiver",
    "receivers",
    multiple=True,
    metavar="WORKFLOW[:VERSIONS]",
    help="A workflow whose tasks it completes.",
)
@click.option(
    "--start",
    "starts",
    multiple=True,
    metavar="WORKFLOW[:VERSION]",
    help="A workflow that it starts.",
)
@click.option(
    "--more",
    metavar="'KEY: VALUE'",
    multiple=True,
    help="Any other setting of the YAML, such as 'hold: 1m'.",
)
@click.option(
    "--dry-run", is_flag=True, help="Only print the YAML, and what the check says about it."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@here
def new(
    here: Here,
    /,
    name: str | None,
    platform: str | None,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Create the webhook NAME: a file in the folder BRIDGE_WEBHOOKS, and one for its secret.

    On a terminal it asks for what is missing. It writes nothing that `check` would reject. It prints the URL and what
    to enter at the platform; a generated secret is printed once.

    \b
    Examples:
      webhook-bridge new
      webhook-bridge new deploys --platform github --receiver deploy
      webhook-bridge new orders --header X-Api-Key --receiver order_flow:1,2
      webhook-bridge new bills --more 'signature: {header: X-Sign}' --receiver bill_flow
      webhook-bridge new approvals --more 'callback: {expires: 2d}' --receiver approved_order
      webhook-bridge new pushes --platform github --more 'starts: [{workflow: ci, when: {$.ref: refs/heads/main}}]'
    """
    asks = _on_terminal() and not as_json
    folder = DefinitionsFolder(here.settings.bridge_webhooks)
    folder.check_writable()
    platform = platform or _platform(asks)
    sender = SENDERS.get(platform)
    if sender is not None:
        platform = sender.platform
        given["more"] = tuple(filter(None, (sender.settings, *given["more"])))
    form = _form(platform, name, given, asks)
    keys = form.keys()
    try:
        change = folder.plan(keys) if dry_run or form.errors else folder.create(keys)
    except Invalid as error:
        form.place(error.problems)
    if form.errors:
        fail(
            "\n".join(
                f"{_OPTIONS.get(field, field)}: {what}" for field, what in form.errors.items()
            )
        )
    if dry_run:
        click.echo(plain(change.text or "", lines=True), nl=False)
    else:
        _done(here, form, as_json)
    for warning in change.warnings:
        click.echo(plain(f"warning: {warning.what}; {warning.remedy}"), err=True)


_OPTIONS = {"secret": "--secret", "receiver": "receivers", "start": "starts", "": "webhook"}
"""Field of the form → what it is here, if that is called otherwise."""


def _on_terminal() -> bool:
    return sys.stdin.isatty()


def _platform(asks: bool) -> str:
    if not asks:
        return "custom"
    for guide in guides().values():
        click.echo(f"  {guide.platform.name:<18} {guide.platform.purpose}")
    for sender in SENDERS.values():
        click.echo(f"  {sender.name:<18} as {sender.platform}")
    return _ask("Platform", type=click.Choice(sorted({*PLATFORMS, *SENDERS})), show_choices=False)


def _form(platform: str, name: str | None, given: dict[str, Any], asks: bool) -> WebhookForm:
    """The form, filled in from the options and, on a terminal, by asking for the rest."""
    if name is None and not asks:
        raise click.UsageError("NAME is missing")
    name = name or _ask("Name (the URL ends with it)")
    proof = _proof_meant(given)
    form = WebhookForm(guides()[platform], proof, name, more="\n".join(given["more"]))
    _refuse_useless(form, given)
    form.header, form.verify_token = given["header"] or "", given["verify_token"] or ""
    form.receivers, form.starts = list(given["receivers"]), list(given["starts"])
    if asks:
        _ask_for_proof(form, proof)
    _fill_in_secret(form, given["secret"], asks)
    if asks and not (form.receivers or form.starts or given["more"]):
        form.receivers = _ask_for_one("Workflow whose tasks it completes (empty for none)")
        form.starts = _ask_for_one("Workflow that it starts (empty for none)")
    return form


def _proof_meant(given: dict[str, Any]) -> str:
    """The kind of proof that the options name, or that they are about; "" for none."""
    if given["proof"]:
        return str(given["proof"])
    if given["header"]:
        return "headers"
    settings = given["more"]
    typed = (kind for kind in KINDS if any(one.startswith(f"{kind}:") for one in settings))
    return next(typed, "")


def _refuse_useless(form: WebhookForm, given: dict[str, Any]) -> None:
    fits = {
        "proof": form.proof == given["proof"],
        "header": form.proof == "headers",
        "secret": form.asks_for_secret,
        "verify_token": form.has_verify_token,
    }
    useless = [
        f"--{option.replace('_', '-')}"
        for option, does_fit in fits.items()
        if given[option] and not does_fit
    ]
    if useless:
        raise click.UsageError(
            f"this webhook can't have {', '.join(useless)}; --help says what each goes with"
        )


def _ask_for_proof(form: WebhookForm, chosen: str) -> None:
    """Asks for the kind of proof, unless one was `chosen`, and for what it needs besides a secret."""
    if form.proofs and not chosen:
        form.proof = _ask("Proven by", form.proof, type=click.Choice(form.proofs))
    if not form.more:
        form.begin()
        if form.more:
            form.more = click.edit(form.more, extension=".yaml") or form.more
    if form.proof == "headers" and not form.header:
        form.header = _ask("Header that carries the secret", "X-Api-Key")
    if form.has_verify_token and not form.verify_token:
        form.verify_token = _ask("Verify token", "", show_default=False)


def _fill_in_secret(form: WebhookForm, given: str | None, asks: bool) -> None:
    if given:
        form.secret, form.generated = secret_given(given), False
    elif not form.asks_for_secret:
        return
    elif form.guide.platform.made_by == "us":
        form.generate()
    elif asks:
        click.echo(as_text(form.guide.setup))
        label = form.guide.platform.secret_label
        form.secret = _ask(label, "", hide_input=True, show_default=False)


def _ask(question: str, default: str | None = None, **more: Any) -> str:
    return str(click.prompt(question, default=default, **more))


def _ask_for_one(question: str) -> list[str]:
    answer = _ask(question, "", show_default=False)
    return [answer] if answer else []


def _done(here: Here, form: WebhookForm, as_json: bool) -> None:
    guide = form.guide
    webhook = open_definitions(here.settings, dict).current.by_name[form.name]
    url = url_of(webhook, here.settings)
    with suppress(StoreUnavailable):  # before the first start there is no store
        operations.record_webhook(
            here.bridge, "created", form.name, f"platform {guide.platform.name}"
        )
    is_shown = form.generated and webhook.callback is None  # whose secret is entered nowhere
    if as_json:
        secret = form.secret if is_shown else None
        echo_json(NewWebhook.of(webhook, url=url, verified_at=None, secret=secret))
        return
    click.echo(f"URL:     {url}")
    if is_shown:
        click.echo(
            f"Secret:  {form.secret}   (shown only once; enter it at the platform as"
            f" {guide.platform.secret_label})"
        )
    setup = setup_steps(webhook, guide)
    if setup:
        click.echo(plain(f"Setup:   {as_text(setup)}"))
    how = how_to_try(webhook, url)
    if how is not None:
        click.echo(f"Try it:  {how}", err=True)

"""``webhook-bridge new``: creates a webhook, from options or by asking."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from admin.api.objects import NewWebhook
from admin.bridge import read_definitions
from admin.cli.common import Here, echo_json, here, secret_given
from admin.cli.groups import fail
from admin.cli.tables import plain
from admin.definitions.fields import BY_NAME, FIELDS, Field
from admin.definitions.forms import WebhookForm
from admin.definitions.writer import DefinitionsFolder, Invalid
from admin.markdown import as_text
from admin.setup_steps import how_to_try, setup_steps
from admin.urls import url_of
from platforms import PLATFORMS
from platforms.guide import Guide, guides
from store.errors import StoreUnavailable

_LIST = ("lines", "yaml")
_FOR = {
    "signature": "with --signature",
    "jwt": "with --issuer",
    "mtls": "with --subject or --san",
    "challenge": "with --challenge",
    "callback": "with --callback",
    "own": "of some platforms",
}
"""What each group of fields goes with."""
_PROOF_OF = {
    "no_proof": "none",
    **dict.fromkeys(("callback", "by_id", "expires", "task", "query"), "callback"),
    "issuer": "jwt",
    "subject": "mtls",
    "san": "mtls",
    "signature": "signature",
}
"""The kind of proof that an option chooses, the first of them that is given."""


def _option_of(field: Field) -> str:
    """The option for this field, and for those of the same name in other groups."""
    name = "challenge" if field.path == ("challenge", "name") else field.path[-1]
    return name.removesuffix("s") if field.kind in _LIST else name


_OPTIONS: dict[str, list[Field]] = {}
for _field in FIELDS:
    if _field.kind != "tick" and _field.path != ("callback", "by"):
        _OPTIONS.setdefault(_option_of(_field), []).append(_field)
_ASKED = {
    "headers": (),
    "signature": ("signature_signed", "signature_encoding"),
    "jwt": ("jwt_issuer", "jwt_audience", "jwt_jwks"),
    "mtls": ("mtls_subject", "mtls_san"),
    "challenge": ("challenge_name",),
    "callback": ("callback_expires",),
    "none": (),
}
"""The fields that a terminal is asked for by each kind of proof that a definition chooses."""
_OF_START = re.compile(r"start_([a-z]+)_([0-9]+)")
"""The name of a field of a start: its part, and which start."""
_USUAL_HEADERS = {"headers": "X-Api-Key", "signature": "X-Signature", "mtls": "X-SSL-Client-S-DN"}


def _with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option, fields in reversed(_OPTIONS.items()):
        texts = [f"{_FOR[one.group]}: {one.label} ({one.hint or ' or '.join(one.choices)})." for one in fields]
        if option == "header":
            texts.append("Without these: the header with the secret.")
        name = f"--{option.replace('_', '-')}"
        multiple = fields[0].kind in _LIST
        text = " ".join(texts)
        command = click.option(name, option, multiple=multiple, help=text[0].upper() + text[1:])(command)
    return command


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
@click.option("--signature", is_flag=True, help="custom: the header carries an HMAC signature of the body, or of more.")
@click.option("--callback", is_flag=True, help="custom: its URLs complete one task each (webhook-bridge callback).")
@click.option("--by-id", is_flag=True, help="With --callback: unsigned URLs, which workflows make with their own id.")
@_with_options
@click.option("--no-proof", is_flag=True, help="custom: nothing proves deliveries; anyone who knows the URL can post.")
@click.option("--verify-token", help="facebook, whatsapp: the token of Meta's challenge.")
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
      webhook-bridge new approvals --callback --expires 2d --receiver approved_order
    """
    asks = _on_terminal() and not as_json
    folder = DefinitionsFolder(here.settings.bridge_webhooks, PLATFORMS)
    folder.check_writable()
    platform = platform or (_choose() if asks else "custom")
    guide = guides()[platform]
    form = _form(guide, name, given, asks)
    if useless := _useless(form, guide, given):
        raise click.UsageError(f"this webhook can't have {', '.join(useless)}; --help says what each goes with")
    keys = form.keys(guide)
    try:
        change = folder.plan(keys) if dry_run or form.errors else folder.create(keys)
    except Invalid as error:
        form.place(error.problems)
    if form.errors:
        fail("\n".join(f"{_named(field)}: {what}" for field, what in form.errors.items()))
    if dry_run:
        click.echo(plain(change.yaml, lines=True), nl=False)
    else:
        _done(here, form, guide, as_json)
    for warning in change.warnings:
        click.echo(plain(f"warning: {warning.what}; {warning.remedy}"), err=True)


def _useless(form: WebhookForm, guide: Guide, given: dict[str, Any]) -> list[str]:
    """The options that were given and have no place in this webhook."""
    proof = form.proof if form.proofs else None
    fits = {
        "signature": proof == "signature",
        "callback": proof == "callback",
        "by_id": proof == "callback",
        "no_proof": proof == "none",
        "secret": proof is None or form.has_secret,
        "verify_token": "verify_token" in guide.platform.own_settings,
    }
    fits |= {option: any(map(form.takes, fields)) for option, fields in _OPTIONS.items()}
    fits["header"] |= proof == "headers"
    return sorted(f"--{name.replace('_', '-')}" for name, does in fits.items() if given[name] and not does)


def _named(field: str) -> str:
    """A field's setting, as the YAML has it; of a start with its place among them; the option of the secret."""
    if field == "secret":
        return "--secret"
    if (of_start := _OF_START.fullmatch(field)) is not None:
        return f"starts[{of_start[2]}].{of_start[1]}"
    return ".".join(BY_NAME[field].path) if field in BY_NAME else field or "webhook"


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
    if given["by_id"]:
        form.values["callback_by"] = "id"
    usual = "challenge" if given["challenge"] and not given["header"] else "headers"
    asked_for = next((proof for option, proof in _PROOF_OF.items() if given[option]), usual)
    form.proof = asked_for if asked_for in form.proofs else form.proof
    if form.proofs and asks and not given["header"] and asked_for == "headers":
        form.proof = str(click.prompt("Proven by", type=click.Choice(form.proofs), default=form.proof))
    if given["challenge"] and form.proof != "callback":
        form.besides = ("challenge",)
    for option, fields in _OPTIONS.items():
        if (typed := given[option]) and (field := next(filter(form.takes, fields), None)):
            form.values[field.name] = typed if isinstance(typed, str) else "\n".join(typed)
    form.verify_token = given["verify_token"] or ""
    if not form.verify_token and asks and "verify_token" in guide.platform.own_settings:
        form.verify_token = str(click.prompt("Verify token", default="", show_default=False))
    header = given["header"] or ""
    if form.proofs and form.proof in _USUAL_HEADERS:
        if not header and asks:
            carries = {"headers": "secret", "signature": "signature", "mtls": "certificate's name"}[form.proof]
            header = str(click.prompt(f"Header that carries the {carries}", default=_USUAL_HEADERS[form.proof]))
        if form.proof == "headers":
            form.header = header
        else:
            form.values[f"{form.proof}_header"] = header
    own = [one.name for one in FIELDS if one.group == "own" and one.fits(guide.platform)]
    for name in (*own, *(_ASKED[form.proof] if form.proofs else ())):
        if asks and not form.values.get(name):
            label = f"{BY_NAME[name].label} ({BY_NAME[name].hint or ' or '.join(BY_NAME[name].choices)})"
            form.values[name] = str(click.prompt(label, default="", show_default=False))
    form.secret = secret_given(given["secret"])
    if form.proofs and not form.has_secret:
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


def _done(here: Here, form: WebhookForm, guide: Guide, as_json: bool) -> None:
    webhook = read_definitions(here.settings.bridge_webhooks, True).by_name[form.name]
    url = url_of(webhook, here.settings)
    with suppress(StoreUnavailable):  # before the first start there is no store
        here.record("created", form.name, f"platform {guide.platform.name}")
    is_shown = form.generated and webhook.callback is None  # whose secret is entered nowhere
    if as_json:
        secret = form.secret if is_shown else None
        echo_json(NewWebhook.of(webhook, url=url, verified_at=None, secret=secret))
        return
    click.echo(f"URL:     {url}")
    if is_shown:
        click.echo(
            f"Secret:  {form.secret}   (shown only once; enter it at the platform as {guide.platform.secret_label})"
        )
    if setup := setup_steps(webhook, guide):
        click.echo(plain(f"Setup:   {as_text(setup)}"))
    if (how := how_to_try(webhook, url)) is not None:
        click.echo(f"Try it:  {how}", err=True)

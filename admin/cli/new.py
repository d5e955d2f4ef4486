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
from admin.definitions.fields import BY_NAME, FIELDS
from admin.definitions.forms import WebhookForm
from admin.definitions.writer import DefinitionsFolder, Invalid
from admin.markdown import as_text
from admin.setup_steps import how_to_try, setup_steps
from admin.urls import url_of
from platforms import PLATFORMS
from platforms.guide import Guide, guides
from store.errors import StoreUnavailable

_OPTIONS = (
    ("--algorithm", "signature_algorithm", "With --signature: sha1, sha256 (the default) or sha512."),
    ("--encoding", "signature_encoding", "With --signature: its encoding, hex (the default) or base64."),
    ("--key-encoding", "signature_key_encoding", "With --signature: the secret's encoding, text, hex or base64."),
    ("--prefix", "signature_prefix", "With --signature: text before it, such as 'sha256='."),
    ("--signed", "signature_signed", "With --signature: what is signed, such as '{timestamp}.{body}'."),
    ("--format", "signature_format", "With --signature: the header's form, 't={timestamp},v1={signature}'."),
    ("--timestamp-header", "signature_timestamp_header", "With --signature: the header that carries the signed time."),
    ("--issuer", "jwt_issuer", "custom: the issuer of the bearer token (JWT) that proves deliveries."),
    ("--jwks", "jwt_jwks", "With --issuer: the URL of its keys, if it has no OpenID discovery."),
    ("--claim", "jwt_claims", "With --issuer: a claim that the token must have, '$.scope: orders'."),
    (
        "--subject",
        "mtls_subject",
        "custom, salesforce: the client certificate's subject, which a proxy forwards in --header.",
    ),
    ("--san", "mtls_san", "The same, by its alternative name."),
    ("--challenge", "challenge_name", "custom: the query parameter or JSON field of the sender's challenge."),
    ("--expires", "callback_expires", "With --callback: how long a URL can be used, such as 2h."),
    ("--task", "callback_tasks", "With --callback: the reference name of a task that its URLs may complete."),
    ("--query", "callback_query", "With --callback: a query parameter that becomes part of the output."),
    ("--service-account", "service_account", "google-pubsub: the e-mail of its service account."),
    ("--topic", "topic", "aws-sns: the ARN of the topic."),
)
"""Options for fields of the form: option, field, help."""
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
_HEADERS = {"headers": "header", "signature": "signature_header", "jwt": "jwt_header", "mtls": "mtls_header"}
"""The field that --header is for."""


def _with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option, name, text in reversed(_OPTIONS):
        kind = BY_NAME[name].kind
        metavar = "'PATH: VALUE'" if kind == "yaml" else "TEXT"
        command = click.option(option, name, metavar=metavar, multiple=kind in ("yaml", "lines"), help=text)(command)
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
@click.option("--header", help="custom: the header with the secret, signature, token or certificate's name.")
@click.option("--signature", is_flag=True, help="custom: the header carries an HMAC signature of the body, or of more.")
@click.option("--callback", is_flag=True, help="custom: its URLs complete one task each (webhook-bridge callback).")
@click.option("--by-id", is_flag=True, help="With --callback: unsigned URLs, which workflows make with their own id.")
@_with_options
@click.option("--no-proof", is_flag=True, help="custom: nothing proves deliveries; anyone who knows the URL can post.")
@click.option("--verify-token", help="facebook, whatsapp: the token of Meta's challenge.")
@click.option("--audience", help="google-pubsub, google-chat, or with --issuer: the audience of the token.")
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
    own = guide.platform.own_settings
    proof = form.proof if form.proofs else None
    fits = {
        "header": proof in _HEADERS,
        "signature": proof == "signature",
        "callback": proof == "callback",
        "by_id": proof == "callback",
        "no_proof": proof == "none",
        "secret": proof is None or form.has_secret,
        "verify_token": "verify_token" in own,
        "audience": "audience" in own or proof == "jwt",
    }
    fits |= {name: form.takes(BY_NAME[name]) for _, name, _ in _OPTIONS}
    options = {name: option for option, name, _ in _OPTIONS}
    return [options.get(name, f"--{name.replace('_', '-')}") for name, does in fits.items() if given[name] and not does]


def _named(field: str) -> str:
    """A field's setting, as the YAML has it; of a start with its place among them."""
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
    form.values = _typed(given)
    asked_for = _proof(given)
    form.proof = asked_for if asked_for in form.proofs else form.proof
    if form.proofs and asks and not any((given["header"], given["signature"], asked_for != "headers")):
        form.proof = str(click.prompt("Proven by", type=click.Choice(form.proofs), default=form.proof))
    own = [one.name for one in FIELDS if one.group == "own" and one.fits(guide.platform)]
    form.verify_token = given["verify_token"] or ""
    if not form.verify_token and asks and "verify_token" in guide.platform.own_settings:
        form.verify_token = str(click.prompt("Verify token", default="", show_default=False))
    if given["audience"]:
        form.values["audience" if "audience" in own else "jwt_audience"] = given["audience"]
    if given["challenge_name"] and form.proof != "callback":
        form.besides = ("challenge",)
    _prove(form, given["header"] or "", asks)
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


def _typed(given: dict[str, Any]) -> dict[str, str]:
    """The fields' texts, as the options have them."""
    typed = {name: given[name] for _, name, _ in _OPTIONS if given[name]}
    texts = {name: text if isinstance(text, str) else "\n".join(text) for name, text in typed.items()}
    return texts | ({"callback_by": "id"} if given["by_id"] else {})


def _prove(form: WebhookForm, header: str, asks: bool) -> None:
    """Puts the header where its kind of proof has it; asks for it if that needs one."""
    if not form.proofs or form.proof not in _HEADERS:
        return
    if not header and asks and form.proof != "jwt":
        usual = {"headers": "X-Api-Key", "signature": "X-Signature", "mtls": "X-SSL-Client-S-DN"}[form.proof]
        carries = {"headers": "secret", "signature": "signature", "mtls": "certificate's name"}[form.proof]
        header = str(click.prompt(f"Header that carries the {carries}", default=usual))
    if form.proof == "headers":
        form.header = header
    elif header:
        form.values[_HEADERS[form.proof]] = header


def _proof(given: dict[str, Any]) -> str:
    if given["no_proof"]:
        return "none"
    if any(given[name] for name in ("callback", "by_id", "callback_expires", "callback_tasks", "callback_query")):
        return "callback"
    if given["jwt_issuer"]:
        return "jwt"
    if given["mtls_subject"] or given["mtls_san"]:
        return "mtls"
    if given["signature"]:
        return "signature"
    return "challenge" if given["challenge_name"] and not given["header"] else "headers"


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

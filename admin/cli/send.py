"""``webhook-bridge send``: posts a delivery, signed as the platform would sign it."""

from __future__ import annotations

import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from admin import shapes
from admin.cli.common import Here, complete_webhook, fail, here, webhook_named
from admin.cli.tables import plain
from config.loopback import is_loopback
from config.webhooks import Webhook
from relay.platforms import PLATFORMS
from relay.verification import verifiers_of
from relay.verifiers import CannotSign, Draft

_TIMEOUT = 30
_SHOWN = 10_000


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A platform doesn't follow them either."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


@click.command()
@click.argument("webhook", shell_complete=complete_webhook)
@click.option(
    "-d",
    "--data",
    metavar="@FILE|TEXT",
    help="The body: @FILE for a file's bytes, @- for standard input, else the text itself.",
)
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A further header.")
@click.option("--content-type", help="By default application/json for JSON, else a form's for a=b, else text/plain.")
@click.option("--query", default="", help="The query string, such as a=1&b=2.")
@click.option("-X", "--method", default="POST", show_default=True, help="The HTTP method.")
@click.option("--url", help="The relay, such as http://localhost:8000, or the webhook's whole URL.")
@click.option("--unsigned", is_flag=True, help="Don't sign: to see the rejection.")
@here
def send(
    here: Here,
    webhook: str,
    data: str | None,
    headers: tuple[str, ...],
    content_type: str | None,
    query: str,
    method: str,
    url: str | None,
    unsigned: bool,
) -> None:
    """Post a delivery to WEBHOOK, signed as its platform would sign it.

    So a webhook can be tried before the platform is connected. It goes to BRIDGE_PUBLIC_URL if that is set, else to
    the relay on this machine (port $PORT, 8000 by default), or to --url. Prints the answer's status and body; exits
    with 1 unless the status is 2xx.

    \b
    Examples:
      webhook-bridge send github-deploys --data @push.json -H 'X-GitHub-Event: push'
      webhook-bridge send slack --data '{"event": {"type": "message"}}'
      echo '{}' | webhook-bridge send orders --data @- --url http://localhost:8000
    """
    definition = webhook_named(here, webhook)
    body = _body(data)
    target, signed_url = _urls(here, definition, url, query)
    drafted = {"Content-Type": content_type or _content_type(body)} if body or content_type else {}
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise click.BadParameter(f"{header!r} is no header; write 'NAME: VALUE'", param_hint="--header")
        drafted[name.strip()] = value.strip()
    draft = Draft(method.upper(), signed_url, drafted, body, time.time())
    if not unsigned:
        try:
            for verifier, terms in verifiers_of(definition, PLATFORMS[definition.platform]):
                draft = verifier.sign(draft, terms)
        except CannotSign as error:
            fail(f"{webhook}: {error}")
    # What signs the URL may have added to its query.
    added = urlsplit(draft.url).query
    status, reason, answer = _post(target._replace(query=added).geturl() if added else target.geturl(), draft)
    click.echo(f"{status} {reason}")
    if answer:
        click.echo(plain(answer[:_SHOWN].decode("utf-8", "replace"), lines=True))
    sys.exit(0 if 200 <= status < 300 else 1)


def _body(data: str | None) -> bytes:
    if data is None:
        return b""
    if data == "@-":
        return sys.stdin.buffer.read()
    if not data.startswith("@"):
        return data.encode("utf-8", "surrogateescape")
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"{data[1:]}: {error.strerror}", param_hint="--data") from None


def _content_type(body: bytes) -> str:
    try:
        json.loads(body)
    except ValueError:
        head = body.split(b"&", 1)[0]
        is_form = b"=" in head and not any(byte in b" \t\r\n<{" for byte in head)
        return "application/x-www-form-urlencoded" if is_form else "text/plain; charset=utf-8"
    return "application/json"


def _urls(here: Here, webhook: Webhook, url: str | None, query: str) -> tuple[Any, str]:
    """Where to post, and the URL as the platform would know it, which some sign."""
    try:
        if url is not None:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
                raise ValueError
            if "/webhook/" not in parts.path:
                parts = parts._replace(path=f"{parts.path.rstrip('/')}/webhook/{webhook.url_id}")
        else:
            parts = urlsplit(shapes.url_of(webhook, here.settings, here.port))
    except ValueError:
        raise click.BadParameter(
            f"{url!r} is no URL; write one such as http://localhost:8000", param_hint="--url"
        ) from None
    if query:
        parts = parts._replace(query="&".join(filter(None, (parts.query, query.lstrip("?")))))
    if webhook.public_url or here.settings.bridge_public_url:
        known = urlsplit(shapes.url_of(webhook, here.settings, here.port))
        return parts, known._replace(query=parts.query or known.query).geturl()
    return parts, parts.geturl()


def _post(url: str, draft: Draft) -> tuple[int, str, bytes]:
    """The answer's status, its reason phrase, and the body. Exits with a word if there is none."""
    request = urllib.request.Request(  # noqa: S310  (http and https only: checked before)
        url,
        data=draft.body if draft.body or draft.method != "GET" else None,
        headers=draft.headers,
        method=draft.method,
    )
    if not any(name.lower() == "user-agent" for name in draft.headers):
        request.add_header("User-Agent", "webhook-bridge")
    try:
        direct = [urllib.request.ProxyHandler({})] if is_loopback(urlsplit(url).hostname) else []
        with urllib.request.build_opener(_NoRedirects, *direct).open(request, timeout=_TIMEOUT) as answer:
            return answer.status, answer.reason, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.reason, error.read()
    except urllib.error.URLError as error:
        fail(f"{url} can't be reached: {error.reason}; is the relay running? say where with --url or PORT")
    except (OSError, http.client.HTTPException, ValueError) as error:
        fail(f"{url} can't be reached: {error}; is the relay running? say where with --url or PORT")

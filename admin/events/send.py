"""Sends deliveries of our own, signed as the platform would sign them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from admin.errors import CantDo
from admin.urls import relay_url_of, url_of
from config.settings import Settings
from config.urls import is_loopback
from config.webhooks import Webhook
from platforms import PLATFORMS
from platforms.bodies import BadBody, read_json
from platforms.verifiers import CannotSign, Draft
from relay.verify.verification import verifiers_of
from store.delivery_records import RawDelivery

_TIMEOUT = 30.0
"""Seconds, besides those for which a delivery waits for its workflow."""
LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes of an answer of an admin page: more than any delivery in base64."""
_SHOWN = 10_000
"""Bytes of a response that are read."""
_LONGEST_FIELD = 300
"""Characters."""
_FIELDS = ("eventId", "eventIds", "duplicate", "status", "filtered", "error", "message")


class NotReachable(CantDo):
    """The URL can't be reached; the text says why."""


@dataclass(frozen=True)
class Answer:
    """The response to a delivery."""

    status: int
    body: bytes

    @property
    def is_good(self) -> bool:
        """Whether the delivery was accepted."""
        return 200 <= self.status < 300

    @property
    def is_duplicate(self) -> bool:
        """Whether the relay had accepted the same before, as far as the platform's answer says so."""
        return self.is_good and self._fields.get("duplicate") is True

    @property
    def event_ids(self) -> tuple[str, ...]:
        """The events that came of it, or that it repeats."""
        given = self._fields.get("eventIds") or [self._fields.get("eventId")]
        if not self.is_good or not isinstance(given, list):
            return ()
        return tuple(one for one in given if isinstance(one, str))

    @property
    def phrase(self) -> str:
        """The status with its standard reason phrase, whatever phrase was sent."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)

    @property
    def said(self) -> str:
        """The fields of the relay's own answers; nothing else of a response is shown."""
        fields = self._fields
        texts = {name: fields[name] for name in _FIELDS if name in fields}
        texts = {
            name: text if isinstance(text, str) else json.dumps(text)
            for name, text in texts.items()
        }
        return ", ".join(f"{name} {text[:_LONGEST_FIELD]}" for name, text in texts.items())

    @property
    def message(self) -> str:
        """Why a bridge refuses, in its words; empty if it is no bridge's answer."""
        return str(self._fields.get("message", ""))[:_LONGEST_FIELD]

    @property
    def _fields(self) -> dict[str, Any]:
        try:
            fields = read_json(self.body.decode())
        except (BadBody, UnicodeDecodeError):
            return {}
        return fields if isinstance(fields, dict) else {}


def content_type_of(body: bytes) -> str:
    """The content type that the body seems to have. JSON with a slip in it is JSON: the relay says
    where."""
    if body.lstrip()[:1] in (b"{", b"["):
        return "application/json"
    head = body.split(b"&", 1)[0]
    is_form = b"=" in head and not any(byte in b" \t\r\n<" for byte in head)
    return "application/x-www-form-urlencoded" if is_form else "text/plain; charset=utf-8"


def signed(webhook: Webhook, draft: Draft) -> Draft:
    """The draft with the signatures and headers that its webhook requires. Raises CannotSign."""
    if webhook.callback is not None:
        raise CannotSign(
            "its URLs name one task each: make one with webhook-bridge callback, and post to it"
        )
    for verifier, credentials in verifiers_of(webhook, PLATFORMS[webhook.platform]):
        draft = verifier.sign(draft, credentials)
    return draft


def urls_of(
    webhook: Webhook, settings: Settings, query: str = "", relay: str | None = None
) -> tuple[str, str]:
    """The webhook's URL at the relay itself, and the one that the platform would call, which some
    signatures cover.

    `relay`: the former, if it isn't what the settings say. A definition's `public_url` decides how
    a delivery is signed, never where it is sent.
    """
    parts = urlsplit(relay or relay_url_of(webhook, settings))
    at = parts._replace(query="&".join(filter(None, (parts.query, query.lstrip("?")))))
    if not webhook.public_url and not settings.bridge_public_url:
        return at.geturl(), at.geturl()
    known_as = urlsplit(url_of(webhook, settings))
    return at.geturl(), known_as._replace(query=at.query or known_as.query).geturl()


def for_relay(
    webhook: Webhook,
    settings: Settings,
    delivery: RawDelivery,
    relay: str | None = None,
    unsigned: bool = False,
) -> tuple[str, Draft, float]:
    """What `post` takes: the webhook's URL at the relay itself, the delivery, signed as the
    platform would, and for how long it may wait for its workflow's end.

    `relay`: that URL, if it isn't what the settings say. `unsigned`: whether to leave it unsigned.
    Raises CannotSign.
    """
    at, known_as = urls_of(webhook, settings, delivery.query, relay)
    draft = Draft(delivery.method, known_as, dict(delivery.headers), delivery.body, time.time())
    if not unsigned:
        draft = signed(webhook, draft)
    wait = webhook.respond.wait if webhook.respond is not None else None
    # Signing may have added to the query.
    return urlsplit(at)._replace(query=urlsplit(draft.url).query).geturl(), draft, wait or 0.0


def post(url: str, draft: Draft, wait: float = 0.0) -> Answer:
    """Sends the draft to this URL, once. Like a platform it follows no redirects. Raises
    NotReachable.

    `wait`: seconds for which the delivery may wait for its workflow's end.
    """
    headers = dict(draft.headers)
    if not any(name.lower() == "user-agent" for name in headers):
        headers["User-Agent"] = "webhook-bridge"
    body = draft.body if draft.body or draft.method != "GET" else None
    status, answer, _ = call(draft.method, url, headers, body, _TIMEOUT + wait, _SHOWN)
    return Answer(status, answer)


def call(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    timeout: float = _TIMEOUT,
    most: int = LARGEST_ANSWER,
) -> tuple[int, bytes, Mapping[str, str]]:
    """The answer's status, its first bytes, `most` of them, and its headers. Like a platform it
    follows no redirects and tries once.

    `timeout`: seconds. Raises NotReachable.
    """
    try:
        with pool_for(url) as pool:
            answer = pool.request(
                method,
                url,
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
                timeout=timeout,
                preload_content=False,
            )
            try:
                # As it is: what is small may be huge once it is unpacked.
                return answer.status, answer.read(most, decode_content=False), answer.headers
            finally:
                answer.release_conn()
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise NotReachable(
            f"{url} can't be reached: {getattr(error, 'reason', None) or error}"
        ) from None


def pool_for(url: str) -> urllib3.PoolManager:
    """Connections that go through the environment's proxy, except to this machine."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if proxy is None or is_loopback(parts.hostname) or proxy_bypass(parts.hostname or ""):
        return urllib3.PoolManager()
    return urllib3.ProxyManager(proxy)

"""Nothing unsigned changes what a delivery is.

Of every platform's genuine deliveries each part is changed that the signature doesn't cover, and
what the answer may be is a refusal, or that of a duplicate. Before the genuine one has come, it may
be taken in its stead: with its payload.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from wsgiref.util import setup_testing_defaults

import pytest

from platforms import PLATFORMS
from tests.support.genuine import Genuine, deliveries_of, is_alike
from tests.support.relay import Clock, MakeRelay, Relay

TAKEN = {200, 204}
REFUSED = {400, 401, 403, 404, 405, 413, 415}
TYPES = (
    "application/json",
    "application/json; charset=utf-16",
    "APPLICATION/JSON;charset=koi8-r",
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=utf-16",
    "multipart/form-data; boundary=b",
    "text/plain",
    "text/plain; charset=koi8-r",
    "text/xml; charset=cp1251",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/octet-stream",
    "x",
    "",
    None,
)
QUERIES = (
    "a=1",
    "id=forged&type=forged&_webhook=x",
    "bodySHA256=00",
    "payload=%7B%22id%22%3A%22forged%22%7D",
)
SIZES = (1, 2, 3, 4, 10, 13)
"""Of what moves between a header and the body: little, parts of a time, and a whole one in seconds
or milliseconds."""
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")
IDS = sorted(
    {
        name
        for platform in PLATFORMS.values()
        for name in (*platform.id_headers, *platform.topic_headers)
    }
    | {
        "ce-id",
        "ce-source",
        "ce-specversion",
        "ce-type",
        "Klaviyo-Webhook-Id",
        "paypal-transmission-id",
    }
    | {
        "svix-signature",
        "svix-timestamp",
        "webhook-signature",
        "webhook-timestamp",
        "x-amz-sns-message-id",
    }
    | {
        "x-slack-retry-num",
        "X-GitHub-Event",
        "X-Shopify-Webhook-Id",
        "X-Twilio-Webhooks-Signature-Settings",
    }
)
EXCEPT = {
    ("attio", "idempotency-key"): "changes of one attribute may come again the same to the byte",
    (
        "shopify",
        "shopify-event-id",
    ): "only of what has no time, which may come again the same to the byte",
    (
        "shopify",
        "shopify-topic",
    ): "two topics of one order may be the same to the byte, and both are events",
    (
        "github",
        "x-github-delivery",
    ): "only of events without a time, which may come again the same to the byte",
    ("bitbucket", "x-request-uuid"): "only of pushes, which may come again the same to the byte",
    (
        "forgejo",
        "x-forgejo-delivery",
    ): "only of pushes, branches and wikis, which may come again the same to the byte",
    (
        "gitea",
        "x-gitea-delivery",
    ): "only of pushes, branches and wikis, which may come again the same to the byte",
    ("sentry", "request-id"): "only of changed issues, which may come again the same to the byte",
    (
        "woocommerce",
        "x-wc-webhook-delivery-id",
    ): "only of what has no time, which may come again the same to the byte",
    (
        "woocommerce",
        "x-wc-webhook-topic",
    ): "two topics of one order may be the same to the byte, and both are events",
}
"""Headers that nobody signs and that must tell events apart all the same; docs/security-model.md
names each."""

NAMES_KEY = "PayPal-Cert-Url"
"""A header that says where the vendor's key is: one that can't be had is no verdict."""


@dataclass(frozen=True)
class Sent:
    """A delivery as it is sent: the genuine one, or what somebody has made of it."""

    what: str
    method: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def named(self, what: str, **changed: Any) -> Sent:
        """The same with something changed."""
        return replace(self, what=f"{self.what}, {what}" if self.what else what, **changed)

    def header(self, name: str) -> str | None:
        """The header's value."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def with_header(self, name: str, value: str | None) -> tuple[tuple[str, str], ...]:
        """The headers with this one set, or, with None, gone."""
        kept = tuple((key, old) for key, old in self.headers if key.lower() != name.lower())
        return kept if value is None else (*kept, (name, value))


def sent(genuine: Genuine) -> Sent:
    """As the platform sends it."""
    return Sent(
        "",
        genuine.method,
        urlsplit(genuine.url).query,
        tuple(genuine.headers.items()),
        genuine.body,
    )


def is_of_sender(genuine: Genuine) -> bool:
    """Whether it proves who sends and nothing of what, so that whoever has the proof may send
    anything."""
    platform = PLATFORMS[genuine.platform]
    if "signature" in genuine.webhook:
        return False
    if platform.verifier is None:
        return True
    covers = platform.verifier.covers
    return covers == {"sender"} or ("sender" in covers and "X-Gitlab-Token" in genuine.headers)


# --- what can be changed ---


def changes(given: Sent) -> Iterator[Sent]:
    """The delivery with one thing changed, in every place that no signature covers, and some that
    one does."""
    yield from content_types(given)
    yield from queries(given)
    for method in METHODS:
        yield given.named(f"method {method}", method=method)
    for name, value in given.headers:
        if name.lower() != "content-type":
            yield from values(given, name, value)
    yield from boundaries(given)
    yield from bodies(given)


def ids(given: Sent, value: str) -> Iterator[Sent]:
    """The delivery with one header more that some platform takes for an id or a kind; `values`
    changes those it has."""
    for name in IDS:
        if given.header(name) is None:
            yield given.named(f"{name}: {value}", headers=given.with_header(name, value))


def at_once(given: Sent, changed: list[Sent]) -> Sent:
    """The delivery with all these headers more."""
    more = tuple(one.headers[-1] for one in changed)
    return given.named(", ".join(one.what for one in changed), headers=(*given.headers, *more))


def content_types(given: Sent) -> Iterator[Sent]:
    for content_type in TYPES:
        yield given.named(
            f"type {content_type}", headers=given.with_header("Content-Type", content_type)
        )


def queries(given: Sent) -> Iterator[Sent]:
    for query in QUERIES:
        yield given.named(f"query {query}", query=query)
        if given.query:
            yield given.named(f"query +{query}", query=f"{given.query}&{query}")
            yield given.named(f"query {query}+", query=f"{query}&{given.query}")
    yield given.named("no query", query="")
    yield given.named("query twice", query=f"{given.query}&{given.query}")


def values(given: Sent, name: str, value: str) -> Iterator[Sent]:
    """The header gone, doubled, in another case, with more or less in it, in other ways to write
    it."""
    made = {
        None, "", "forged", value.upper(), value.lower(), value.swapcase(), f"{value},{value}", f"{value}, {value}",
        f"{value} {value}", f" {value} ", f"{value}\t", value + "=", value.rstrip("="), value + "0", value + ".0",
        "0" + value, value[:-1], value[1:], value[:-1] + "1", value.replace("+", "-").replace("/", "_"),
        f"forged,{value}", f"{value},forged", f"v1,AAAA {value}", ",".join([value] * 3000), value + " " * 3000,
        value.replace("=", "=" * 40), value.replace("t=", "t=1,t="), "1760000000", "1760000001", "1760000000000",
        "1760000000.5", "2025-10-09T08:53:20Z", "2025-10-09T08:53:20.000Z", "2025-10-09T10:53:20+02:00", "soon",
    }  # fmt: skip
    for changed in sorted(made, key=lambda text: (text is not None, text)):
        if changed != value:
            shown = (
                "none"
                if changed is None
                else changed
                if len(changed) < 80
                else f"{len(changed)} characters"
            )
            yield given.named(f"{name}: {shown}", headers=given.with_header(name, changed))


def boundaries(given: Sent) -> Iterator[Sent]:
    """What is in a header moves into the body, and the other way round: some schemes set nothing
    between them."""
    for name, value in given.headers:
        for size in SIZES:
            if size < len(value):
                for glue in (b"", b".", b":"):
                    yield given.named(
                        f"{size} characters of {name} in the body",
                        headers=given.with_header(name, value[:-size]),
                        body=value[-size:].encode("latin-1", "replace") + glue + given.body,
                    )
            moved = given.body[:size].decode("latin-1")
            if moved.isprintable() and moved.isascii() and size <= len(given.body):
                yield given.named(
                    f"{size} bytes of the body in {name}",
                    headers=given.with_header(name, value + moved),
                    body=given.body[size:],
                )
    for size in SIZES:
        moved = given.body[:size].decode("latin-1")
        yield given.named(
            f"{size} bytes of the body in the query",
            query=given.query + moved,
            body=given.body[size:],
        )


def bodies(given: Sent) -> Iterator[Sent]:
    """Other bytes; for a proof that is in the body also those that say the same, or more."""
    yield given.named("no body", body=b"")
    yield given.named("space after", body=given.body + b" ")
    yield given.named("space before", body=b"\n" + given.body)
    yield given.named("byte order mark", body=b"\xef\xbb\xbf" + given.body)
    yield given.named("twice", body=given.body * 2)
    yield given.named("another field", body=given.body + b"&forged=1")
    yield given.named("no equals signs", body=given.body.replace(b"=", b"", 1))
    yield given.named(
        "moved equals sign", body=given.body.replace(b"=", b"", 1).replace(b"&", b"=", 1)
    )
    try:
        value = json.loads(given.body)
    except ValueError:
        return
    if isinstance(value, dict):
        yield given.named("written anew", body=json.dumps(value, indent=1, sort_keys=True).encode())
        yield given.named("more keys", body=json.dumps(value | {"forged": True}).encode())
        yield given.named(
            "keys twice", body=given.body.rstrip()[:-1] + b"," + given.body.lstrip()[1:]
        )
        for name in ("MessageId", "id", "event_id", "eventId", "webhookTimestamp", "Timestamp"):
            yield given.named(f"other {name}", body=json.dumps(value | {name: "forged"}).encode())


# --- the property ---

_ENVIRON: dict[str, Any] = {}
setup_testing_defaults(_ENVIRON)


def send(relay: Relay, name: str, given: Sent) -> int:
    """Posts it as a client that may write anything; the status."""
    return answer_to(relay, name, given)[0]


def answer_to(relay: Relay, name: str, given: Sent) -> tuple[int, bytes]:
    """The same; status and answer. WSGI joins a header's values and strips them.

    There are ten thousands of them, and Flask's client would take more time than the relay.
    """
    environ: dict[str, Any] = {
        **_ENVIRON,
        "REQUEST_METHOD": given.method,
        "PATH_INFO": f"/webhook/{name}",
        "QUERY_STRING": given.query,
        "CONTENT_LENGTH": str(len(given.body)),
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": BytesIO(given.body),
    }
    for key, value in given.headers:
        variable = key.upper().replace("-", "_")
        prefix = "" if variable in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_"
        environ[prefix + variable] = value.strip(" \t")
    statuses: list[str] = []
    answer = b"".join(relay.app(environ, lambda status, *_: statuses.append(status)))  # type: ignore[arg-type, return-value]
    return int(statuses[-1].split()[0]), answer


class Target:
    """A relay with two webhooks for one genuine delivery: `after` has had it, `before` has not."""

    def __init__(self, genuine: Genuine, make_relay: MakeRelay, clock: Clock):
        clock.now = genuine.now
        self.genuine = genuine
        self.relay: Relay = make_relay(
            *(
                genuine.webhook
                | {"name": name, "public_url": genuine.webhook.get("public_url", genuine.url)}
                for name in ("after", "before")
            ),
            fetch=genuine.fetch,
        )
        self._checked: dict[Any, bool] = {}
        """What was sent, and whether both took it: some changes are none once headers are
        stripped."""
        self.taken: list[tuple[str, bytes]] = []
        """What was changed in what it took, and the answer."""
        self.payload = self.after_genuine()
        self.events = {event.id for event in self.relay.events()}

    def after_genuine(self) -> Any:
        """The payload that the genuine delivery has; None if it is proven, but no event."""
        assert send(self.relay, "after", sent(self.genuine)) in TAKEN, self.relay.rejections()
        payloads = self.relay.payloads()
        return payloads[0] if payloads else None

    def check(self, given: Sent) -> bool:
        """Sends it to both; whether both took it. `check_events` is to follow."""
        headers = tuple((name, value.strip(" \t")) for name, value in given.headers)
        sent_now = given.method, given.query, headers, given.body
        if sent_now not in self._checked:
            self._checked[sent_now] = self._check(given)
        return self._checked[sent_now]

    def _check(self, given: Sent) -> bool:
        took = True
        if not is_alike(PLATFORMS[self.genuine.platform]):
            took = self._take("after", given)
        if covers_body(self.genuine) or given.body == self.genuine.body:
            took = self._take("before", given) and took
        return took

    def _take(self, name: str, given: Sent) -> bool:
        """Whatever has been changed, the answer is a refusal or that of a delivery."""
        status, answer = answer_to(self.relay, name, given)
        no_verdict = {503} if NAMES_KEY in given.what else set()
        assert name == "before" or status in REFUSED | TAKEN | no_verdict, (given.what, status)
        if status in TAKEN:
            self.taken.append((given.what, answer))
        return status in TAKEN

    def check_events(self) -> None:
        """There is no further event where the genuine delivery has come, and where it hasn't, none
        of another payload.

        Once at the end: to read the events takes longer than to refuse one.
        """
        for event in self.relay.events():
            if event.id not in self.events:
                may_be = event.webhook == "before" and json.loads(event.payload) == self.payload
                assert may_be, (
                    event,
                    [what for what, answer in self.taken if event.id.encode() in answer],
                )


def covers_body(genuine: Genuine) -> bool:
    """Whether all of the body is signed, and no other body has the same signature."""
    verifier = PLATFORMS[genuine.platform].verifier
    covers = verifier.covers if verifier is not None else {"body"}
    return "signature" in genuine.webhook or ("body" in covers and genuine.platform != "twilio")


def is_excepted(given: Sent, platform: str, alike: bool) -> bool:
    """Whether a header that tells events apart has been changed, of an event that it tells apart."""
    return any(
        name == platform and header in given.what.lower() and (alike or header.endswith("topic"))
        for name, header in EXCEPT
    )


def is_timeless(genuine: Genuine) -> bool:
    """Whether it is among the events that only a header tells apart."""
    times = {"woocommerce": b'"date_modified', "shopify": b'_at"'}
    if genuine.platform in times:
        return times[genuine.platform] not in genuine.body
    words = (
        b'"client_payload"',
        b"zen",
        b'"push":',
        b'"commits":',
        b'"page"',
        b'"resolved"',
        b'"record_id"',
    )
    return any(word in genuine.body for word in words)


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_nothing_unsigned_changes_what_a_delivery_is(
    platform: str, make_relay: MakeRelay, clock: Clock, tmp_path: Path
) -> None:
    found = list(deliveries_of(platform, tmp_path))
    assert found, f"no genuine delivery of {platform}: add one to tests/support/genuine.py"
    taken = 0
    for genuine in found:
        if _is_unreadable(genuine) or is_of_sender(genuine):
            continue
        target = Target(genuine, make_relay, clock)
        taken += 1
        given, timeless = sent(genuine), is_timeless(genuine)
        for changed in changes(given):
            if not is_excepted(changed, platform, timeless):
                target.check(changed)
        for value in ("forged", "1760000000", ""):
            more = [one for one in ids(given, value) if not is_excepted(one, platform, timeless)]
            # One that is refused may hide what another does.
            if not target.check(at_once(given, more)):
                for one in more:
                    target.check(one)
        target.check_events()
    assert taken or all(map(is_of_sender, found))


def _is_unreadable(genuine: Genuine) -> bool:
    """Published examples that are signed right, and that no parser reads."""
    if "json" not in genuine.headers.get("Content-Type", "json") and genuine.platform != "aws-sns":
        return False
    try:
        json.loads(genuine.body)
    except ValueError:
        return True
    return False

"""The model of the webhooks file: every key with its type, rules and an example.

Rules about several keys are in their model's `rules`, which sees the text as written: so they are
checked even if single values are wrong, and all errors are reported together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from config.callbacks import Callback, faults_beside
from config.payload_keys import Decode, PayloadSchemaFile, Split
from config.proof_keys import Challenges, Dedup, Jwt, Mtls, Signature
from config.quantities import Duration, Rate, Size
from config.target_keys import Message, Respond, Start, faults_of_messages
from config.value_types import (
    Expected,
    HeaderName,
    HeaderValues,
    JsonPath,
    Name,
    Network,
    Secret,
    Secrets,
    StrictModel,
    Topics,
    Url,
    UrlPart,
    Versions,
    from_list,
    may_hold,
)

DEFAULT_HOLD = 600.0
"""Seconds for which an event without a taker is held, unless its webhook says otherwise."""


class Accept(StrictModel):
    """How many proven deliveries a webhook takes."""

    rate: Rate = Field(
        description="proven deliveries, at most; others are answered 429", examples=["200/s"]
    )
    burst: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None,
        description="how many at once; by default as many as in two seconds",
        examples=[400],
    )

    @property
    def most_at_once(self) -> int:
        """Deliveries that may arrive at the same moment."""
        return self.burst or max(1, math.ceil(2 * self.rate))


class Webhook(StrictModel):
    """One webhook: a URL, how its deliveries are verified, and which workflows its events reach."""

    name: UrlPart = Field(
        description="unique; the URL is /webhook/NAME", examples=["github-deploys"]
    )
    id: UrlPart | None = Field(
        default=None, description="another last part for the URL", examples=["7f3kq"]
    )
    platform: str = Field(
        default="custom",
        min_length=1,
        description="who sends: decides how deliveries are verified and answered",
        examples=["github"],
    )
    secret: Secrets | None = Field(
        default=None,
        description="the platform's signing secret, or a list while it is being rotated",
        examples=["${GITHUB_WEBHOOK_SECRET}"],
    )
    verify_token: Secret | None = Field(
        default=None,
        description="facebook, whatsapp: the token of the subscription's challenge",
        examples=["${FACEBOOK_VERIFY_TOKEN}"],
    )
    audience: Name | None = Field(
        default=None,
        description="google-pubsub, google-chat: the audience of the token",
        examples=["https://hooks.example.com/webhook/NAME"],
    )
    topic: Topics | None = Field(
        default=None,
        description=(
            "aws-sns: the ARN of the topic, or a list; * for every region or every topic of the"
            " account"
        ),
        examples=["arn:aws:sns:eu-west-1:123456789012:alarms"],
    )
    service_account: Name | None = Field(
        default=None,
        description="google-pubsub: the e-mail of the account that signs the token",
        examples=["pusher@project.iam.gserviceaccount.com"],
    )
    headers: dict[HeaderName, HeaderValues] | None = Field(
        default=None,
        min_length=1,
        description=(
            "headers that every delivery must carry: name → value, or a list while it is being"
            " rotated"
        ),
        examples=[{"X-Api-Key": "${ORDERS_KEY}"}],
    )
    signature: Signature | None = Field(
        default=None,
        description="the HMAC scheme of a custom sender",
        examples=[{"secret": "${PARTNER_SECRET}", "header": "X-Partner-Signature"}],
    )
    jwt: Jwt | None = Field(
        default=None,
        description="a bearer token of an issuer that every delivery must carry",
        examples=[{"issuer": "https://login.example.com", "audience": "hooks"}],
    )
    mtls: Mtls | None = Field(
        default=None,
        description="the client certificate that a trusted proxy must forward with every delivery",
        examples=[{"header": "X-SSL-Client-S-DN", "subject": "CN=partner,O=Example,C=SE"}],
    )
    challenge: Challenges | None = Field(
        default=None,
        description=(
            "custom senders: the query parameter or JSON field whose value is answered as plain"
            " text; or {name: NAME, answer: json, head: true}"
        ),
        examples=["challenge"],
    )
    callback: Callback | None = Field(
        default=None,
        description="each of its URLs completes one task",
        examples=[{"secret": "${APPROVALS_SECRET}", "expires": "7d"}],
    )
    verifier: Literal["none"] | None = Field(
        default=None, description="none: deliveries are not verified at all"
    )
    only: dict[JsonPath, Annotated[Expected, may_hold("every delivery would be filtered")]] = Field(
        default={},
        min_length=1,
        description="JSONPath → expected value or operators; others are answered and not stored",
        examples=[{"$.type": {"$in": ["ticket.created", "ticket.updated"]}}],
    )
    receivers: dict[Name, Versions] = Field(
        default={},
        description=(
            "workflows whose WAIT_FOR_WEBHOOK tasks it may complete: name → any, version or"
            " versions"
        ),
        examples=[{"deploy": "any"}],
    )
    starts: Annotated[tuple[Start, ...], BeforeValidator(from_list)] = Field(
        default=(),
        description="workflows that the webhook starts",
        examples=[[{"workflow": "on_push"}]],
    )
    messages: Annotated[tuple[Message, ...], BeforeValidator(from_list)] = Field(
        default=(),
        description="running workflows that get the payload in their message queues, in order",
        examples=[[{"workflow": "agent", "key": "$.event.thread_ts", "else": "start"}]],
    )
    hold: Duration = Field(
        default=DEFAULT_HOLD,
        description="how long an event that no task waits for is held; 0s turns it off",
        examples=["10m"],
    )
    dedup: Dedup | None = Field(
        default=None,
        description="custom senders: where the delivery id is",
        examples=[{"header": "X-Delivery-Id"}],
    )
    decode: Decode = Field(
        default=None,
        description=(
            "JSONPath → the encoding of the string there: json, base64, base64-json, gzip; false:"
            " none"
        ),
        examples=[{"$.payload": "base64-json"}],
    )
    split: Split = Field(
        default=False,
        description=(
            "each element of an array becomes an event: true for the top-level one, or a JSONPath"
            " to it"
        ),
        examples=["$.items"],
    )
    payload_schema: PayloadSchemaFile | None = Field(
        default=None,
        alias="schema",
        description=(
            "a file with a JSON Schema that payloads must fit; others are answered 422 and not"
            " stored"
        ),
        examples=["order.schema.json"],
    )
    max_body: Size | None = Field(
        default=None,
        description="the largest body; the platform's own limit by default",
        examples=["2MB"],
    )
    allow_ips: Annotated[tuple[Network, ...], BeforeValidator(from_list), Field(min_length=1)] = (
        Field(
            default=(),
            description="networks that may post; all by default",
            examples=[["192.0.2.0/24"]],
        )
    )
    accept: Accept | None = Field(
        default=None,
        description=(
            "how many proven deliveries one relay accepts; others are answered 429, and sent again"
            " later"
        ),
        examples=[{"rate": "200/s", "burst": 400}],
    )
    pace: Rate | None = Field(
        default=None,
        description="calls to Conductor for this webhook, at most; others wait",
        examples=["50/s"],
    )
    respond: Respond | None = Field(
        default=None,
        description=(
            "the answer to an accepted or filtered delivery, instead of the platform's usual one"
        ),
        examples=[{"status": 202, "body": "thanks"}],
    )
    hide: Annotated[tuple[JsonPath, ...], BeforeValidator(from_list)] = Field(
        default=(),
        description=(
            "JSONPaths of values that people don't see: blank on page, API and command line, not"
            " for Conductor"
        ),
        examples=[["$.customer.email"]],
    )
    listen: bool = Field(
        default=False,
        description=(
            "true: deliveries are kept as they came, for an hour at most, and admins may listen to"
            " them"
        ),
    )
    keep_rejected: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None,
        description=(
            "how many rejected deliveries are kept, to accept them once the secret is corrected"
        ),
        examples=[100],
    )
    metadata: bool = Field(
        default=True, description="false leaves _webhook out of outputs and inputs"
    )
    public_url: Url | None = Field(
        default=None,
        description=(
            "the webhook's whole URL as the platform calls it, for signatures that cover the URL"
        ),
        examples=["https://hooks.example.com/webhook/NAME"],
    )
    tolerance: Duration | None = Field(
        default=None, description="how old or early a signed timestamp may be", examples=["5m"]
    )

    @property
    def url_id(self) -> str:
        """The last part of the webhook's URL."""
        return self.id or self.name

    @classmethod
    def rules(cls, written: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
        if not any(written.get(key) for key in ("receivers", "starts", "messages")):
            yield (
                None,
                (
                    "neither `receivers` nor `starts` nor `messages`: its events would reach"
                    " nothing; add receivers: {WORKFLOW: any}, or starts: [{workflow: WORKFLOW}]"
                ),
            )
        yield from faults_of_messages(written)
        yield from _faults_of_starts(written)
        yield from _faults_of_headers(written)
        if written.get("callback") is not None:
            yield from faults_beside(written)
        respond = written.get("respond")
        waits = isinstance(respond, dict) and respond.get("wait") is not None
        if waits and written.get("split"):
            yield (
                "respond",
                (
                    "`wait` with `split`: each of a delivery's events has workflows of its own, and"
                    " there is one answer; remove wait and output, or split"
                ),
            )


def _faults_of_starts(written: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    starts = written.get("starts")
    if written.get("receivers") or not isinstance(starts, list):
        return
    if any(isinstance(start, dict) and start.get("unless") is not None for start in starts):
        yield (
            "starts",
            (
                "`unless: taken` without `receivers`: no task could take the event; "
                "add receivers: {WORKFLOW: any}, or remove unless"
            ),
        )


def _faults_of_headers(written: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    headers = written.get("headers")
    if not isinstance(headers, dict):
        return
    names = [name.lower() for name in headers if isinstance(name, str)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield (
            "headers",
            f"the header {name} appears twice: header names are case-insensitive; remove one",
        )


class WebhooksFile(BaseModel):
    """The YAML file of the admins."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    webhooks: tuple[Webhook, ...] = Field(description="the webhooks, each with a URL of its own")

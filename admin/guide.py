"""What people are told of each platform: what it is for, what to enter there, and events to try it with.

The texts are those of docs/platforms.md, of which this package has a copy (a test holds them equal), so page, command
line and documentation say the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal
from urllib.parse import urlencode

from platforms import PLATFORMS

SecretFrom = Literal["us", "platform", "nobody"]
"""Who makes the secret up: whoever connects the platform, or the platform, which shows it."""


@dataclass(frozen=True)
class Guide:
    """One platform, for people."""

    name: str
    title: str
    purpose: str
    made_by: SecretFrom
    secret_label: str
    there: str = ""
    """What to do at the platform, as Markdown."""
    notes: tuple[str, ...] = ()
    """What else to know, as Markdown."""

    @property
    def settings(self) -> tuple[str, ...]:
        """What a webhook of this platform may be given beside its secret, the needed first."""
        rules = PLATFORMS[self.name]
        others = (rules.required | rules.options | rules.challenge_settings) - {"secret", "signature", "dedup"}
        return tuple(sorted(others, key=lambda setting: (setting not in rules.required, setting)))

    @property
    def needs_secret(self) -> bool:
        """Whether a webhook can't be made without a secret."""
        rules = PLATFORMS[self.name]
        return "secret" in rules.required and not rules.challenge_only


@dataclass(frozen=True)
class SampleEvent:
    """A delivery as the platform might send it, in words and values of ours."""

    name: str
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


_SHOWN = "Signing secret"
_FACTS: dict[str, tuple[str, str, SecretFrom, str]] = {
    "aws-sns": ("Amazon SNS", "alarms and messages of a topic: CloudWatch, S3, SES and others", "nobody", ""),
    "bitbucket": ("Bitbucket", "pushes, pull requests and pipelines of a repository", "us", "Secret"),
    "calendly": ("Calendly", "appointments that are made or cancelled", "us", "Signing key"),
    "cloudevents": (
        "CloudEvents",
        "whoever speaks CloudEvents: Azure Event Grid, Knative, Eventarc, Argo and others",
        "us",
        "Bearer token",
    ),
    "custom": ("Custom", "any other sender: a header with a key, or an HMAC signature", "us", "Value of the header"),
    "discord": ("Discord", "slash commands, buttons and events of a Discord app", "platform", "Public key"),
    "dropbox": ("Dropbox", "changes of files in linked accounts", "platform", "App secret"),
    "facebook": (
        "Facebook, Instagram, WhatsApp",
        "messages and posts by Meta: Messenger, Instagram, WhatsApp",
        "platform",
        "App secret",
    ),
    "github": ("GitHub", "pushes, pull requests, issues and releases", "us", "Secret"),
    "gitlab": ("GitLab", "pushes, merge requests and pipelines", "us", "Secret token"),
    "google-pubsub": ("Google Cloud Pub/Sub", "messages of a topic by a push subscription", "nobody", ""),
    "hubspot": ("HubSpot", "changes of contacts, companies and deals", "platform", "Client secret"),
    "intercom": ("Intercom", "conversations and users", "platform", "Client secret"),
    "jira": ("Jira", "issues that are made, changed or moved", "us", "Secret"),
    "linear": ("Linear", "issues, comments and projects", "platform", _SHOWN),
    "mailgun": ("Mailgun", "mails that are delivered, bounced, opened or received", "platform", "HTTP signing key"),
    "microsoft-graph": ("Microsoft Graph", "changes of mails, calendars, files and users", "us", "clientState"),
    "microsoft-teams": ("Microsoft Teams", "messages that mention an outgoing webhook", "platform", "Security token"),
    "okta": ("Okta", "users and log-ins, by event hooks", "us", "Authentication secret"),
    "pagerduty": ("PagerDuty", "incidents that are triggered, acknowledged or resolved", "platform", _SHOWN),
    "sendgrid": ("SendGrid", "mails that are delivered, bounced, opened or clicked", "platform", "Verification key"),
    "shopify": ("Shopify", "orders, products and customers of a shop", "platform", "Client secret"),
    "slack": ("Slack", "messages, mentions, buttons and slash commands", "platform", _SHOWN),
    "square": ("Square", "payments, orders and refunds", "platform", "Signature key"),
    "standard-webhooks": (
        "Standard Webhooks",
        "whoever sends by this standard, Svix above all",
        "platform",
        _SHOWN,
    ),
    "stripe": ("Stripe", "payments, checkouts, invoices and subscriptions", "platform", _SHOWN),
    "twilio": ("Twilio", "messages and calls, and what became of them", "platform", "Auth token"),
    "twitter": ("X (Twitter)", "posts, mentions and direct messages", "platform", "Consumer secret"),
    "typeform": ("Typeform", "answers to a form", "us", "Secret"),
    "zendesk": ("Zendesk", "tickets, users and organisations", "platform", _SHOWN),
    "zoom": ("Zoom", "meetings, recordings and participants", "platform", "Secret token"),
}
"""platform → title, what for, who makes the secret, what the platform calls it."""


@cache
def guides() -> dict[str, Guide]:
    """platform → guide, in the order of the names; a platform without facts of its own gets general ones."""
    sections = dict(_sections(files("admin").joinpath("platforms.md").read_text(encoding="utf-8")))
    found: dict[str, Guide] = {}
    for name in sorted(PLATFORMS):
        facts = _FACTS.get(name, (name, "events of this platform", "platform", "Secret"))
        there, notes = _told(sections.get(name, ""))
        found[name] = Guide(name, *facts, there, notes)
    return found


def _sections(text: str) -> Iterator[tuple[str, str]]:
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        yield heading.strip(), body


def _told(section: str) -> tuple[str, tuple[str, ...]]:
    """What to do there, and the paragraphs of what to know, without the YAML."""
    before, _, after = section.partition("```yaml")
    first = " ".join(before.split())
    first = re.sub(r"\s*\*Here\*.*$", "", first).replace("*There*: ", "")
    first = first[:1].upper() + first[1:]
    rest = re.sub(r"```yaml.*?```", "", "```yaml" + after, flags=re.DOTALL)
    notes = (" ".join(paragraph.split()) for paragraph in rest.split("\n\n"))
    return first, tuple(note for note in notes if note and not note.endswith(":"))


@cache
def samples(platform: str) -> dict[str, SampleEvent]:
    """name → sample event of the platform; the first is the one to try first."""
    found: dict[str, SampleEvent] = {}
    for file in sorted(files("admin").joinpath("samples").iterdir(), key=lambda file: file.name):
        whose, _, name = file.name.removesuffix(".json").partition(".")
        if whose == platform:
            written = json.loads(file.read_text(encoding="utf-8"))
            found[name] = _sample(name, written)
    preferred = {"github": "push", "slack": "message", "stripe": "checkout", "gitlab": "push"}.get(platform)
    return dict(sorted(found.items(), key=lambda item: item[0] != preferred))


def _sample(name: str, written: dict[str, Any]) -> SampleEvent:
    headers = written.get("headers", {})
    if "form" in written:
        return SampleEvent(name, urlencode(written["form"]).encode(), "application/x-www-form-urlencoded", headers)
    return SampleEvent(name, json.dumps(written["body"], ensure_ascii=False).encode(), "application/json", headers)

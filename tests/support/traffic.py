"""A bridge with a week of realistic traffic in its store, for the documentation's pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from admin.bridge import open_definitions
from platforms import PLATFORMS
from relay.verify.verification import fingerprint
from store.delivery_records import WithoutEvent
from store.records import Decision, NewEvent, NewTarget, Result, Task, Term, new_event_id
from store.reports import Reports
from store.sqlite import open_store
from store.summary import Summarizer
from tests.support.deciding import adopt, decide
from tests.support.sample import Sample, settings_for

_HOUR = 3_600_000

DEFINITIONS = """\
webhooks:
  - name: github-deploys
    platform: github
    secret: a-secret-of-more-than-sixteen-characters
    receivers: {deploy: any}
  - name: stripe-payments
    platform: stripe
    secret: whsec_0123456789abcdef0123456789abcdef
    receivers: {checkout: any}
    starts: [{workflow: book_payment, when: {$.type: charge.succeeded}}]
  - name: shopify-orders
    platform: shopify
    secret: a-secret-of-more-than-sixteen-characters
    receivers: {fulfilment: any}
    starts: [{workflow: new_order}]
  - name: slack-approvals
    platform: slack
    secret: 0123456789abcdef0123456789abcdef
    receivers: {expense_report: any, release: any}
  - name: hubspot-leads
    platform: hubspot
    secret: a-secret-of-more-than-sixteen-characters
    starts: [{workflow: new_lead}]
  - name: warehouse
    headers: {X-Api-Key: another-secret-value}
    receivers: {fulfilment: any}
    hold: 30m
  - name: twilio-messages
    platform: twilio
    secret: 0123456789abcdef0123456789abcdef
    receivers: {support_case: any}
"""
"""The webhooks; the last one is new and hasn't received anything."""

_BUSY = {"shopify-orders": 38, "stripe-payments": 30, "github-deploys": 9, "hubspot-leads": 7, "slack-approvals": 4, "warehouse": 12}  # fmt: skip
"""Webhook → deliveries in a busy hour."""
_WORKFLOWS = {
    "github-deploys": "deploy",
    "stripe-payments": "checkout",
    "shopify-orders": "new_order",
    "slack-approvals": "expense_report",
    "hubspot-leads": "new_lead",
    "warehouse": "fulfilment",
}
_WRONG = "the signature in X-Hub-Signature-256 is not that of the body: the secrets differ"


def make_traffic(folder: Path, hours: int = 168, **more: Any) -> Sample:
    """Makes the definitions and fills a new store with these hours of traffic, up to now."""
    settings = settings_for(folder, **more)
    (folder / "webhooks.yaml").write_text(DEFINITIONS, encoding="utf-8")
    sample = Sample(folder, open_store(settings.bridge_database), settings)
    store, draw = sample.store, Random(7)
    now = store.now()
    store.leadership.elect("worker", 10**9)
    for back in range(hours - 1, -1, -1):
        _fill_hour(sample, now // _HOUR * _HOUR - back * _HOUR, now, draw)
    held = [_event("warehouse", now - 300_000, draw)]
    store.deliveries.append(held)
    _settle(sample, held, now, draw)
    _fill_tasks(sample, now)
    definitions = open_definitions(settings, dict).current
    for name in _BUSY:
        webhook = definitions.by_name[name]
        store.verifications.set_verified(
            name, fingerprint(webhook, store.verifications.salt()), now - 40 * 24 * _HOUR
        )
    rejections = [
        WithoutEvent("github-deploys", now - minutes * 60_000, 401, _WRONG, "203.0.113.9")
        for minutes in (50, 38, 21)
    ]
    store.without_events.record(rejections, {})
    store.reports.write(Reports(conductor="up"))
    return sample


def _fill_hour(sample: Sample, begin: int, now: int, draw: Random) -> None:
    daytime = 1.0 if 7 <= begin // _HOUR % 24 <= 18 else 0.3
    last = min(begin + _HOUR, now - 20_000)
    events = []
    for name, busy in _BUSY.items():
        number = round(busy * daytime * draw.uniform(0.6, 1.4) * (last - begin) / _HOUR)
        events += [_event(name, draw.randint(begin, last), draw) for _ in range(number)]
        counts = {"accepted": number}
        if name == "github-deploys" and (now - begin) // _HOUR in (1, 2, 30):
            counts["rejected"] = 11
        if name == "shopify-orders" and number > 20:
            counts["duplicate"] = number // 12
        _count(sample, name, begin, counts)
    events.sort(key=lambda event: event.received_at)
    if events:
        sample.store.deliveries.append(events)
        _settle(sample, events, now, draw)


def _count(sample: Sample, webhook: str, hour: int, counts: dict[str, int]) -> None:
    with sample.store._connections.transaction() as db:
        for outcome, number in counts.items():
            db.execute(
                "INSERT INTO delivery_counts (webhook, hour, outcome, number) VALUES (?, ?, ?, ?)",
                (webhook, hour, outcome, number),
            )


def _event(webhook: str, at: int, draw: Random) -> NewEvent:
    payload, headers = _payload(webhook, draw)
    names = {"warehouse": "custom"}
    platform = PLATFORMS[names.get(webhook, webhook.partition("-")[0])]
    kind, parts = Summarizer(platform, ()).summarize(payload)
    event = NewEvent(
        new_event_id(), webhook, at, json.dumps(payload), headers, {}, at + _HOUR // 2,
        f"{webhook}-{draw.getrandbits(64):016x}",
    )  # fmt: skip
    return replace(event, type=kind or headers.get("x-type"), summary_parts=parts)


def _payload(webhook: str, draw: Random) -> tuple[dict[str, Any], dict[str, str]]:
    number = draw.randint(10_000, 99_999)
    match webhook:
        case "github-deploys":
            branch = draw.choice(("main", "main", "release/2.4", "fix/cart-rounding"))
            repository = {"full_name": draw.choice(("acme/shop", "acme/api"))}
            push = {
                "ref": f"refs/heads/{branch}",
                "repository": repository,
                "pusher": {"name": "ada"},
            }
            return push, {"x-github-event": "push", "user-agent": "GitHub-Hookshot/044aadd"}
        case "stripe-payments":
            kind = draw.choice(
                ("checkout.session.completed", "charge.succeeded", "charge.refunded")
            )
            payment = {
                "id": f"pi_{number}",
                "amount": draw.randint(5, 400) * 100,
                "currency": "eur",
            }
            return {"id": f"evt_{number}", "type": kind, "data": {"object": payment}}, {}
        case "shopify-orders":
            order = {
                "id": number,
                "name": f"#{number}",
                "total_price": f"{draw.randint(9, 300)}.00",
            }
            return order, {"x-shopify-topic": "orders/create"}
        case "slack-approvals":
            event = {"type": "reaction_added", "reaction": "white_check_mark", "user": "U02ADA"}
            return {"type": "event_callback", "event": event}, {}
        case "hubspot-leads":
            return {"subscriptionType": "contact.creation", "objectId": number}, {}
        case _:
            return {"order": number, "state": draw.choice(("packed", "shipped"))}, {}


def _settle(sample: Sample, events: list[NewEvent], now: int, draw: Random) -> None:
    """What becomes of an hour's events: nearly all are delivered."""
    store = sample.store
    decisions = [_decision(event, now - event.received_at, draw) for event in events]
    decide(store, Term("worker"), decisions, now, len(decisions))
    webhooks = {event.id: (event.webhook, event.received_at) for event in events}
    results = []
    for target in store.queries.targets_of(list(webhooks)):
        webhook, at = webhooks[target.event_id]
        if webhook == "hubspot-leads" and 4 * _HOUR < now - at < 6.5 * _HOUR:
            results.append(Result(target, "failed", error="input of new_lead: email is required"))
        else:
            results.append(Result(target, "done", workflow_id=f"{target.event_id[:8]}-run"))
    store.claims.record_results("worker", results, now)
    with store._connections.transaction() as db:
        for event in events:
            slow = 3 if 9 <= event.received_at // _HOUR % 24 <= 12 else 1
            took = round(slow * draw.uniform(180, 650))
            at = event.received_at + took
            db.execute(
                "UPDATE events SET settled_at = ? WHERE id = ? AND settled_at > 0", (at, event.id)
            )
            db.execute(
                "UPDATE targets SET settled_at = ?, created_at = ? WHERE event_id = ?",
                (at, at, event.id),
            )


def _decision(event: NewEvent, age: int, draw: Random) -> Decision:
    is_held = event.webhook == "warehouse" and age < 25 * 60_000
    if is_held:
        return Decision(event.id, "pending", "held")
    if event.webhook == "warehouse" and draw.random() < 0.12:
        return Decision(event.id, "expired", "no")
    target = NewTarget("start", _WORKFLOWS[event.webhook], correlation_id=event.id)
    return Decision(event.id, "pending", "no", (target,))


def _fill_tasks(sample: Sample, now: int) -> None:
    waits = (
        ("deploy", "wait_for_push", {"$.repository.full_name": "acme/shop", "$.ref": "refs/heads/main"}, 12),
        ("deploy", "wait_for_push", {"$.repository.full_name": "acme/api", "$.ref": "refs/heads/release/2.5"}, 64),
        ("checkout", "wait_for_payment", {"$.type": "checkout.session.completed", "$.data.object.id": "pi_48213"}, 3),
        ("expense_report", "wait_for_approval", {"$.event.type": "reaction_added"}, 140),
        ("fulfilment", "wait_for_shipping", {"$.order": 48_120, "$.state": "shipped"}, 31),
    )  # fmt: skip
    tasks = [
        Task(
            id=f"task-{number}", workflow_id=f"workflow-{number}", workflow=workflow,
            reference_name=name, matches=matches, scheduled_at=now - minutes * 60_000, broken=None,
        )
        for number, (workflow, name, matches, minutes) in enumerate(waits)
    ]  # fmt: skip
    adopt(sample.store, Term("worker"), tasks, now)

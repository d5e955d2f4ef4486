"""The JSON of the command line and the API: Conductor's camelCase, ISO 8601 times in UTC."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from admin.explain.results import Comparison, EventExplanation, StartExplanation, TaskExplanation
from config.settings import Settings
from config.webhooks import Problem, Webhook
from criteria.matches import Criterion
from store.records import Event, Rejection, SetAside, Target, Task, iso
from worker.discovery.probe import Finding

Json = dict[str, Any]

_PORT = 8000
"""Where the relay listens unless $PORT says otherwise."""


def local_relay() -> str:
    """The relay on this machine."""
    text = os.environ.get("PORT", "")
    return f"http://localhost:{int(text) if text.isdecimal() and 0 < int(text[:6]) < 65536 else _PORT}"


def url_of(webhook: Webhook, settings: Settings) -> str:
    """The webhook's whole URL as its platform calls it; the local one if no public one is known."""
    return webhook.public_url or f"{settings.bridge_public_url or local_relay()}/webhook/{webhook.url_id}"


def relay_url_of(webhook: Webhook, settings: Settings) -> str:
    """The webhook's URL at the relay, as the settings have it, whatever the definition says of the way there."""
    base = settings.bridge_relay_url or settings.bridge_public_url or local_relay()
    return f"{base}/webhook/{webhook.url_id}"


def webhook(webhook: Webhook, url: str, verified_at: int | None, paused_at: int | None = None) -> Json:
    return {
        "name": webhook.name,
        "url": url,
        "platform": webhook.platform,
        "status": "Unverified" if verified_at is None else "Verified",
        "verifiedAt": iso(verified_at),
        **({"pausedAt": iso(paused_at)} if paused_at is not None else {}),
    }


def target(target: Target) -> Json:
    return {
        "kind": target.kind,
        "workflow": target.workflow,
        "workflowId": target.workflow_id,
        "version": target.version,
        "taskId": target.task_id,
        "referenceName": target.reference_name,
        "correlationId": target.correlation_id,
        "state": target.state,
        "attempts": target.attempts,
        "error": target.error,
        "createdAt": iso(target.created_at),
        "settledAt": iso(target.settled_at),
        "dueAt": iso(target.due_at) if target.state == "pending" else None,
    }


def event(event: Event, targets: Iterable[Target]) -> Json:
    """An event in a list."""
    return {
        "eventId": event.id,
        "webhook": event.webhook,
        "status": event.status,
        "receivedAt": iso(event.received_at),
        "deliveryId": event.delivery_id,
        "targets": [target(one) for one in targets],
    }


def set_aside(item: SetAside | None) -> Json | None:
    """Why something is set aside; None if it isn't."""
    if item is None:
        return None
    return {
        "kind": item.kind,
        "reason": item.reason,
        "since": iso(item.since),
        "tries": item.tries,
        "dueAt": iso(item.due_at),
    }


def whole_event(
    record: Event, targets: Iterable[Target], meaning: Iterable[str] = (), item: SetAside | None = None
) -> Json:
    """An event by itself; `item` if it is set aside."""
    return {
        **event(record, targets),
        "meaning": list(meaning),
        "setAside": set_aside(item),
        "heldUntil": iso(record.hold_until) if record.hold != "no" else None,
        "holdUntil": iso(record.hold_until),
        "decidedAt": iso(record.decided_at),
        "settledAt": iso(record.settled_at),
        "replayOf": record.replay_of,
        "headers": record.headers,
        "query": record.query,
        "payload": json.loads(record.payload),
    }


def task(task: Task) -> Json:
    """A task in a list; `broken`, the reason, is there only where the task's matches can't be parsed."""
    found = {
        "taskId": task.id,
        "workflowId": task.workflow_id,
        "workflow": task.workflow,
        "referenceName": task.reference_name,
        "matches": task.matches,
        "waitingSince": iso(task.scheduled_at),
    }
    return found if task.broken is None else {**found, "broken": task.broken}


def whole_task(record: Task, found: TaskExplanation) -> Json:
    """A task by itself, with the events that came near it."""
    return {
        **task(record),
        "state": record.state,
        "meaning": found.meaning,
        "setAside": set_aside(found.set_aside),
        "foundBy": record.found_by,
        "domain": record.domain,
        "targets": [{"eventId": one.event_id, **target(one)} for one in found.targets],
        "events": [
            {
                "eventId": finding.event.id,
                "webhook": finding.event.webhook,
                "status": finding.event.status,
                "receivedAt": iso(finding.event.received_at),
                **_verdict(finding),
            }
            for finding in found.near
        ],
    }


def finding(finding: Comparison) -> Json:
    """What is between an event and one task."""
    return {**task(finding.task), **_verdict(finding)}


def _verdict(finding: Comparison) -> Json:
    failed = finding.first_failed
    return {
        "verdict": finding.verdict,
        "reason": finding.reason,
        "firstFailed": failed.path if failed else None,
        "criteria": [criterion(one) for one in finding.criteria],
    }


def criterion(criterion: Criterion) -> Json:
    """`operator` is there only for one of a condition's operators; `expected` is its operand then."""
    return {
        "path": criterion.path,
        **({"operator": criterion.operator} if criterion.operator else {}),
        "expected": criterion.expected,
        "found": criterion.found,
        "holds": criterion.holds,
    }


def start(finding: StartExplanation) -> Json:
    """What one entry of `starts` made of an event."""
    return {
        "workflow": finding.start.workflow,
        "version": finding.start.version,
        "holds": finding.holds,
        "reason": finding.reason,
        "criteria": [criterion(one) for one in finding.criteria],
    }


def why(found: EventExplanation) -> Json:
    """An event explained."""
    return {
        "eventId": found.event.id,
        "status": found.event.status,
        "meaning": list(found.meaning),
        "starts": [start(one) for one in found.starts],
        "tasks": [finding(one) for one in found.tasks],
    }


def rejection(rejection: Rejection) -> Json:
    return {
        "webhook": rejection.webhook,
        "at": iso(rejection.at),
        "status": rejection.status,
        "reason": rejection.reason,
        "remote": rejection.remote,
        "method": rejection.method,
    }


def problem(problem: Problem) -> Json:
    return {
        "file": problem.file,
        "line": problem.line,
        "where": problem.where,
        "what": problem.what,
        "remedy": problem.remedy,
        "warning": problem.warning and not problem.fails_check,
    }


CONDUCTOR = "CONDUCTOR_SERVER_URL"
DATABASE = "BRIDGE_DATABASE"
PROXIES = "BRIDGE_TRUSTED_PROXIES"


def setting_problem(setting: str, finding: Finding) -> Json:
    """As a problem of the definitions, without a place in a file."""
    return {
        "file": None,
        "line": None,
        "where": setting,
        "what": finding.what,
        "remedy": finding.remedy,
        "warning": finding.level != "error",
    }

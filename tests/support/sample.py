"""A bridge with something of everything in its store, for tests and for the documentation's
pictures."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from admin.bridge import Bridge, open_definitions
from config.settings import Settings
from platforms import PLATFORMS
from relay.verify.verification import fingerprint
from store.delivery_records import RawDelivery, WithoutEvent
from store.records import Decision, NewEvent, NewTarget, Result, Task, Term, Workflow, new_event_id
from store.reports import Reports
from store.sqlite import SqliteStore, open_store
from store.summary import Summarizer
from tests.support.deciding import adopt, decide
from tests.support.settings import settings_with
from tools.demo import signing

DEFINITIONS = """\
webhooks:
  - name: github-deploys
    platform: github
    secret: a-secret-of-more-than-sixteen-characters
    receivers:
      deploy: any
      release: [2]
    starts:
      - workflow: on_push
        when: {"$._webhook.headers['x-github-event']": push}
  - name: orders
    headers:
      X-Api-Key: another-secret-value
    receivers:
      order_flow: any
    hold: 0s
  - name: slack
    platform: slack
    receivers:
      sample_webhook_for_slack: any
"""

KEEPING = DEFINITIONS.replace(
    "    platform: github\n", "    platform: github\n    keep_rejected: 100\n"
)
"""The same, where github-deploys keeps what it refuses."""

P256_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1"
    "flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
)
"""A public key as SendGrid shows it, where a secret must be one."""

HOSTILE: dict[str, Any] = {
    "comment": "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">",
    "quote": "\"'><svg onload=document.title='owned'>{{ 7*7 }}{% raw %}",
    "control": "\x00\x07\x1b[2J\x1b]0;owned\x07 \u202egnp.exe \u0085",
    "long": "A" * 5000,
    "</pre><script>document.title='owned'</script>": "a key",
    "link": "javascript:document.title='owned'",
}


@dataclass
class Sample:
    """The files, and the ids of what is in the store."""

    folder: Path
    store: SqliteStore
    settings: Settings
    events: dict[str, str] = field(default_factory=dict)
    """delivered, refused, pending, expired, ignored, hostile → event id."""
    tasks: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """For a process that is to see this bridge."""
        return {
            "BRIDGE_WEBHOOKS": str(self.settings.bridge_webhooks),
            "BRIDGE_DATABASE": self.settings.bridge_database,
            "BRIDGE_PUBLIC_URL": "https://hooks.example.com",
            "CONDUCTOR_SERVER_URL": "http://127.0.0.1:1/api",  # nobody listens there
        }

    def bridge(self) -> Bridge:
        return Bridge(self.settings, self.store, open_definitions(self.settings, dict).current)


def settings_for(folder: Path, **more: Any) -> Settings:
    """Settings that come from nothing of this machine."""
    return settings_with(
        **{
            "bridge_webhooks": folder / "webhooks.yaml",
            "bridge_database": f"sqlite:///{folder / 'bridge.db'}",
            "bridge_public_url": "https://hooks.example.com",
            "conductor_server_url": "http://127.0.0.1:1/api",  # nobody listens there
            "conductor_ui_server_url": "https://conductor.example.com",
            **more,
        }
    )


@dataclass(frozen=True)
class _Filled:
    """A store of a moment ago, as a file."""

    at: float
    """Unix seconds."""
    database: bytes
    events: dict[str, str]
    tasks: dict[str, str]


_FRESH = 10.0
"""Seconds."""
_last: list[_Filled] = []
"""The last one that was filled in this process, if any."""


def make_sample(folder: Path, **more: Any) -> Sample:
    """Makes the files and fills the store, with what was put into another one if that is fresh:
    filling takes longer than most tests."""
    if not _last or not 0 <= time.time() - _last[0].at < _FRESH:
        _last[:] = [_fill_another()]
    filled = _last[0]
    (folder / "webhooks.yaml").write_text(DEFINITIONS, encoding="utf-8")
    settings = settings_for(folder, **more)
    Path(settings.bridge_database.removeprefix("sqlite:///")).write_bytes(filled.database)
    sample = Sample(
        folder,
        open_store(settings.bridge_database),
        settings,
        dict(filled.events),
        dict(filled.tasks),
    )
    assert sample.store.leadership.elect("sample", 10**9)
    return sample


def _fill_another() -> _Filled:
    """Fills a store of its own."""
    with tempfile.TemporaryDirectory(prefix="bridge-sample-") as name:
        folder, now = Path(name), time.time()
        (folder / "webhooks.yaml").write_text(DEFINITIONS, encoding="utf-8")
        settings = settings_for(folder)
        sample = Sample(folder, open_store(settings.bridge_database), settings)
        _fill(sample, int(now * 1000))
        sample.store.close()
        return _Filled(now, (folder / "bridge.db").read_bytes(), sample.events, sample.tasks)


def keep_refused(sample: Sample, body: bytes = b'{"ref": "kept"}', **more: Any) -> str:
    """A delivery of github-deploys that was refused for a wrong secret and would be accepted now.
    Returns its id."""
    secret = "a-secret-of-more-than-sixteen-characters"
    given = signing.github(more.pop("secret", secret), body, "d-kept")
    headers = {name.lower(): value for name, value in given.items()} | {"x-evil": "<b>\x1b[31m</b>"}
    kept = RawDelivery(
        new_event_id(), "github-deploys", "rejected", sample.store.now(), remote="203.0.113.9", status=401,
        reason="the signature <i>", path="/webhook/", url="http://127.0.0.1:8000/webhook/github-deploys",
        query="page=2", headers=headers, body=body,
    )  # fmt: skip
    kept = replace(kept, **more)
    file = sample.folder / "webhooks.yaml"
    if "keep_rejected" not in file.read_text(encoding="utf-8"):
        file.write_text(KEEPING, encoding="utf-8")
    sample.store.raw_deliveries.keep([kept])
    rejection = WithoutEvent(
        "github-deploys", kept.at, 401, kept.reason, kept.remote, kept_id=kept.id
    )
    sample.store.without_events.record([rejection], {})
    return kept.id


def _fill(sample: Sample, now: int) -> None:
    store = sample.store
    minute = 60_000
    sample.tasks = {
        name: f"task-{name}"
        for name in ("main", "other", "late", "gone", "broken", "stranger", "old")
    }
    matches = {"$.ref": "refs/heads/main", "$.repository.private": True}
    tasks = [
        _task("main", "deploy", matches, now - 30 * minute),
        _task("other", "deploy", {"$.ref": "refs/heads/dev"}, now - 20 * minute),
        _task("late", "deploy", {"$.ref": "refs/heads/main"}, now - 2 * minute),
        _task(
            "broken", "order_flow", {"$[": 1}, now - 10 * minute, broken="'$[' is not a JSONPath"
        ),
        _task("stranger", "someone_elses", {"$.ref": "refs/heads/main"}, now - 10 * minute),
        _task("old", "release", {"$.ref": "refs/heads/main"}, now - 40 * minute),
    ]
    store.leadership.elect("sample", 10**9)
    adopt(store, Term("sample"), tasks, now)
    store.workflows.remember(
        [Workflow("workflow-release-old", 1, "workflow-release-old", now - 60 * minute, None)]
    )
    store.workflows.remember(
        [Workflow("workflow-deploy-late", 1, "workflow-deploy-late", now - 3 * minute, None)]
    )

    push = {
        "ref": "refs/heads/main",
        "repository": {"name": "bridge", "private": True},
        "pusher": {"name": "ada"},
    }
    headers = {
        "x-github-event": "push",
        "user-agent": "GitHub-Hookshot/1",
        "content-type": "application/json",
    }
    rows = {
        "delivered": ("github-deploys", push, headers, now - 12 * minute, 10 * minute, "d1"),
        "refused": (
            "github-deploys",
            {"ref": "refs/tags/v2"},
            headers,
            now - 9 * minute,
            10 * minute,
            "d2",
        ),
        "expired": ("orders", {"order": 17, "state": "paid"}, {}, now - 8 * minute, 0, None),
        "ignored": (
            "github-deploys",
            {"zen": "Speak like a human."},
            {"x-github-event": "ping"},
            now - 7 * minute,
            0,
            "d3",
        ),
        "hostile": (
            "slack",
            HOSTILE,
            {"x-evil": "<b>\x1b[31m</b>"},
            now - 5 * minute,
            10 * minute,
            "<i>\x1b</i>",
        ),
        "pending": (
            "github-deploys",
            {"ref": "refs/heads/Main", "repository": {"private": True}},
            {"x-github-event": "create"},
            now - 4 * minute,
            10 * minute,
            "redelivered-4",
        ),
    }
    for name, (webhook, payload, kept, at, hold, delivery) in rows.items():
        sample.events[name] = event_id = new_event_id()
        platform = PLATFORMS[{"orders": "custom", "slack": "slack"}.get(webhook, "github")]
        kind, parts = Summarizer(platform, ()).summarize(payload)
        event = NewEvent(event_id, webhook, at, json.dumps(payload), kept, {}, at + hold, delivery)
        store.deliveries.append([replace(event, type=kind, summary_parts=parts)])

    ids = sample.events
    decide(
        store,
        Term("sample"),
        [
            Decision(
                ids["delivered"],
                "pending",
                "no",
                (
                    NewTarget(
                        "complete", "deploy", "workflow-deploy-main", "task-main", "wait_for_push"
                    ),
                    NewTarget("start", "on_push", version=3, correlation_id=ids["delivered"]),
                ),
            ),
            Decision(
                ids["refused"],
                "pending",
                "no",
                (NewTarget("start", "on_push", correlation_id=ids["refused"]),),
            ),
            Decision(ids["expired"], "expired", "no"),
            Decision(ids["ignored"], "ignored", "no"),
            Decision(ids["hostile"], "pending", "held"),
            Decision(ids["pending"], "pending", "held"),
        ],
        now - 3 * minute,
        10,
    )
    store.claims.record_results("sample", [], now)
    claimed = {
        (target.event_id, target.kind): target
        for target in store.queries.targets_of([ids["delivered"], ids["refused"]])
    }
    store.claims.record_results(
        "sample",
        [
            Result(claimed[ids["delivered"], "complete"], "done"),
            Result(claimed[ids["delivered"], "start"], "done", workflow_id="workflow/started 1"),
            Result(
                claimed[ids["refused"], "start"],
                "failed",
                error="No such workflow defined. name=on_push, version=null",
            ),
        ],
        now - 2 * minute,
    )
    definitions = open_definitions(sample.settings, dict).current
    github = definitions.by_name["github-deploys"]
    store.verifications.set_verified(
        "github-deploys", fingerprint(github, store.verifications.salt()), now - 5 * 86_400_000
    )
    store.verifications.set_verified(
        "orders", "keyed:that of an earlier secret", now - 5 * 86_400_000
    )
    store.without_events.record(
        [
            WithoutEvent(
                "orders", now - minute, 401, "the header X-Api-Key is wrong <script>", "203.0.113.9"
            ),
            WithoutEvent("slack", now - 2 * minute, 401, "not verified yet", "203.0.113.10"),
        ],
        {
            ("github-deploys", "accepted"): 4,
            ("github-deploys", "duplicate"): 1,
            ("slack", "accepted"): 1,
            ("orders", "rejected"): 3,
        },
    )
    store.reports.write(Reports(conductor="up"))


def _task(name: str, workflow: str, matches: Any, at: int, broken: str | None = None) -> Task:
    return Task(
        id=f"task-{name}",
        workflow_id=f"workflow-{workflow}-{name}",
        workflow=workflow,
        reference_name={"main": "wait_for_push"}.get(name, f"wait_{name}"),
        matches=matches,
        scheduled_at=at,
        broken=broken,
    )

"""The tools that change something. Each is recorded among the changes."""

from __future__ import annotations

import getpass
import os
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from admin.api.base import as_json
from admin.api.objects import Replay
from admin.bridge import Bridge
from admin.errors import NotFound
from admin.events.replay import replay
from admin.events.send import for_relay, post, wait_of
from criteria.suggestions import did_you_mean
from platforms.guide import samples
from store.records import Change


class SendSample(BaseModel):
    """A sample to send."""

    model_config = ConfigDict(extra="forbid", strict=True)

    webhook: str = Field(description="The webhook's name (see list_webhooks).")
    sample: str | None = Field(None, description="The sample's name; without it, the samples are listed.")


class ReplayEvent(BaseModel):
    """An event to replay."""

    model_config = ConfigDict(extra="forbid", strict=True)

    event_id: str = Field(description="The event's whole id.")
    confirm: bool = Field(
        False, description="Needed if the event had an effect, which the refusal names; ask the user first."
    )


def send_sample(bridge: Bridge, given: SendSample) -> Any:
    """Raises NotFound, CannotSign, NotReachable."""
    webhook = bridge.definitions.by_name.get(given.webhook)
    if webhook is None:
        raise NotFound(f"no webhook {given.webhook}: {did_you_mean(given.webhook, sorted(bridge.definitions.by_name))}")
    found = samples(webhook.platform)
    if given.sample is None:
        return {"samples": sorted(found)}
    if given.sample not in found:
        raise NotFound(
            f"{webhook.platform} has no sample {given.sample}; there are: {', '.join(sorted(found)) or 'none'}"
        )
    sample = found[given.sample].made_anew()
    headers = {"Content-Type": sample.content_type, **sample.headers}
    answer = post(*for_relay(webhook, bridge.settings, sample.body, headers), wait_of(webhook))
    _record(bridge, "tested", webhook.name, f"sample {given.sample}: {answer.status}")
    return {
        "status": answer.status,
        "accepted": answer.is_good,
        "duplicate": answer.is_duplicate,
        "answer": answer.said,
    }


def replay_event(bridge: Bridge, given: ReplayEvent) -> Any:
    """Raises NotFound, CantReplay, NeedsConfirmation."""
    event = bridge.event(given.event_id)
    new_id = replay(bridge, event.id, confirmed=given.confirm)
    _record(bridge, "replayed", event.webhook, f"event {event.id}, as {new_id}")
    return as_json(Replay(event_id=new_id, replay_of=event.id))


def _record(bridge: Bridge, what: str, webhook: str, detail: str) -> None:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"user {os.getuid()}"
    bridge.store.changes.record(Change(bridge.store.now(), f"assistant of {user}", what, webhook, detail))

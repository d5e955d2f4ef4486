"""What a worker's log tells about the answers to senders that waited: when it did what, by workflow."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime


@dataclass
class Story:
    """One event's lines in the log, in their order."""

    moments: list[tuple[float, str]] = field(default_factory=list)
    """Unix milliseconds, and what happened."""

    @property
    def recorded_at(self) -> float | None:
        """When the answer had been recorded."""
        return next((at for at, what in self.moments if what.startswith("answered")), None)

    def told(self, ended_at: float) -> str:
        """In milliseconds after the workflow's end."""
        return "; ".join(f"{at - ended_at:+,.0f} {what}" for at, what in self.moments)


def stories(lines: Iterable[str]) -> dict[str, Story]:
    """Workflow id → its event's story. Lines that aren't about an event are left out."""
    by_event: dict[str, Story] = {}
    workflows: dict[str, str] = {}
    for line in lines:
        try:
            told = json.loads(line)
            event_id, at = told["event_id"], datetime.fromisoformat(told["timestamp"].replace("Z", "+00:00"))
        except (ValueError, KeyError, TypeError):
            continue
        what = " ".join(str(told[key]) for key in ("event", "outcome", "error") if told.get(key))
        by_event.setdefault(event_id, Story()).moments.append((at.timestamp() * 1000, what))
        if told.get("workflow_id"):
            workflows[told["workflow_id"]] = event_id
    return {workflow_id: by_event[event_id] for workflow_id, event_id in workflows.items()}

"""What was read of the definitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from config.model import Webhook
from config.problems import Problem
from config.references import Stamps
from config.yaml_lines import Where


@dataclass(frozen=True)
class SecretPlace:
    """Where a secret is written: in the YAML itself, or in a file that it names."""

    file: Path
    """The YAML."""
    line: int
    where: str
    path: Path
    """The file with the secret."""


_PACE_BY_ID = 25.0
"""Calls a second for a webhook with `by: id`, unless it has a pace."""


@dataclass(frozen=True)
class Definitions:
    """A set of webhooks that was read without errors."""

    webhooks: tuple[Webhook, ...]
    warnings: tuple[Problem, ...] = ()
    sources: Stamps = field(default_factory=dict, compare=False)
    """The files to watch for changes: those that were read, including those named by
    ``${file:…}``."""

    secrets: tuple[SecretPlace, ...] = ()
    """Where secrets are written, except those in environment variables."""
    errors: tuple[Problem, ...] = ()
    """The problems of files whose last good webhooks are in force instead, if any."""
    unavailable: frozenset[str] = frozenset()
    """The last parts of the URLs of webhooks that are defined but can't be in force for now."""
    places: Mapping[tuple[str, Where], tuple[str, int]] = field(default_factory=dict)
    """Where a webhook names its workflows: (its name, ``("receivers", workflow)``, ``("starts",
    index)`` or
    ``("messages", index)``) → file and line."""

    @cached_property
    def by_name(self) -> dict[str, Webhook]:
        """name → webhook."""
        return {webhook.name: webhook for webhook in self.webhooks}

    @cached_property
    def paces(self) -> dict[str, float]:
        """webhook → most calls to Conductor a second, for those with a pace, and for those whose
        URLs anyone can make up: each is looked up."""
        default = {
            one.name: _PACE_BY_ID for one in self.webhooks if one.callback and one.callback.by
        }
        return default | {one.name: one.pace for one in self.webhooks if one.pace is not None}

    @cached_property
    def by_receiver(self) -> dict[str, list[Webhook]]:
        """workflow → the webhooks that it is a receiver of."""
        found: dict[str, list[Webhook]] = {}
        for webhook in self.webhooks:
            for workflow in webhook.receivers:
                found.setdefault(workflow, []).append(webhook)
        return found

    @cached_property
    def for_callbacks_only(self) -> list[str]:
        """The receivers whose tasks only URLs for one task each complete: such a task needs no
        `matches`."""
        return [
            name
            for name, there in self.by_receiver.items()
            if all(webhook.callback for webhook in there)
        ]

    @cached_property
    def starts(self) -> list[str]:
        """The workflows that a webhook may start."""
        starts = {start.workflow for webhook in self.webhooks for start in webhook.starts}
        messages = (message for webhook in self.webhooks for message in webhook.messages)
        return sorted(
            starts.union(message.workflow for message in messages if message.else_ == "start")
        )

"""Which workflows can be run by hand on a webhook's page: its own."""

from __future__ import annotations

import json
from dataclasses import dataclass

from config.webhooks import Webhook


@dataclass(frozen=True, order=True)
class Runnable:
    """A workflow to run."""

    workflow: str
    version: int | None
    """None for the latest."""

    @property
    def key(self) -> str:
        """What a form sends to name it."""
        return json.dumps([self.workflow, self.version])

    @property
    def label(self) -> str:
        """The name, and the version if it is a certain one."""
        return self.workflow if self.version is None else f"{self.workflow}, version {self.version}"


def runnable(webhook: Webhook) -> list[Runnable]:
    """The workflows that the webhook resumes, starts or gives messages, each in the versions that it names."""
    named = [
        Runnable(workflow, version)
        for workflow, versions in webhook.receivers.items()
        for version in (sorted(versions) if versions else [None])
    ]
    started = [Runnable(start.workflow, start.version) for start in webhook.starts]
    given = [Runnable(message.workflow, message.version) for message in webhook.messages]
    return list(dict.fromkeys([*named, *started, *given]))

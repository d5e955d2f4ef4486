"""What holds for one round of decisions: the definitions, the time, and what is known by then."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from config.webhooks import Definitions, Webhook
from criteria.document import Document
from store.records import Event, EventKey, Shape, Task
from worker.decision.documents import Turns
from worker.decision.keys import keys_of
from worker.decision.lookups import Lookups
from worker.decision.verdict import Offer, Receiver
from worker.discovery.watermark import Watermark

LOOK_UP_FOR = 10_000
"""Milliseconds after which a task looks for an event again whose workflow wasn't known; it does so at
once when the workflow is."""


@dataclass
class Round:
    """One round. Times are Unix milliseconds by the store's clock."""

    now: int
    began: int
    """When the last scan began."""
    definitions: Definitions
    receivers: Mapping[str, Mapping[str, Receiver]]
    """Webhook → workflow → what the webhook says of it."""
    paused: Collection[str]
    watermark: Watermark
    lookups: Lookups
    skew: int
    turns: Turns = field(default_factory=Turns)
    later: dict[str, int] = field(default_factory=dict)
    """Tasks that look for an event again, and when."""
    unfinished: bool = False
    """Whether there is more to do at once."""
    _documents: dict[str, Document] = field(default_factory=dict)

    def webhook(self, event: Event) -> Webhook | None:
        """The event's webhook, if it is defined."""
        return self.definitions.by_name.get(event.webhook)

    def offer(self, event: Event) -> Offer:
        """The event, to be judged. Raises ValueError if its payload can't be read."""
        if event.id not in self._documents:
            self._documents[event.id] = self.turns.document(event)
        return Offer(event, self._documents[event.id], self.receivers_of(event), self.skew)

    def receivers_of(self, event: Event) -> Mapping[str, Receiver]:
        """The event's receivers: for a replay to one target, at most its workflow."""
        receivers = self.receivers.get(event.webhook, {})
        if event.only is None or event.is_callback:
            return receivers
        workflow = event.only.workflow if event.only.kind == "complete" else None
        return {name: one for name, one in receivers.items() if name == workflow}

    def keys(self, offer: Offer, shapes: Iterable[Shape]) -> tuple[EventKey, ...]:
        """By what the event's tasks find it."""
        return tuple(
            keys_of(offer.document, (one for one in shapes if one.workflow in offer.receivers))
        )

    def open_to(self, workflow: str) -> Sequence[str]:
        """The webhooks whose events tasks of the workflow may take now."""
        names = (webhook.name for webhook in self.definitions.by_receiver.get(workflow, ()))
        return [name for name in names if name not in self.paused]

    def look_up(self, tasks: Iterable[Task]) -> None:
        """Looks up these tasks' workflows; the tasks look for an event again."""
        tasks = list(tasks)
        self.later.update((task.id, self.now + LOOK_UP_FOR) for task in tasks)
        self.lookups.want(task.workflow_id for task in tasks)

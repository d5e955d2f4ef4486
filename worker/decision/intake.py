"""An event is taken up: it goes to each free task that waited, or else to the first that came in
time, to its starts and messages; or it is held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import structlog

from config.logs import some_of
from config.webhooks import Webhook
from store.processes import WorkerStore
from store.records import MANY, Decision, Event, EventKey, NewTarget, Shape, Task, Workflow
from store.tracing import in_logs, span
from worker.decision.draft import Draft
from worker.decision.nearest import Nearest
from worker.decision.quarantine import Quarantine
from worker.decision.round import Round
from worker.decision.targets import Start, callback, completion, messages_of, starts_of
from worker.decision.verdict import InTime, LookUp, Offer, Waited, verdict
from worker.retries import concerns_all

log = structlog.get_logger()

_UNDEFINED_GRACE = 60_000
"""Milliseconds that an event waits, at least, for its webhook's definition to appear."""
_LOOKED_UP_BY = 30_000
"""Milliseconds for which a start `unless: taken` waits for look-ups of tasks that may take it."""

_Free = dict[EventKey, list[Task]]
"""The free tasks by what they ask for."""


class Intake:
    """Takes up events in one step of a round. Belongs to the loop's thread."""

    def __init__(self, store: WorkerStore, quarantine: Quarantine, round_: Round, draft: Draft):
        self._store = store
        self._quarantine = quarantine
        self._round = round_
        self._draft = draft
        self._nearest = Nearest(store)
        self._known: dict[str, Workflow] = {}
        self.waiting: set[str] = set()
        """Webhooks whose events wait for their definition."""

    def take_up(self, events: Sequence[Event], ready: bool = True) -> None:
        """Decides these events, in their order. `ready`: only tasks that have read the log may take
        them. Raises StoreUnavailable."""
        keys = self._keys(events)
        asked = {key for some in keys.values() for key in some}
        free = self._store.joins.free_tasks(asked, ready) if asked else {}
        self._known = self._round.lookups.known(
            {task.workflow_id for tasks in free.values() for task in tasks}
        )
        for event in events:
            with (
                self._isolated(event),
                span("decide", "INTERNAL", event.headers, webhook=event.webhook, event_id=event.id),
            ):
                self._take_up(event, keys.get(event.id), free)

    @contextmanager
    def _isolated(self, event: Event) -> Iterator[None]:
        """Sets the event aside if it fails alone."""
        try:
            yield
        except Exception as error:
            if concerns_all(error):
                raise
            self._quarantine.event_failed(event.id, event.webhook, error)

    def _keys(self, events: Sequence[Event]) -> dict[str, tuple[EventKey, ...]]:
        """Those of the events that tasks may take now."""
        workflows = {one for event in events for one in self._round.receivers_of(event)}
        shapes: list[Shape] = self._store.joins.shapes(workflows) if workflows else []
        found: dict[str, tuple[EventKey, ...]] = {}
        for event in events:
            if event.is_callback or self._round.turns.puts_off(event):
                continue
            with self._isolated(event):
                found[event.id] = self._round.keys(self._round.offer(event), shapes)
        return found

    def _take_up(self, event: Event, keys: Sequence[EventKey] | None, free: _Free) -> None:
        webhook = self._round.webhook(event)
        if webhook is None:
            self._wait_for_definition(event)
        elif event.is_callback:
            # However short its hold: the call finds out whether its task is there.
            self._draft.decide(event, Decision(event.id, "pending", "held", (callback(event),)))
        elif keys is not None:  # else it failed, or its webhook's turn is over
            self._decide(event, webhook, keys, free)

    def _decide(
        self, event: Event, webhook: Webhook, keys: Sequence[EventKey], free: _Free
    ) -> None:
        offer = self._round.offer(event)
        takers = self._takers(offer, keys, free)
        starts = starts_of(webhook, event, offer.document)
        new = [] if event.decided_at else [*messages_of(webhook, event, offer.document)]
        decision = replace(
            _decision(event, bool(offer.receivers), takers, starts, new),
            keys=tuple(keys),
            scan_at=self._round.began,
            # A replay stands for what it is a replay of.
            closes=() if event.replay_of is None else (event.replay_of,),
        )
        if offer.receivers and not takers:
            self._draft.near[event.id] = self._nearest.to(offer)
        self._draft.decide(event, decision)
        self._log(event)

    def _takers(self, offer: Offer, keys: Sequence[EventKey], free: _Free) -> list[NewTarget]:
        """The completions of all free tasks that waited; if there are none, of the first that came
        in time."""
        waited: list[Task] = []
        in_time: list[Task] = []
        unknown: list[Task] = []
        for task in self._candidates(keys, free):
            match verdict(offer, task, self._known.get(task.workflow_id)):
                case Waited():
                    waited.append(task)
                case InTime():
                    in_time.append(task)
                case LookUp():
                    unknown.append(task)
        if unknown:
            self._round.look_up(unknown)
            if not waited:
                # One of them may come first: then these look for an event again with it.
                self._round.look_up(in_time)
                in_time = []
        takers, came = (waited, "waited") if waited else (in_time[:1], "in time")
        self._draft.taken.update((task.id, task) for task in takers)
        return [completion(task, came) for task in takers]  # type: ignore[arg-type]

    def _candidates(self, keys: Sequence[EventKey], free: _Free) -> list[Task]:
        """The free tasks that the event's keys lead to, earliest scheduled first."""
        found: dict[str, Task] = {}
        for key in keys:
            if key.key == MANY:
                some = [
                    task for one, tasks in free.items() if one.shape == key.shape for task in tasks
                ]
            else:
                some = free.get(key, [])
            found.update((task.id, task) for task in some if task.id not in self._draft.taken)
        return sorted(found.values(), key=lambda task: (task.scheduled_at, task.id))

    def _wait_for_definition(self, event: Event) -> None:
        """The event's webhook isn't defined. It expires unless it soon is."""
        if self._round.now < max(event.hold_until, event.received_at + _UNDEFINED_GRACE):
            self.waiting.add(event.webhook)
            return
        log.warning(
            "an event of an undefined webhook expired", event_id=event.id, webhook=event.webhook
        )
        self._draft.decide(event, Decision(event.id, "expired", "no", scan_at=self._round.began))

    # --- starts for want of a taker ---

    def start_unless_taken(self, events: Sequence[Event]) -> None:
        """Starts what these events start, unless a task that waited takes them after all. Raises
        StoreUnavailable."""
        may = [event for event in events if self._may_start(event)]
        keys = self._keys(may)
        asked = {key for some in keys.values() for key in some}
        free = self._store.joins.free_tasks(asked, ready=False) if asked else {}
        self._known = self._round.lookups.known(
            {task.workflow_id for tasks in free.values() for task in tasks}
        )
        for event in may:
            with self._isolated(event):
                self._start_or_take(event, keys.get(event.id, ()), free)

    def _may_start(self, event: Event) -> bool:
        receivers = self._round.receivers_of(event)
        return self._round.watermark.may_start(event.received_at, receivers, self._round.now)

    def _start_or_take(self, event: Event, keys: Sequence[EventKey], free: _Free) -> None:
        webhook = self._round.webhook(event)
        if webhook is None:
            return
        offer = self._round.offer(event)
        is_late = self._round.now >= event.received_at + _LOOKED_UP_BY
        if not is_late and self._must_look_up(offer, keys, free):
            return
        if takers := self._takers(offer, keys, free):
            self._draft.decide(event, Decision(event.id, "pending", "no", tuple(takers)))
            return
        there = {
            (target.workflow, target.correlation_id)
            for target in self._store.queries.targets_of([event.id])
        }
        starts = [
            start.target
            for start in starts_of(webhook, event, offer.document)
            # Some may have been started before the definition said `unless`.
            if start.unless_taken
            and (start.target.workflow, start.target.correlation_id) not in there
        ]
        decision = Decision(event.id, "pending", "no", tuple(starts), closes=(event.id,))
        self._draft.decide(event, decision)

    def _must_look_up(self, offer: Offer, keys: Sequence[EventKey], free: _Free) -> bool:
        """Whether a task may take the event, which depends on its workflow."""
        unknown = [
            task
            for task in self._candidates(keys, free)
            if verdict(offer, task, self._known.get(task.workflow_id)) == LookUp()
        ]
        self._round.look_up(unknown)
        return bool(unknown)

    def _log(self, event: Event) -> None:
        decision = self._draft.decisions[event.id]
        takers = [target for target in decision.targets if target.kind == "complete"]
        log.info(
            "event decided",
            event_id=event.id,
            webhook=event.webhook,
            **in_logs(event.headers),
            status=decision.status,
            held=decision.hold != "no",
            tasks=some_of(str(taker.task_id) for taker in takers),
            workflows=some_of(sorted({str(taker.workflow_id) for taker in takers})),
            starts=[target.workflow for target in decision.targets if target.kind == "start"],
            messages=[target.workflow for target in decision.targets if target.kind == "message"],
            nearest=list(map(str, self._draft.near.get(event.id, ()))),
        )


def _decision(
    event: Event,
    has_receivers: bool,
    takers: Sequence[NewTarget],
    starts: Sequence[Start],
    messages: Sequence[NewTarget],
) -> Decision:
    """What becomes of an event with these takers. One that was decided before has what it starts at
    once already."""
    wanted = [start.target for start in starts if start.unless_taken]
    at_once = [] if event.decided_at else [one.target for one in starts if not one.unless_taken]
    targets = (*takers, *at_once, *messages)
    if takers:
        return Decision(event.id, "pending", "no", targets)
    if wanted and has_receivers:
        return Decision(event.id, "pending", "unless", targets)
    if wanted:
        return Decision(event.id, "pending", "no", (*targets, *wanted))
    if has_receivers or event.decided_at:
        return Decision(event.id, "pending", "held", targets)
    return Decision(event.id, "pending" if targets else "ignored", "no", targets)

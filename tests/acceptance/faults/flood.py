"""Thousands of small deliveries, and an audit: each has its effect once, and those of one sender in
their order."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from store.sql.store import Store
from tests.acceptance.faults.clients import Clients, until_accepted
from tests.acceptance.faults.ledger import CHAIN, START, Ledger
from tools.servers import PATIENCE
from tools.servers.client import Answer, wait_for

DEFINITIONS = f"""
webhooks:
  - name: starts
    platform: github
    secret: ${{GITHUB_SECRET}}
    starts: [{{workflow: {START}}}]
  - name: chains
    platform: github
    secret: ${{GITHUB_SECRET}}
    receivers: {{{CHAIN}: any}}
"""
CHAINS = 4
_STARTERS = 4
_CHAIN_RATE = 2.0
"""Deliveries a second for each chain, whose next task is only found with the next poll."""
_STEP = 500


@dataclass
class _Sender:
    """Sends one delivery after the other, each until it is accepted."""

    webhook: str
    payload: dict[str, Any]
    every: float
    """Seconds between two deliveries, at least."""
    events: list[str] = field(default_factory=list)
    """What was accepted, in the order in which it was sent."""


class Flood:
    """Senders, some of whose deliveries start workflows, and others complete the tasks of chains."""

    def __init__(self, ledger: Ledger, github: Callable[..., Answer], rate: float) -> None:
        """`rate`: deliveries a second that start workflows, at most."""
        self.sent_again = 0
        self._ledger = ledger
        self._github = github
        self._extra = _Sender("starts", {}, 0)
        self._starters = [_Sender("starts", {}, _STARTERS / rate) for _ in range(_STARTERS)]
        self._chains = [
            _Sender("chains", {"chain": chain.key}, 1 / _CHAIN_RATE) for chain in ledger.chains
        ]

    @property
    def events(self) -> int:
        """Deliveries that were accepted so far."""
        return sum(len(sender.events) for sender in (self._extra, *self._starters, *self._chains))

    def run(self) -> None:
        """Starts the senders, also after they were stopped."""
        self._clients = Clients()
        for sender in (*self._starters, *self._chains):
            self._clients.start(self._run, sender)

    def stop(self) -> None:
        """Ends the senders. Raises what went wrong in them."""
        self._clients.stopped.set()
        self._clients.join(2 * PATIENCE)

    def send(self) -> str:
        """Sends one more delivery; the event's id."""
        return self._send(self._extra)

    def _run(self, sender: _Sender) -> None:
        while not self._clients.stopped.is_set():
            began = time.monotonic()
            self._send(sender)
            self._clients.stopped.wait(began + sender.every - time.monotonic())

    def _send(self, sender: _Sender) -> str:
        payload = {**sender.payload, "number": len(sender.events), "sent": str(uuid.uuid4())}

        def again() -> None:
            self.sent_again += 1

        event_id = until_accepted(
            lambda: self._github(sender.webhook, payload, delivery=payload["sent"]), again
        )
        sender.events.append(event_id)
        return event_id

    # --- the audit ---

    def audit(self, store: Store) -> None:
        """Waits until each accepted delivery has had its effect; fails if one has it twice, or out
        of order."""
        starters = [self._extra, *self._starters]
        for sender in (*starters, *self._chains):
            self._wait_until_delivered(store, sender.events)
        expected = Counter(event for sender in starters for event in sender.events)
        assert not (twice := self._ledger.started - expected), f"started too often: {twice}"
        assert not (lost := expected - self._ledger.started), f"not started: {lost}"
        for sender in starters:
            self._audit_order(store, sender.events)
        for chain, sender in zip(self._ledger.chains, self._chains, strict=True):
            assert [event for event, _ in chain.taken] == sender.events
            assert [output["number"] for _, output in chain.taken] == list(
                range(len(sender.events))
            )

    @staticmethod
    def _wait_until_delivered(store: Store, events: list[str]) -> None:
        """Waits for each few of them anew: a slow machine is no fault."""
        for first in range(0, len(events), _STEP):
            left = set(events[first : first + _STEP])
            deadline = time.monotonic() + PATIENCE
            while left:
                found = store.queries.listed(sorted(left))
                assert found.keys() == left, "each is in the store"
                if done := {event.id for event in found.values() if event.status == "delivered"}:
                    deadline = time.monotonic() + PATIENCE
                    left -= done
                assert time.monotonic() < deadline, (
                    f"{len(left)} events are stuck: {sorted(left)[:3]}"
                )
                time.sleep(0.2 if left else 0)

    @staticmethod
    def _audit_order(store: Store, events: list[str]) -> None:
        """Whoever waits for an answer before sending the next delivery has them decided in that
        order."""
        numbers: list[int] = []
        for first in range(0, len(events), _STEP):
            found = store.queries.targets_of(events[first : first + _STEP])
            number_of = {target.event_id: target.id for target in found}
            numbers += [number_of[event] for event in events[first : first + _STEP]]
        assert all(one < next_ for one, next_ in pairwise(numbers)), (
            "targets are numbered as events are decided"
        )


def has_effect(store: Store, flood: Flood) -> None:
    """Sends a delivery, and waits until it has its effect."""
    event_id = flood.send()

    def is_delivered() -> bool:
        event = store.queries.event(event_id)
        return event is not None and event.status == "delivered"

    wait_for(is_delivered, "a new delivery has its effect")

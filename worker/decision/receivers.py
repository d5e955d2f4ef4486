"""Since when each workflow is a receiver of each webhook: an event whose hold had ended by then isn't
for its tasks."""

from __future__ import annotations

from collections.abc import Mapping

from config.webhooks import Definitions
from store.processes import WorkerStore
from store.records import Term
from store.sql.joins import StoredReceiver
from worker.decision.verdict import Receiver

Receivers = Mapping[str, Mapping[str, Receiver]]
"""Webhook → workflow → what the webhook says of it."""


def receivers_of(store: WorkerStore, term: Term, definitions: Definitions, now: int) -> Receivers:
    """The receivers of these definitions, which are in force from now on. Writes which were added
    or changed. Raises LeadershipLost and StoreUnavailable."""
    before = {(one.webhook, one.workflow): one for one in store.joins.receivers()}
    known = {webhook for webhook, _ in before}
    new = [webhook.name for webhook in definitions.webhooks if webhook.name not in known]
    used = store.joins.have_decided(new)
    current: dict[tuple[str, str], StoredReceiver] = {}
    for webhook in definitions.webhooks:
        # A new webhook's events may have come before its definition did.
        added_at = now if webhook.name in known or webhook.name in used else 0
        for workflow, named in webhook.receivers.items():
            versions = None if named is None else tuple(sorted(named))
            place = webhook.name, workflow
            former = before.get(place)
            if former is not None and former.versions == versions:
                current[place] = former
            else:
                current[place] = StoredReceiver(*place, versions, added_at)
    changed = [one for place, one in current.items() if before.get(place) != one]
    gone = [place for place in before if place not in current]
    if changed or gone:
        store.joins.change_receivers(term, changed, gone)
        store.joins.read_receivers_again(term, {one.workflow for one in changed})
    return _by_webhook(current)


def _by_webhook(current: Mapping[tuple[str, str], StoredReceiver]) -> Receivers:
    found: dict[str, dict[str, Receiver]] = {}
    for (webhook, workflow), one in current.items():
        versions = None if one.versions is None else frozenset(one.versions)
        found.setdefault(webhook, {})[workflow] = Receiver(versions, one.added_at)
    return found

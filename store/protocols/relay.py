"""What the relay writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from store.delivery_records import Duplicate, ListedDelivery, NoLongerKept, NumberedDelivery, Rejection, WithoutEvent
from store.keeping import KeptDelivery
from store.records import Committed, NewEvent


class Deliveries(Protocol):
    """Stores events, and the outcomes of requests that created none.

    `until` (`time.monotonic`) bounds the wait for the database, for callers that must answer in time.
    """

    def append(self, events: Sequence[NewEvent], until: float = float("inf")) -> list[Committed]:
        """Commits a delivery's events durably, all or none, skipping those whose delivery id is known.

        Returns one `Committed` per event, in the order given. Concurrent deliveries share a commit. In the same
        transaction it keeps the `raw` of events that weren't known.
        """

    def received_at(self, webhook: str, delivery_id: str, until: float = float("inf")) -> int | None:
        """When the event with this delivery id arrived; None if there is none."""

    def record_rejections(self, rejections: Sequence[Rejection], counts: Mapping[tuple[str, str], int]) -> None:
        """Keeps each webhook's newest rejections and, separately, its newest filtered deliveries; adds `counts`,
        (webhook, outcome) → number, to those of the current hour."""

    def check_writable(self, until: float = float("inf")) -> None:
        """Raises StoreUnavailable unless a write would succeed now."""


class KeptDeliveries(Protocol):
    """Rejected deliveries that may be accepted later, once a secret is corrected."""

    def keep(self, deliveries: Sequence[KeptDelivery], most: Mapping[str, int]) -> None:
        """Keeps the deliveries, and deletes what is more than `most` of a webhook, or more than `store.keeping.BYTES`.

        `most` has every webhook of these deliveries. Those that are kept already are left as they are.
        """

    def delivery(self, kept_id: str) -> KeptDelivery | None:
        """The delivery with this id."""

    def next(self, webhook: str, since: int, after: str = "", limit: int = 100) -> list[KeptDelivery]:
        """The webhook's deliveries that arrived since that time and haven't been accepted, after that id, in order of
        arrival.

        Fewer than `limit` if they are large; none only if there are no more.
        """

    def newest(self, limit: int) -> list[KeptDelivery]:
        """The newest deliveries of all webhooks that haven't been accepted; fewer if they are large."""

    def accepted(self, kept_id: str, event_id: str) -> None:
        """The delivery has become this event: its bytes are no longer needed."""


class WithoutEvents(Protocol):
    """Deliveries that left no event: the newest of each webhook and kind."""

    def record_duplicates(self, duplicates: Sequence[Duplicate]) -> None:
        """Keeps each webhook's newest duplicates."""

    def newest(self, webhook: str | None = None, limit: int = 100) -> list[WithoutEvent]:
        """Rejected and filtered deliveries and duplicates: the newest of each table, `limit` at most; in order of
        arrival."""


class RawDeliveries(Protocol):
    """Deliveries as they came, for `webhook-bridge listen`: a webhook's newest, bounded in number, bytes and age.

    `Deliveries.append` adds them. What becomes visible later has a greater id.
    """

    def listed(self, webhook: str, after: int = 0, limit: int = 1000) -> list[ListedDelivery]:
        """The first ones after this id, in order of arrival; those that are too old are left out."""

    def read(self, ids: Sequence[int]) -> list[NumberedDelivery]:
        """These deliveries, of those that are still there; in order of arrival."""

    def prune(self) -> None:
        """Deletes what is beyond the bounds. Writes nothing if nothing is."""

    def last_pruned(self, webhook: str) -> NoLongerKept | None:
        """The last delivery that is no longer listed, as it is beyond the bounds; None if there was none."""

    def greatest_id(self, webhook: str) -> int:
        """The greatest id that a delivery of the webhook has had here, also if it was pruned; 0 for none. A greater one
        is from another store, or from this one before an older copy was restored."""


class Verifications(Protocol):
    """Which webhooks are verified, and with which verifier: a changed secret has a different fingerprint.

    `until` is as in `Deliveries`.
    """

    def verified_at(self, webhook: str, fingerprint: str, until: float = float("inf")) -> int | None:
        """When the webhook was verified with the verifier of this fingerprint; None if it isn't."""

    def set_verified(self, webhook: str, fingerprint: str, at: int, until: float = float("inf")) -> None:
        """Records that the webhook is verified. A fingerprint keeps the time of its first call."""

    def all(self, until: float = float("inf")) -> dict[str, tuple[str, int]]:
        """webhook → (fingerprint of its verifier, when it was verified)."""

    def salt(self, until: float = float("inf")) -> bytes:
        """This store's random bytes, generated once: the salt of the fingerprints."""

"""The errors that a store raises."""

from __future__ import annotations


class StoreUnavailable(Exception):
    """The store can't be read or written now: it is full, locked, down or gone."""


class RowsUnavailable(StoreUnavailable):
    """The store answers, but some of the rows can't be read or are locked by somebody; others may
    be fine."""


class StoreRefused(StoreUnavailable):
    """The store's set-up or URL is wrong: waiting won't help; somebody must change it."""


class StoreMissing(StoreUnavailable):
    """There is no store yet: the relay and the worker create it when they start."""


class CantBackUp(Exception):
    """The store can't copy itself; the text says what does."""


class Unstorable(Exception):
    """The database refuses this input, now and later; other input may be fine."""


class NewerStore(Exception):
    """A newer version of the bridge has changed the database, and this one can't use it any more."""


class LeadershipLost(Exception):
    """Another worker is leader now: this one didn't renew its term in time."""

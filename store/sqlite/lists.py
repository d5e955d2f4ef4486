"""Steps of the schema for lists, and for what is live. Never change a step that was released."""

from __future__ import annotations

DECIDED_AND_COUNTS = """
-- to list what is pending of one webhook without the others'
CREATE INDEX events_decided ON events (webhook, seq) WHERE status = 'pending' AND decided_at IS NOT NULL;
-- to count the deliveries of a day, and to delete old counts, without reading them all
CREATE INDEX delivery_counts_hour ON delivery_counts (hour);
"""

LIVE_EVENTS = """
CREATE VIEW undecided AS SELECT webhook, seq FROM events WHERE decided_at IS NULL;
CREATE VIEW held_events AS SELECT held, webhook, seq, status FROM events WHERE held > 0;
CREATE VIEW unsettled_events AS SELECT seq, webhook, status, origin FROM events WHERE settled_at IS NULL;
CREATE VIEW ended_events AS
    SELECT seq, settled_at, acknowledged_at, webhook, status, origin, resolved_by FROM events WHERE status != 'pending';
"""
"""The names by which shared statements find events by their state. SQLite writes only to those indexes of a row whose
columns change, so these are views; on PostgreSQL they are tables (`store.postgres.live_tables`)."""

UNRESOLVED = """
-- with all columns of its condition, which SQLite otherwise reads from the events themselves
DROP INDEX events_unresolved;
CREATE INDEX events_unresolved ON events (status, seq, acknowledged_at, resolved_by)
    WHERE status = 'failed' AND acknowledged_at IS NULL AND resolved_by IS NULL;
CREATE INDEX events_unresolved_of ON events (webhook, seq, status, acknowledged_at, resolved_by)
    WHERE status = 'failed' AND acknowledged_at IS NULL AND resolved_by IS NULL;
"""

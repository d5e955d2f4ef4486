"""Steps of the schema that keep what is live apart from the record of everything.

An index of events that has a column which changes gets a new entry with each change, and so do all the others: only a
row none of whose indexed columns changes is written in place (HOT). So the record has indexes of what never changes,
and what is looked for by its state has small tables of its own. Triggers derive these from the record, whoever writes
it: workers of the version before, a transfer, a person. So they can't differ from it. A row of theirs changes only in a
transaction that has written the record's row, so locking that is enough.

An event that stays unsettled keeps its row; otherwise what the rows before a change stood for is deleted, and what
those after it stand for is inserted. A session keeps the plans of its triggers however much the tables grow, so each
row is looked up on its own: OFFSET keeps that from becoming a join.
"""

from __future__ import annotations

LIVE_EVENTS = """
-- events to which something may still happen
CREATE TABLE bridge.unsettled_events (
    seq BIGINT NOT NULL,
    -- the number in `events.held`, -1 before the decision
    stage SMALLINT NOT NULL,
    webhook TEXT NOT NULL,
    status TEXT NOT NULL,
    origin TEXT,
    PRIMARY KEY (stage, webhook, seq)
);
CREATE INDEX unsettled_events_held ON bridge.unsettled_events (stage, seq) WHERE stage > 0;
CREATE INDEX unsettled_events_family ON bridge.unsettled_events (origin, status, seq) WHERE origin IS NOT NULL;
ALTER TABLE bridge.unsettled_events SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);
-- Events with an outcome. Of those that failed some are unsettled too: they are held for a task all the same.
CREATE TABLE bridge.ended_events (
    seq BIGINT NOT NULL,
    settled_at BIGINT,
    acknowledged_at BIGINT,
    webhook TEXT NOT NULL,
    status TEXT NOT NULL,
    origin TEXT,
    resolved_by TEXT,
    PRIMARY KEY (webhook, status, seq)
);
-- Most events end as delivered: their list is made of those of each webhook, and each is spared an entry.
CREATE INDEX ended_events_undelivered ON bridge.ended_events (status, seq) WHERE status <> 'delivered';
CREATE INDEX ended_events_settled ON bridge.ended_events (settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX ended_events_family ON bridge.ended_events (origin, status, seq) WHERE origin IS NOT NULL;
CREATE INDEX ended_events_unresolved ON bridge.ended_events (status, seq)
    WHERE status = 'failed' AND acknowledged_at IS NULL AND resolved_by IS NULL;
CREATE INDEX ended_events_unresolved_of ON bridge.ended_events (webhook, seq)
    WHERE status = 'failed' AND acknowledged_at IS NULL AND resolved_by IS NULL;
ALTER TABLE bridge.ended_events SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
CREATE VIEW bridge.undecided AS SELECT webhook, seq FROM bridge.unsettled_events WHERE stage = -1;
CREATE VIEW bridge.held_events AS
    SELECT stage AS held, webhook, seq, status FROM bridge.unsettled_events WHERE stage > 0;

CREATE FUNCTION bridge.events_before() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    DELETE FROM bridge.unsettled_events WHERE ctid = ANY(ARRAY(
        SELECT unsettled.ctid FROM before CROSS JOIN LATERAL (
            SELECT u.ctid FROM bridge.unsettled_events u
            WHERE u.stage = CASE WHEN before.decided_at IS NULL THEN -1 ELSE before.held END
            AND u.webhook = before.webhook AND u.seq = before.seq OFFSET 0
        ) AS unsettled WHERE before.settled_at IS NULL
    ));
    IF EXISTS (SELECT FROM before WHERE status <> 'pending') THEN
        DELETE FROM bridge.ended_events WHERE ctid = ANY(ARRAY(
            SELECT ended.ctid FROM before CROSS JOIN LATERAL (
                SELECT e.ctid FROM bridge.ended_events e
                WHERE e.webhook = before.webhook AND e.status = before.status AND e.seq = before.seq OFFSET 0
            ) AS ended WHERE before.status <> 'pending'
        ));
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION bridge.events_after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO bridge.unsettled_events (seq, stage, webhook, status, origin)
        SELECT seq, CASE WHEN decided_at IS NULL THEN -1 ELSE held END, webhook, status, origin
        FROM after WHERE settled_at IS NULL;
    IF EXISTS (SELECT FROM after WHERE status <> 'pending') THEN
        INSERT INTO bridge.ended_events (seq, settled_at, acknowledged_at, webhook, status, origin, resolved_by)
            SELECT seq, settled_at, acknowledged_at, webhook, status, origin, resolved_by
            FROM after WHERE status <> 'pending';
    END IF;
    RETURN NULL;
END $$;
-- Of an update those before come first: triggers are executed in the order of their names.
CREATE TRIGGER follow_1_updated AFTER UPDATE ON bridge.events REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION bridge.events_before();
CREATE TRIGGER follow_1_deleted AFTER DELETE ON bridge.events REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION bridge.events_before();
CREATE TRIGGER follow_2_updated AFTER UPDATE ON bridge.events REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION bridge.events_after();
CREATE TRIGGER follow_2_inserted AFTER INSERT ON bridge.events REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION bridge.events_after();

INSERT INTO bridge.unsettled_events (seq, stage, webhook, status, origin)
    SELECT seq, CASE WHEN decided_at IS NULL THEN -1 ELSE held END, webhook, status, origin FROM bridge.events
    WHERE settled_at IS NULL AND (decided_at IS NULL OR held > 0 OR decided_at IS NOT NULL AND status = 'pending');
-- before which event those that have ended are still to be added
CREATE TABLE bridge.ended_before (seq BIGINT NOT NULL);
INSERT INTO bridge.ended_before SELECT coalesce(max(seq), 0) + 1 FROM bridge.events;
"""

_PART = 5_000
"""Events that are added by one transaction, in which nobody else can write events."""
ADD_ENDED = (
    "LOCK TABLE bridge.events IN SHARE ROW EXCLUSIVE MODE",
    f"""
WITH part AS MATERIALIZED (
    SELECT b.seq AS before, coalesce((
        SELECT e.seq FROM bridge.events e WHERE e.seq < b.seq ORDER BY e.seq DESC OFFSET {_PART - 1} LIMIT 1
    ), 0) AS first FROM bridge.ended_before b
), added AS (
    INSERT INTO bridge.ended_events (seq, settled_at, acknowledged_at, webhook, status, origin, resolved_by)
        SELECT seq, settled_at, acknowledged_at, webhook, status, origin, resolved_by FROM bridge.events
        WHERE seq >= (SELECT first FROM part) AND seq < (SELECT before FROM part) AND status <> 'pending'
    ON CONFLICT DO NOTHING
), noted AS (
    UPDATE bridge.ended_before SET seq = part.first FROM part
)
SELECT first > 0 FROM part
""",
)
"""Adds some of the events that had ended; returns whether there may be more."""

EVENTS_IN_PLACE = """
DROP TABLE bridge.ended_before;
DROP INDEX bridge.events_undecided, bridge.events_held, bridge.events_held_of, bridge.events_status,
    bridge.events_of_webhook, bridge.events_settled, bridge.events_family, bridge.events_unresolved,
    bridge.events_unresolved_of;
-- What a change leaves behind in the record is cleared away as its page is next used. Only retention needs a vacuum.
-- A page has room for a change of each of its events: all of them may be decided in one transaction.
ALTER TABLE bridge.events RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE bridge.events SET (autovacuum_vacuum_scale_factor = 0.05, fillfactor = 50);
ANALYZE bridge.unsettled_events, bridge.ended_events;
"""

UNSETTLED_IN_PLACE = """
-- What stays unsettled is changed rather than deleted and inserted again: in its page, which is to have room for that.
ALTER TABLE bridge.unsettled_events SET (fillfactor = 50);
CREATE FUNCTION bridge.events_changed() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    part record;
BEGIN
    FOR part IN
        -- Grouped rather than joined: a plan that is kept may have been made for very few.
        SELECT changed.was IS NULL AS is_new, changed.stage, changed.status, array_agg(unsettled.ctid) AS places,
            array_agg(changed.seq) AS seqs
        FROM (
            SELECT webhook, seq, origin, max(was) AS was, max(stage) AS stage, max(status) AS status FROM (
                SELECT webhook, seq, origin, CASE WHEN decided_at IS NULL THEN -1 ELSE held END AS was,
                    NULL::smallint AS stage, NULL AS status FROM before WHERE settled_at IS NULL
                UNION ALL SELECT webhook, seq, origin, NULL, CASE WHEN decided_at IS NULL THEN -1 ELSE held END, status
                FROM after WHERE settled_at IS NULL
            ) AS both_times GROUP BY webhook, seq, origin
        ) AS changed LEFT JOIN LATERAL (
            SELECT u.ctid FROM bridge.unsettled_events u
            WHERE u.stage = changed.was AND u.webhook = changed.webhook AND u.seq = changed.seq
            AND (u.stage, u.status) IS DISTINCT FROM (changed.stage, changed.status) OFFSET 0
        ) AS unsettled ON true WHERE changed.was IS NULL OR unsettled.ctid IS NOT NULL
        -- What is new comes last: if a person has changed another column, it is in place of what is deleted.
        GROUP BY changed.was IS NULL, changed.stage, changed.status ORDER BY is_new
    LOOP
        IF part.is_new THEN
            INSERT INTO bridge.unsettled_events (seq, stage, webhook, status, origin)
                SELECT seq, part.stage, webhook, part.status, origin FROM after
                WHERE settled_at IS NULL AND seq = ANY(part.seqs);
        ELSIF part.stage IS NULL THEN
            DELETE FROM bridge.unsettled_events WHERE ctid = ANY(part.places);
        ELSE
            UPDATE bridge.unsettled_events SET stage = part.stage, status = part.status WHERE ctid = ANY(part.places);
        END IF;
    END LOOP;
    IF EXISTS (SELECT FROM before WHERE status <> 'pending') THEN
        DELETE FROM bridge.ended_events WHERE ctid = ANY(ARRAY(
            SELECT ended.ctid FROM before CROSS JOIN LATERAL (
                SELECT e.ctid FROM bridge.ended_events e
                WHERE e.webhook = before.webhook AND e.status = before.status AND e.seq = before.seq OFFSET 0
            ) AS ended WHERE before.status <> 'pending'
        ));
    END IF;
    IF EXISTS (SELECT FROM after WHERE status <> 'pending') THEN
        INSERT INTO bridge.ended_events (seq, settled_at, acknowledged_at, webhook, status, origin, resolved_by)
            SELECT seq, settled_at, acknowledged_at, webhook, status, origin, resolved_by
            FROM after WHERE status <> 'pending';
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER follow_1_updated ON bridge.events;
DROP TRIGGER follow_2_updated ON bridge.events;
CREATE TRIGGER follow_updated AFTER UPDATE ON bridge.events REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION bridge.events_changed();
-- A vacuum has nothing to do for changes; in a small table, those in progress were enough for one every minute. With
-- half of a page free the last of its events often had no room, since each grows with its decision.
ALTER TABLE bridge.events SET (autovacuum_vacuum_threshold = 20000, fillfactor = 45);
"""

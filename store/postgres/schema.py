"""The tables on PostgreSQL, and who creates and migrates them.

An index of events that has a column which changes gets a new entry with each change, and so do all
the others: only a row none of whose indexed columns changes is written in place (HOT). So the
record has indexes of what never changes, and events are found by their state in small tables of
their own. Triggers derive these from the record, whoever writes it: a worker, a transfer, a person.
So they can't differ from it. A row of theirs changes only in a transaction that has written the
record's row, so locking that is enough.

An event that stays unsettled keeps its row. Otherwise the rows of the event before a change are
deleted, and those of the event after it inserted. A session keeps the plans of its triggers however
much the tables grow, so each row is looked up on its own: OFFSET keeps that from becoming a join.

Several processes may migrate at once: a lock held by the transaction admits one at a time.
"""

from __future__ import annotations

from store.errors import StoreMissing, StoreUnavailable
from store.postgres import remedies
from store.postgres.connections import Connection, Connections
from store.sql.schema import Schema

_LIVE_EVENTS = """
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
-- An event that stays unsettled is changed in its page, which is to have room for that.
ALTER TABLE bridge.unsettled_events SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000, fillfactor = 50);
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

"""
_UNLIST_ENDED = """IF EXISTS (SELECT FROM before WHERE status <> 'pending') THEN
        DELETE FROM bridge.ended_events WHERE ctid = ANY(ARRAY(
            SELECT ended.ctid FROM before CROSS JOIN LATERAL (
                SELECT e.ctid FROM bridge.ended_events e
                WHERE e.webhook = before.webhook AND e.status = before.status AND e.seq = before.seq OFFSET 0
            ) AS ended WHERE before.status <> 'pending'
        ));
    END IF;"""
_LIST_ENDED = """IF EXISTS (SELECT FROM after WHERE status <> 'pending') THEN
        INSERT INTO bridge.ended_events (seq, settled_at, acknowledged_at, webhook, status, origin, resolved_by)
            SELECT seq, settled_at, acknowledged_at, webhook, status, origin, resolved_by
            FROM after WHERE status <> 'pending';
    END IF;"""
_TRIGGERS = f"""
CREATE FUNCTION bridge.events_before() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    DELETE FROM bridge.unsettled_events WHERE ctid = ANY(ARRAY(
        SELECT unsettled.ctid FROM before CROSS JOIN LATERAL (
            SELECT u.ctid FROM bridge.unsettled_events u
            WHERE u.stage = CASE WHEN before.decided_at IS NULL THEN -1 ELSE before.held END
            AND u.webhook = before.webhook AND u.seq = before.seq OFFSET 0
        ) AS unsettled WHERE before.settled_at IS NULL
    ));
    {_UNLIST_ENDED}
    RETURN NULL;
END $$;
CREATE FUNCTION bridge.events_after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO bridge.unsettled_events (seq, stage, webhook, status, origin)
        SELECT seq, CASE WHEN decided_at IS NULL THEN -1 ELSE held END, webhook, status, origin
        FROM after WHERE settled_at IS NULL;
    {_LIST_ENDED}
    RETURN NULL;
END $$;
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
    {_UNLIST_ENDED}
    {_LIST_ENDED}
    RETURN NULL;
END $$;
CREATE TRIGGER follow_1_deleted AFTER DELETE ON bridge.events REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION bridge.events_before();
CREATE TRIGGER follow_2_inserted AFTER INSERT ON bridge.events REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION bridge.events_after();
CREATE TRIGGER follow_updated AFTER UPDATE ON bridge.events REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION bridge.events_changed();
"""
_OWN = """
-- An index of all targets gets an entry with each change of one; this one gets a single one, when the target has ended.
-- Those that have the task are in `targets_taken`.
CREATE INDEX targets_ended_on_task ON bridge.targets (task_id)
    WHERE task_id IS NOT NULL AND state NOT IN ('pending', 'claimed', 'done', 'unknown');

-- How many events have each status but `pending`: the sum of these, since counting events would read them all, and one
-- row a status would have everybody wait for it. `maintain` adds them up.
CREATE TABLE bridge.finished_events (
    status TEXT NOT NULL,
    number BIGINT NOT NULL
);

CREATE TABLE bridge.leads (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until BIGINT NOT NULL
);

-- A row that changes stays in its page if there is room. Then only the change goes to the log, and one page is written
-- instead of two. All events of a page may be decided in one transaction, and each grows with its decision.
-- A vacuum may read all indexes of its table, ten gigabytes of a hundred million targets: too much for 20,000 changes.
-- Claims begin behind what is done, whether it has been cleared away or not. Delivery ids are random, so what retention
-- deletes has entries in all pages of their index, and a vacuum writes these to the log whole. Half of what counts as
-- dead events was updated in place, and is cleared away without a vacuum.
ALTER TABLE bridge.events SET (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 20000,
    autovacuum_analyze_scale_factor = 0.02, fillfactor = 45);
ALTER TABLE bridge.targets SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 20000,
    autovacuum_analyze_scale_factor = 0.02, fillfactor = 50);
ALTER TABLE bridge.tasks SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 20000,
    autovacuum_analyze_scale_factor = 0.02, fillfactor = 50);
"""
SCHEMA = Schema({1: _OWN + _LIVE_EVENTS + _TRIGGERS})

_LOCK = 0x77656268  # "webh"; the schema's name provides the other half
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
_MAY_MAKE_TABLES = """
SELECT coalesce(
    (SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = %s),
    has_database_privilege(current_database(), 'CREATE')
)
"""


def migrate(connections: Connections, connection: Connection) -> None:
    """Creates the tables if there are none, and migrates them to this program's schema, all steps
    in one transaction.

    Raises NewerStore if they are for newer programs only, StoreRefused if a commit from before the
    first release created them, and psycopg's errors.
    """
    if _schema_of(connections, connection) >= SCHEMA.newest:
        return
    try:
        # It must have time to build an index over millions of rows.
        connection.execute(
            f"{connection.begin}; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"
        )
        _take_steps(connections, connection)
        connection.execute("COMMIT")
    except BaseException:
        if not connection.broken:
            connection.execute("ROLLBACK")
        raise


def _take_steps(connections: Connections, connection: Connection) -> None:
    """Of several processes that start at once, one takes the steps, and the others find them
    taken."""
    schema = connections.address.schema
    connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_LOCK, schema))
    number = _schema_of(connections, connection)
    if number >= SCHEMA.newest:
        return
    # Only if it doesn't exist: a user that may not create schemas may have been given one.
    if not connection.execute(
        "SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)
    ).fetchone():
        connection.write(f"CREATE SCHEMA {schema}")
    for step in SCHEMA.steps_after(number):
        connection.write(step.statements)
    SCHEMA.record(connection)


def _schema_of(connections: Connections, connection: Connection) -> int:
    """The number of the tables' schema; 0 if there are none. Raises NewerStore, StoreRefused."""
    address = connections.address
    tables = {name for (name,) in connection.fetch(_TABLES, (address.schema,))}
    return SCHEMA.number_of(connection, tables, address.shown)


def check_version(connections: Connections, connection: Connection) -> None:
    """Raises StoreMissing if there are no tables, StoreUnavailable for older ones, NewerStore for
    those that are for newer programs only.

    Raises StoreRefused for tables from before the first release, and if there are none and this
    user may not create them.
    """
    address = connections.address
    number = _schema_of(connections, connection)
    if number == 0:
        if connection.execute(_MAY_MAKE_TABLES, (address.schema,)).fetchone() != (True,):
            raise remedies.may_make_no_tables("it lacks the right to create them", address)
        raise StoreMissing(
            f"the database at {address.shown} has none of the bridge's tables; start the relay,"
            " which creates them"
        )
    if number < SCHEMA.newest:
        raise StoreUnavailable(
            f"the database at {address.shown} is older than this program; start the relay to"
            " migrate it"
        )

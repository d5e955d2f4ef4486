"""The tables of the first version. Never change them: databases that were made so are migrated from there."""

FIRST = """
CREATE TABLE events (
    -- the order of arrival; never used again, since retention leaves the newest event
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    webhook TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    delivery_id TEXT,
    payload TEXT NOT NULL,
    headers TEXT NOT NULL,
    query TEXT NOT NULL,
    hold_until INTEGER NOT NULL,
    replay_of TEXT,
    status TEXT NOT NULL DEFAULT 'pending',
    decided_at INTEGER,
    -- 0: not available to tasks that come to wait; 1: held; 2: freed by cancelled takers, the decider is to look again
    held INTEGER NOT NULL DEFAULT 0,
    settled_at INTEGER
);
CREATE UNIQUE INDEX events_delivery ON events (webhook, delivery_id) WHERE delivery_id IS NOT NULL;
-- Events of the two states below are few; every other index would cost each arrival a page.
CREATE INDEX events_pending ON events (decided_at, seq) WHERE status = 'pending';
CREATE INDEX events_held ON events (held, seq) WHERE held > 0;
CREATE INDEX events_status ON events (status, seq) WHERE status != 'pending';
CREATE INDEX events_settled ON events (settled_at) WHERE settled_at IS NOT NULL;

CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    workflow_id TEXT NOT NULL,
    workflow TEXT NOT NULL,
    reference_name TEXT NOT NULL,
    matches TEXT NOT NULL,
    scheduled_at INTEGER NOT NULL,
    response_timeout INTEGER NOT NULL DEFAULT 0,
    domain TEXT,
    found_by TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    broken TEXT,
    seen_at INTEGER NOT NULL,
    settled_at INTEGER
) WITHOUT ROWID;
CREATE INDEX tasks_waiting ON tasks (id) WHERE state = 'waiting';
CREATE INDEX tasks_returned ON tasks (id) WHERE state = 'returned';
CREATE INDEX tasks_settled ON tasks (settled_at) WHERE settled_at IS NOT NULL;

CREATE TABLE targets (
    id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    workflow TEXT NOT NULL,
    workflow_id TEXT,
    task_id TEXT,
    reference_name TEXT,
    version INTEGER,
    correlation_id TEXT,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    claimed_by TEXT,
    claimed_at INTEGER,
    due_at INTEGER NOT NULL,
    -- the last try is known to have done nothing
    not_sent INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    settled_at INTEGER
);
CREATE INDEX targets_event ON targets (event_id);
CREATE INDEX targets_task ON targets (task_id) WHERE task_id IS NOT NULL;
-- A task is completed by one event only: never two live or successful targets on it.
CREATE UNIQUE INDEX targets_taken ON targets (task_id) WHERE task_id IS NOT NULL AND state IN ('pending', 'claimed');
CREATE INDEX targets_pending ON targets (due_at) WHERE state = 'pending';
CREATE INDEX targets_claimed ON targets (claimed_at) WHERE state = 'claimed';

CREATE TABLE workflows (
    id TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    root_id TEXT NOT NULL,
    root_started_at INTEGER NOT NULL,
    root_correlation_id TEXT
) WITHOUT ROWID;

CREATE TABLE verifications (
    webhook TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    verified_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE rejections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook TEXT NOT NULL,
    at INTEGER NOT NULL,
    status INTEGER NOT NULL,
    reason TEXT NOT NULL,
    remote TEXT,
    method TEXT NOT NULL
);
CREATE INDEX rejections_webhook ON rejections (webhook, id);

CREATE TABLE delivery_counts (
    webhook TEXT NOT NULL,
    hour INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (webhook, hour, outcome)
) WITHOUT ROWID;

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    at INTEGER NOT NULL
) WITHOUT ROWID;
"""

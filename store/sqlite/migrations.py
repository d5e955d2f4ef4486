"""The schema, step by step. Each step and its record share one transaction. Never change a step that was released."""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

migrations = Migrations("webhook_bridge")

_FIRST = """
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


@migrations()
def first(db: Database) -> None:
    """Events, tasks, targets and what surrounds them."""
    _run(db, _FIRST)


_PROTOCOLS = """
ALTER TABLE leases RENAME TO leads;
-- the holder has the file lock, which dies with it
ALTER TABLE leads ADD COLUMN guarded INTEGER NOT NULL DEFAULT 1;
-- to read the undecided events of some webhooks without those of others
CREATE INDEX events_undecided ON events (webhook, seq) WHERE decided_at IS NULL;
"""


@migrations()
def leads_and_undecided(db: Database) -> None:
    """The lead records whether its holder's death can be detected; undecided events can be skipped by webhook."""
    _run(db, _PROTOCOLS)


_CHANGES = """
-- what people did: definitions written, events replayed
CREATE TABLE changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    webhook TEXT NOT NULL,
    detail TEXT NOT NULL
);
"""


@migrations()
def changes(db: Database) -> None:
    """Who changed what, and when."""
    _run(db, _CHANGES)


_QUICK_LISTS = """
CREATE INDEX events_of_webhook ON events (webhook, status, seq) WHERE status != 'pending';
CREATE INDEX tasks_of_workflow ON tasks (workflow, id, state) WHERE state = 'waiting';
CREATE INDEX tasks_broken ON tasks (id) WHERE state = 'waiting' AND broken IS NOT NULL;
-- how many events have each status but `pending`: counting them would read them all
CREATE TABLE finished_events (
    status TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO finished_events SELECT status, count(*) FROM events WHERE status != 'pending' GROUP BY status;
"""
_ADD = "INSERT INTO finished_events VALUES (new.status, 1) ON CONFLICT (status) DO UPDATE SET number = number + 1;"
_SUBTRACT = "UPDATE finished_events SET number = number - 1 WHERE status = old.status;"


@migrations()
def quick_lists(db: Database) -> None:
    """Lists and counts cost the same for few and for many finished events."""
    _run(db, _QUICK_LISTS)
    for name, when, statement in (
        ("finished", "INSERT ON events WHEN new.status != 'pending'", _ADD),
        ("finished_now", "UPDATE OF status ON events WHEN new.status NOT IN ('pending', old.status)", _ADD),
        ("finished_before", "UPDATE OF status ON events WHEN old.status NOT IN ('pending', new.status)", _SUBTRACT),
        ("pruned", "DELETE ON events WHEN old.status != 'pending'", _SUBTRACT),
    ):
        db.execute(f"CREATE TRIGGER events_{name} AFTER {when} BEGIN {statement} END")


_ONCE_PACE_PAUSE = """
ALTER TABLE targets ADD COLUMN webhook TEXT NOT NULL DEFAULT '';
UPDATE targets SET webhook = (SELECT webhook FROM events WHERE id = event_id) WHERE state = 'pending';
ALTER TABLE targets ADD COLUMN once_key TEXT;
ALTER TABLE targets ADD COLUMN once_while TEXT;
-- to claim a webhook's targets beside others that wait for their pace
CREATE INDEX targets_of_webhook ON targets (webhook, due_at) WHERE state = 'pending';
CREATE INDEX targets_once ON targets (once_key) WHERE once_key IS NOT NULL AND state = 'pending';

-- who holds a once key: a target, or of one that was pruned the workflow that it started
CREATE TABLE onces (
    key TEXT PRIMARY KEY,
    target_id INTEGER,
    workflow_id TEXT
) WITHOUT ROWID;
CREATE INDEX onces_target ON onces (target_id) WHERE target_id IS NOT NULL;
CREATE INDEX onces_pruned ON onces (key) WHERE target_id IS NULL;

-- when the next call for the webhook may be made
CREATE TABLE paces (
    webhook TEXT PRIMARY KEY,
    next_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE pauses (
    webhook TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) WITHOUT ROWID;
"""


@migrations()
def once_pace_and_pause(db: Database) -> None:
    """Once keys, webhooks' paces, and paused webhooks."""
    _run(db, _ONCE_PACE_PAUSE)


@migrations()
def failing_since(db: Database) -> None:
    """Since when each target has been answered with 5xx."""
    db.execute("ALTER TABLE targets ADD COLUMN failing_since INTEGER")


_QUARANTINE = """
-- what failed alone and is tried again later: few rows
CREATE TABLE quarantine (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    webhook TEXT,
    reason TEXT NOT NULL,
    since INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE INDEX quarantine_due ON quarantine (due_at, kind, id);
CREATE INDEX quarantine_due_of_kind ON quarantine (kind, due_at, id);
"""


@migrations()
def quarantine(db: Database) -> None:
    """The quarantine."""
    _run(db, _QUARANTINE)


@migrations()
def targets_in_doubt(db: Database) -> None:
    """The versions that the workflow of a completion in doubt must have, as JSON."""
    db.execute("ALTER TABLE targets ADD COLUMN only_versions TEXT")


_BOUNDS = """
-- to read one webhook's held events without the others'
CREATE INDEX events_held_of ON events (webhook, held, seq) WHERE held > 0;
"""


@migrations()
def bounded_reads(db: Database) -> None:
    """One webhook's or event's data is found without reading that of others."""
    _run(db, _BOUNDS)


_EFFECTS = """
-- since when calls of a kind have had their effects without a break: a row for each kind
CREATE TABLE effects (
    kind TEXT PRIMARY KEY,
    since INTEGER NOT NULL,
    last INTEGER NOT NULL
) WITHOUT ROWID;
"""


@migrations()
def effects_of_calls(db: Database) -> None:
    """When calls took effect."""
    _run(db, _EFFECTS)


_KEPT_DEFINITIONS = """
-- the last good definitions of each file, without a secret
CREATE TABLE kept_definitions (
    file TEXT PRIMARY KEY,
    text TEXT NOT NULL
) WITHOUT ROWID;
"""


@migrations()
def kept_definitions(db: Database) -> None:
    """The last good definitions, for a process that starts while their files are broken."""
    _run(db, _KEPT_DEFINITIONS)


_LARGE = """
-- decisions with very many targets, on their way into `targets`
CREATE TABLE decision_parts (
    event_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    targets TEXT NOT NULL,
    PRIMARY KEY (event_id, number)
) WITHOUT ROWID;
-- to see what targets an event has without reading them all
CREATE INDEX targets_states ON targets (event_id, kind, state);
DROP INDEX targets_event;
"""


@migrations()
def large_decisions(db: Database) -> None:
    """An event with very many targets is decided, and its targets end, in small steps."""
    _run(db, _LARGE)


@migrations()
def taken_in_time(db: Database) -> None:
    """Finds taken tasks whose time-outs are extended."""
    db.execute("CREATE INDEX tasks_taken_in_time ON tasks (id) WHERE state = 'taken' AND response_timeout > 0")


_PAGE = """
-- sessions with the admin page whose holder has logged out, until their cookies are too old
CREATE TABLE sessions_over (
    id TEXT PRIMARY KEY,
    until INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_over_until ON sessions_over (until);

-- what each webhook's `hide` said last: a JSON list
CREATE TABLE hidden_paths (
    webhook TEXT PRIMARY KEY,
    paths TEXT NOT NULL
) WITHOUT ROWID;
"""


@migrations()
def sessions_and_hidden_paths(db: Database) -> None:
    """Sessions that ended before their time, and paths that stay hidden."""
    _run(db, _PAGE)


@migrations()
def replays(db: Database) -> None:
    """Finds an event's replays."""
    db.execute("CREATE INDEX events_replays ON events (replay_of) WHERE replay_of IS NOT NULL")


@migrations()
def saved_deliveries(db: Database) -> None:
    """Deliveries that people wrote and saved by name: as JSON."""
    _run(
        db,
        "CREATE TABLE saved_deliveries (webhook TEXT NOT NULL, name TEXT NOT NULL, saved_at INTEGER NOT NULL,"
        " content TEXT NOT NULL, PRIMARY KEY (webhook, name)) WITHOUT ROWID",
    )


@migrations()
def telling(db: Database) -> None:
    """What each event's type is, and what it says: JSONPath → value, as JSON. NULL for events from before."""
    db.execute("ALTER TABLE events ADD COLUMN type TEXT")
    db.execute("ALTER TABLE events ADD COLUMN telling TEXT")


def _run(db: Database, statements: str) -> None:
    for statement in statements.split(";\n"):
        if statement.strip():
            db.execute(statement)

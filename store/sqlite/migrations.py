"""The schema, step by step. Each step and its record share one transaction. Never change a step that was released."""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from store.sql.migrations import ANSWERS, ITERATIONS, MESSAGES, STORIES
from store.sqlite.first_tables import FIRST
from store.sqlite.lists import DECIDED_AND_COUNTS, LIVE_EVENTS, UNRESOLVED

migrations = Migrations("webhook_bridge")


@migrations()
def first(db: Database) -> None:
    """Events, tasks, targets and what surrounds them."""
    _run(db, FIRST)


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


_KEPT_DELIVERIES = """
-- refused deliveries with their bytes, of webhooks that ask for it, so that they can be verified again: few rows
CREATE TABLE kept_deliveries (
    id TEXT PRIMARY KEY,
    webhook TEXT NOT NULL,
    at INTEGER NOT NULL,
    status INTEGER NOT NULL,
    reason TEXT NOT NULL,
    remote TEXT,
    method TEXT NOT NULL, path TEXT NOT NULL, url TEXT NOT NULL, query TEXT NOT NULL, headers TEXT NOT NULL,
    size INTEGER NOT NULL,
    -- the event it has become since
    event_id TEXT,
    -- as base64; last, since it is large and seldom read
    body TEXT NOT NULL
);
CREATE INDEX kept_deliveries_webhook ON kept_deliveries (webhook, id);
CREATE INDEX kept_deliveries_at ON kept_deliveries (at);
ALTER TABLE rejections ADD COLUMN kept_id TEXT;
"""


@migrations()
def kept_deliveries(db: Database) -> None:
    """Refused deliveries that can be verified again."""
    _run(db, _KEPT_DELIVERIES)


_DELIVERIES = """
-- the newest deliveries of webhooks with `listen`, as they came; the body in base64
CREATE TABLE raw_deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook TEXT NOT NULL,
    at INTEGER NOT NULL,
    size INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    method TEXT NOT NULL, query TEXT NOT NULL, headers TEXT NOT NULL, body TEXT NOT NULL
);
CREATE INDEX raw_deliveries_listed ON raw_deliveries (webhook, id, at, size, event_id);

-- the newest deliveries of events that were there already
CREATE TABLE duplicates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook TEXT NOT NULL,
    at INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    remote TEXT,
    method TEXT NOT NULL
);
CREATE INDEX duplicates_webhook ON duplicates (webhook, id);
"""


@migrations()
def raw_deliveries_and_duplicates(db: Database) -> None:
    """Deliveries that admins listen to, and those that repeated an event."""
    _run(db, _DELIVERIES)


@migrations()
def stories(db: Database) -> None:
    """What becomes of an event after it ended, and what its story needs besides."""
    _run(db, STORIES.replace("bridge.", ""))


@migrations()
def inputs(db: Database) -> None:
    """The input that a start's entry asks for, as its definition says, in JSON."""
    db.execute("ALTER TABLE targets ADD COLUMN input TEXT")


@migrations()
def claims(db: Database) -> None:
    """What the token says that proved an event's delivery, in JSON."""
    db.execute("ALTER TABLE events ADD COLUMN claims TEXT")


@migrations()
def enclosing(db: Database) -> None:
    """What an event that is a part of a delivery was in, in JSON."""
    db.execute("ALTER TABLE events ADD COLUMN enclosing TEXT")


@migrations()
def unresolved_of_webhook(db: Database) -> None:
    """To list what still needs somebody of one webhook without the others', and to count it without reading events."""
    _run(db, UNRESOLVED)


@migrations()
def answers(db: Database) -> None:
    """Answers for which senders wait."""
    _run(db, ANSWERS.replace("bridge.", "").replace("BIGINT", "INTEGER"))


@migrations()
def messages(db: Database) -> None:
    """Messages to running workflows, in order."""
    _run(db, MESSAGES.replace("bridge.", ""))


@migrations()
def decided_of_webhook_and_counts_by_hour(db: Database) -> None:
    """Indexes that PostgreSQL's tables have had from the beginning."""
    _run(db, DECIDED_AND_COUNTS)


@migrations()
def live_events(db: Database) -> None:
    """The names by which shared statements find events by their state."""
    _run(db, LIVE_EVENTS)


@migrations()
def iterations(db: Database) -> None:
    """Which iteration of its loop a task is."""
    _run(db, ITERATIONS.replace("bridge.", "").replace("BIGINT", "INTEGER"))


def _run(db: Database, statements: str) -> None:
    for statement in statements.split(";\n"):
        if statement.strip():
            db.execute(statement)

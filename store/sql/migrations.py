"""Steps of the schema that are the same on both databases. Never change a step that was released."""

STORIES = """
-- the sender's event that a replay is of, or of whose replay
ALTER TABLE bridge.events ADD COLUMN origin TEXT;
-- as JSON: the one target that a replay is for
ALTER TABLE bridge.events ADD COLUMN only_target TEXT;
ALTER TABLE bridge.events ADD COLUMN acknowledged_at BIGINT;
-- the replay that delivered what the event didn't
ALTER TABLE bridge.events ADD COLUMN resolved_by TEXT;
ALTER TABLE bridge.events ADD COLUMN remote TEXT;
ALTER TABLE bridge.events ADD COLUMN proof TEXT;
ALTER TABLE bridge.events ADD COLUMN scan_at BIGINT;
ALTER TABLE bridge.events ADD COLUMN decided_by TEXT;
-- what people did about the event: a JSON list a line
ALTER TABLE bridge.events ADD COLUMN notes TEXT;
-- as JSON: the newest attempts that failed
ALTER TABLE bridge.targets ADD COLUMN failures TEXT;
WITH RECURSIVE family (id, origin) AS (
    SELECT r.id, r.replay_of FROM bridge.events r LEFT JOIN bridge.events p ON p.id = r.replay_of
    WHERE r.replay_of IS NOT NULL AND p.replay_of IS NULL
    UNION ALL SELECT r.id, family.origin FROM family JOIN bridge.events r ON r.replay_of = family.id
) UPDATE bridge.events SET origin = family.origin FROM family WHERE bridge.events.id = family.id;
CREATE INDEX events_family ON bridge.events (origin, status, seq) WHERE origin IS NOT NULL;
WITH first (origin, seq) AS (
    SELECT origin, min(seq) FROM bridge.events WHERE origin IS NOT NULL AND status = 'delivered' GROUP BY origin
) UPDATE bridge.events SET resolved_by = r.id FROM first JOIN bridge.events r ON r.seq = first.seq
WHERE bridge.events.id = first.origin AND bridge.events.status IN ('failed', 'expired', 'ignored');
WITH first (origin, seq) AS (
    SELECT origin, min(seq) FROM bridge.events WHERE origin IS NOT NULL AND status = 'delivered' GROUP BY origin
) UPDATE bridge.events SET resolved_by = r.id FROM first JOIN bridge.events r ON r.seq = first.seq
WHERE bridge.events.origin = first.origin AND bridge.events.status IN ('failed', 'expired', 'ignored');
-- to count and list what still needs somebody, however much has failed before
CREATE INDEX events_unresolved ON bridge.events (status, seq)
    WHERE status = 'failed' AND acknowledged_at IS NULL AND resolved_by IS NULL;
DROP INDEX bridge.events_replays;
"""
"""For SQLite without `bridge.`; a BIGINT is an INTEGER there."""

ANSWERS = """
-- what senders are answered that wait for the end of a workflow: open until it is known
CREATE TABLE bridge.answers (
    event_id TEXT PRIMARY KEY,
    webhook TEXT NOT NULL,
    -- a JSONPath into the workflow's output
    output TEXT NOT NULL,
    wait_until BIGINT NOT NULL,
    workflow_id TEXT,
    outcome TEXT,
    answered_at BIGINT,
    size BIGINT,
    -- what the path selects, as JSON; last, since it may be large
    body TEXT
);
CREATE INDEX answers_open ON bridge.answers (wait_until, event_id) WHERE answered_at IS NULL;
CREATE INDEX answers_answered ON bridge.answers (answered_at, event_id) WHERE answered_at IS NOT NULL;
"""
"""The same."""

MESSAGES = """
-- which messages are delivered one after the other
ALTER TABLE bridge.targets ADD COLUMN lane TEXT;
-- what becomes of a message for whose key no workflow runs
ALTER TABLE bridge.targets ADD COLUMN otherwise TEXT;
CREATE INDEX targets_lanes ON bridge.targets (lane, id) WHERE lane IS NOT NULL AND settled_at IS NULL;
CREATE INDEX targets_delivered ON bridge.targets (lane, id) WHERE lane IS NOT NULL AND state = 'done';
"""
"""As above."""

ITERATIONS = """
-- which iteration of its loop a task is: the number at the end of its name may be a person's own
ALTER TABLE bridge.tasks ADD COLUMN iteration BIGINT;
ALTER TABLE bridge.targets ADD COLUMN iteration BIGINT;
"""

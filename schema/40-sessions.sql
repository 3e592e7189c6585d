-- REPLICATED: sessions ------------------------------------------------------------------------------------
-- Who owns a session stands in "name" (swarm '', kind session). Every write here carries the epoch it was
-- made under and is refused when that is not the claim's.

CREATE TABLE template (
    template TEXT PRIMARY KEY,
    extra BLOB,
    spec TEXT                 -- JSON; never a secret
) STRICT;

CREATE TABLE session (
    session TEXT PRIMARY KEY,
    consistency TEXT,         -- local | quorum
    created_at INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0,
    extra BLOB,
    head TEXT,                -- newest entry
    metadata TEXT,            -- JSON
    resume TEXT,              -- eager | lazy
    status TEXT,              -- idle | running
    template TEXT,
    ttl_ms INTEGER NOT NULL DEFAULT 0,
    updated_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX session_expires ON session (updated_at + ttl_ms) WHERE ttl_ms > 0;

-- Entries form a tree; the conversation is the path from the head to the root.
CREATE TABLE entry (
    session TEXT NOT NULL,
    entry TEXT NOT NULL,
    at INTEGER NOT NULL DEFAULT 0,
    content TEXT,             -- JSON as it came
    epoch INTEGER NOT NULL DEFAULT 0,      -- it was written under
    extra BLOB,
    parent TEXT,
    role TEXT,
    seq INTEGER NOT NULL DEFAULT 0,        -- its distance from the root
    turn TEXT,
    PRIMARY KEY (session, entry)
) STRICT;

CREATE TABLE turn (
    session TEXT NOT NULL,
    turn TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,   -- times it was given to a worker
    created_at INTEGER NOT NULL DEFAULT 0,
    detail TEXT,              -- why it failed
    ended_at INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0,
    extra BLOB,
    input TEXT,               -- JSON
    node TEXT,                -- node id it last ran on
    result TEXT,              -- JSON
    status TEXT,              -- queued | running | awaiting_approval | done | failed | cancelled
    PRIMARY KEY (session, turn)
) STRICT;
CREATE INDEX turn_unfinished ON turn (session) WHERE ended_at = 0;

CREATE TABLE session_state (
    session TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL DEFAULT 0,
    extra BLOB,
    state TEXT                -- JSON as it came
) STRICT;

-- REPLICATED: many at once, and groups -------------------------------------------------------------------

-- Starts and stops of many, and what became of them. Written by the node that coordinates it; when that is gone, by
-- the operation's home.
CREATE TABLE operation (
    operation TEXT PRIMARY KEY,
    at INTEGER NOT NULL DEFAULT 0,
    deadline INTEGER NOT NULL DEFAULT 0,
    ended_at INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0,      -- grows with every coordinator
    extra BLOB,
    kind TEXT,                -- start | stop
    node TEXT,                -- node id of its coordinator
    options TEXT,             -- JSON: mode, on_failure, and what holds for all
    state TEXT,               -- running | rolling_back | done | partly
    swarm TEXT,
    who TEXT
) STRICT;
CREATE INDEX operation_open ON operation (operation) WHERE ended_at = 0;
CREATE INDEX operation_ended ON operation (ended_at) WHERE ended_at <> 0;

-- Its parts: at most 1000 names each, for one node.
CREATE TABLE operation_part (
    operation TEXT NOT NULL,
    part INTEGER NOT NULL,    -- each coordinator counts for itself; -1: it was rolled back
    body TEXT,                -- JSON array: what is asked
    epoch INTEGER NOT NULL DEFAULT 0,
    extra BLOB,
    node TEXT,                -- node id it is for
    result TEXT,              -- JSON array: what became of each, in the order of the body
    state TEXT,               -- waiting | running | done | partly | undone
    PRIMARY KEY (operation, part)
) STRICT;
CREATE INDEX operation_part_partly ON operation_part (operation) WHERE state = 'partly';

-- Settings of a group; one without a row has none.
CREATE TABLE process_group (
    swarm TEXT NOT NULL,
    process_group TEXT NOT NULL,
    extra BLOB,
    settings TEXT,            -- JSON
    PRIMARY KEY (swarm, process_group)
) STRICT;

-- Who is in a group: an add-wins set. A join adds a row of its own tag, a leave takes away the rows that it saw.
CREATE TABLE member (
    swarm TEXT NOT NULL,
    process_group TEXT NOT NULL,
    name TEXT NOT NULL,
    tag TEXT NOT NULL,        -- of the join: unique
    at INTEGER NOT NULL DEFAULT 0,
    extra BLOB,
    incarnation INTEGER NOT NULL DEFAULT 0,-- of the name that joined; another life of it is no member
    metadata TEXT,            -- JSON object
    PRIMARY KEY (swarm, process_group, name, tag)
) STRICT;
CREATE INDEX member_name ON member (swarm, name);

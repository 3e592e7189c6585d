-- skep's whole schema, as it should be after every migration. Read the files in name order.
--
-- Two groups of tables. LOCAL ones belong to this node and never leave it. REPLICATED ones are equal on
-- every node once all have pulled from each other; each of their rows, alive or dead, has one row in
-- "change", which is what nodes compare. Replicated tables have a primary key and STRICT types and nothing
-- else: their rows arrive in any order and must always merge. Times are milliseconds since 1970 (the views
-- show them as ISO 8601), hlc stamps are milliseconds << 16 | counter, node ids are 32 hex digits.
--
-- Look, but do not write: skepd owns this file, and every table is guarded by triggers that say what to
-- use instead.

-- The table of all tables.
CREATE TABLE "tables" (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,       -- local | replicated
    key TEXT NOT NULL,        -- primary key columns
    writer TEXT NOT NULL,     -- who may write a row
    rank TEXT NOT NULL,       -- how rows merge: - (never) | last | immutable | epoch
    retention TEXT NOT NULL,
    about TEXT NOT NULL
) STRICT;

-- LOCAL ---------------------------------------------------------------------------------------------------

-- Who this node is: cluster, node, name, schema notes; and away: ids of the nodes that it holds for dead.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- The version table: one row per replicated row, alive or dead. The greater (rank, hlc, actor) wins.
CREATE TABLE change (
    tbl TEXT NOT NULL,        -- replicated table
    key TEXT NOT NULL,        -- its primary key: values joined by '/', with % and / percent-encoded
    rank INTEGER NOT NULL,    -- 0, or the epoch of what only an owner writes
    actor INTEGER NOT NULL,   -- run of skepd that wrote it
    hlc INTEGER NOT NULL,     -- when, unique per actor
    dead INTEGER NOT NULL,    -- 1: the row was deleted, this is its tombstone
    hash BLOB,                -- first 16 bytes of SHA-256 of the length (8 bytes, lowest first) and the bytes of the
                              -- row in canonical form; NULL when dead
    PRIMARY KEY (tbl, key)
) STRICT;
CREATE UNIQUE INDEX change_dot ON change (actor, hlc);
CREATE INDEX change_dead ON change (hlc) WHERE dead = 1;

-- The version vector: what of each actor's writes this node has. Actor 0 is the floor: every actor without a
-- row of its own counts as covered so far.
CREATE TABLE vv (
    actor INTEGER PRIMARY KEY,
    hlc INTEGER NOT NULL,
    seen INTEGER NOT NULL DEFAULT 0 -- of the newest row that is here, proven or not
) STRICT;

-- Per actor, the highest hlc of any tombstone this node has dropped. Actor 0: the highest stamp or rank of all.
CREATE TABLE gcvv (
    actor INTEGER PRIMARY KEY,
    hlc INTEGER NOT NULL
) STRICT;

-- What happened here, one sequence per node. One row serves as event, as audit record and as history.
CREATE TABLE log (
    seq INTEGER PRIMARY KEY,  -- the event's id is node:seq
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    swarm TEXT,
    name TEXT,
    node TEXT,                -- the node it is about, by name
    epoch INTEGER,
    who TEXT,                 -- who asked for it; NULL: skep itself
    data TEXT                 -- JSON
) STRICT;
CREATE INDEX log_name ON log (swarm, name) WHERE name IS NOT NULL;

-- Rows that were set aside because they could neither be applied nor dropped.
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    tbl TEXT NOT NULL,
    key TEXT NOT NULL,
    rank INTEGER NOT NULL,
    actor INTEGER NOT NULL,
    hlc INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    why TEXT NOT NULL,
    row BLOB                  -- canonical bytes
) STRICT;

-- Rows of replication that this program cannot apply: of a table it does not know, or not of the form that their
-- table has. They have their row in "change", are passed on to others, and are applied by a program that can.
CREATE TABLE aside (
    tbl TEXT NOT NULL,
    key TEXT NOT NULL,
    at INTEGER NOT NULL,
    why TEXT NOT NULL,
    row BLOB NOT NULL,        -- canonical bytes, as they came
    PRIMARY KEY (tbl, key)
) STRICT;

-- Hooks that are still to be run or called by this node, oldest first.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    due INTEGER NOT NULL,     -- not before
    event TEXT NOT NULL,
    hook TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    body TEXT NOT NULL,       -- JSON, as it is sent
    detail TEXT               -- why the last attempt failed
) STRICT;
CREATE INDEX outbox_due ON outbox (due);

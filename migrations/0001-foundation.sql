-- Migration 1: the first schema. Append-only: never edit, add a new file.
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

-- Who this node is: cluster, node, name, schema notes.
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
    hash BLOB,                -- first 16 bytes of SHA-256 of the row's canonical bytes; NULL when dead
    PRIMARY KEY (tbl, key)
) STRICT;
CREATE UNIQUE INDEX change_dot ON change (actor, hlc);

-- The version vector: what of each actor's writes this node has.
CREATE TABLE vv (
    actor INTEGER PRIMARY KEY,
    hlc INTEGER NOT NULL
) STRICT;

-- Per actor, the highest hlc of any tombstone this node has dropped.
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
-- REPLICATED: the cluster itself --------------------------------------------------------------------------

-- Nodes, each row written by its node only.
CREATE TABLE node (
    node TEXT PRIMARY KEY,    -- node id
    actor INTEGER NOT NULL DEFAULT 0,      -- its current run
    boot TEXT,
    draining INTEGER NOT NULL DEFAULT 0,
    extra BLOB,               -- columns of a newer version, kept as they came
    member INTEGER NOT NULL DEFAULT 0,     -- 1 once it has finished a barrier with a member
    name TEXT,
    started_at INTEGER NOT NULL DEFAULT 0,
    state TEXT,               -- up | left
    url TEXT,
    version TEXT,
    weight INTEGER NOT NULL DEFAULT 0      -- percent; 0 is read as 100
) STRICT;

-- What others decide about a node.
CREATE TABLE node_mark (
    node TEXT PRIMARY KEY,
    extra BLOB,
    forgotten_at INTEGER NOT NULL DEFAULT 0,
    role TEXT
) STRICT;

-- Every run of every skepd: who stands behind an actor number.
CREATE TABLE actor (
    actor INTEGER PRIMARY KEY,
    boot TEXT,
    born_at INTEGER NOT NULL DEFAULT 0,
    extra BLOB,
    node TEXT
) STRICT;

-- Named sets of settings. "default" exists without a row.
CREATE TABLE swarm (
    swarm TEXT PRIMARY KEY,
    extra BLOB,
    settings TEXT             -- JSON
) STRICT;

-- Bearer tokens, as hashes.
CREATE TABLE token (
    token TEXT PRIMARY KEY,   -- an id to list and delete it by; not the secret
    created_at INTEGER NOT NULL DEFAULT 0,
    expires_at INTEGER NOT NULL DEFAULT 0, -- 0: never
    extra BLOB,
    hash TEXT,                -- SHA-256 of the secret, hex
    name TEXT,
    role TEXT,                -- read | write | admin | join
    swarm TEXT,               -- NULL: every swarm
    used_at INTEGER NOT NULL DEFAULT 0     -- join tokens work once
) STRICT;

-- First answers to requests that carried an Idempotency-Key.
CREATE TABLE idem (
    key TEXT PRIMARY KEY,     -- who/key
    answer TEXT,
    at INTEGER NOT NULL DEFAULT 0,
    extra BLOB,
    request TEXT,             -- SHA-256 of method, path and body, hex
    status INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX idem_at ON idem (at);
-- REPLICATED: names and processes -------------------------------------------------------------------------

-- Who owns a name, and what is wanted under it: the claim and its specification are one row.
CREATE TABLE name (
    swarm TEXT NOT NULL,      -- '' for sessions
    name TEXT NOT NULL,
    address TEXT,             -- kind address
    epoch INTEGER NOT NULL DEFAULT 0,      -- the fencing token; grows with every claim
    expires_at INTEGER NOT NULL DEFAULT 0, -- kind address: end of the lease as last written; 0: none
    extra BLOB,
    incarnation INTEGER NOT NULL DEFAULT 0,-- stamp of the request that started it; kept by moves
    kind TEXT,                -- child | address | session
    metadata TEXT,            -- kind address: JSON
    op TEXT,                  -- operation that started it
    owner TEXT,               -- node id; NULL: an address, or nobody yet
    owner_actor INTEGER NOT NULL DEFAULT 0,
    since INTEGER NOT NULL DEFAULT 0,      -- first claim of the process that runs now
    spec TEXT,                -- kind child: JSON
    ttl_ms INTEGER NOT NULL DEFAULT 0,     -- kind address
    view TEXT,                -- signature of the view the claim was made under
    PRIMARY KEY (swarm, name)
) STRICT;
CREATE INDEX name_owner ON name (owner_actor) WHERE owner_actor <> 0;
CREATE INDEX name_expires ON name (expires_at) WHERE expires_at <> 0;

-- What was observed of a child, written by its owner. Outlives the name for a while, for the reason of its end.
CREATE TABLE child (
    swarm TEXT NOT NULL,
    name TEXT NOT NULL,
    at INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0,
    extra BLOB,
    node TEXT,                -- node id
    pid INTEGER NOT NULL DEFAULT 0,
    reason TEXT,              -- JSON: why it is not running
    restarts INTEGER NOT NULL DEFAULT 0,
    started_at INTEGER NOT NULL DEFAULT 0,
    status TEXT,              -- starting | running | backoff | stopping | moving | stopped | failed | gone
    PRIMARY KEY (swarm, name)
) STRICT;
CREATE INDEX child_gone ON child (at) WHERE status = 'gone';

-- Metadata of a child, written by its owner.
CREATE TABLE metadata (
    swarm TEXT NOT NULL,
    name TEXT NOT NULL,
    data TEXT,                -- JSON object
    epoch INTEGER NOT NULL DEFAULT 0,
    extra BLOB,
    PRIMARY KEY (swarm, name)
) STRICT;

-- The last checkpoint of a child.
CREATE TABLE checkpoint (
    swarm TEXT NOT NULL,
    name TEXT NOT NULL,
    at INTEGER NOT NULL DEFAULT 0,
    data BLOB,                -- JSON as the worker sent it
    epoch INTEGER NOT NULL DEFAULT 0,
    extra BLOB,
    PRIMARY KEY (swarm, name)
) STRICT;

-- State on its way from one process to its successor. Dies when the successor says restored.
CREATE TABLE handoff (
    swarm TEXT NOT NULL,
    name TEXT NOT NULL,
    at INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    chunks INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0,      -- of the process that left it
    expires_at INTEGER NOT NULL DEFAULT 0,
    extra BLOB,
    node TEXT,                -- node id it comes from
    PRIMARY KEY (swarm, name)
) STRICT;

-- Its bytes, in pieces of at most 64 KiB, never shared.
CREATE TABLE chunk (
    swarm TEXT NOT NULL,
    name TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    idx INTEGER NOT NULL,     -- from 0
    data BLOB,
    extra BLOB,
    PRIMARY KEY (swarm, name, epoch, idx)
) STRICT;
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
-- VIEWS: the same for people ------------------------------------------------------------------------------

CREATE VIEW v_node AS
SELECT n.name, n.node AS id, n.url, n.state, n.member, n.draining, n.version,
       strftime('%Y-%m-%dT%H:%M:%fZ', n.started_at / 1000.0, 'unixepoch') AS started,
       coalesce(m.role, '') AS role, coalesce(m.forgotten_at, 0) <> 0 AS forgotten
FROM node n LEFT JOIN node_mark m ON m.node = n.node;

CREATE VIEW v_child AS
SELECT w.swarm, w.name, CASE WHEN c.epoch = w.epoch THEN c.status ELSE 'starting' END AS status,
       n.name AS node, w.epoch, CASE WHEN c.epoch = w.epoch THEN c.pid END AS pid, c.restarts,
       strftime('%Y-%m-%dT%H:%M:%fZ', c.started_at / 1000.0, 'unixepoch') AS started,
       w.spec, m.data AS metadata, CAST(k.data AS TEXT) AS checkpoint, c.reason
FROM name w
LEFT JOIN child c ON c.swarm = w.swarm AND c.name = w.name
LEFT JOIN node n ON n.node = w.owner
LEFT JOIN metadata m ON m.swarm = w.swarm AND m.name = w.name
LEFT JOIN checkpoint k ON k.swarm = w.swarm AND k.name = w.name
WHERE w.kind = 'child';

CREATE VIEW v_name AS
SELECT swarm, name, address, epoch, ttl_ms, metadata,
       CASE WHEN expires_at <> 0 THEN strftime('%Y-%m-%dT%H:%M:%fZ', expires_at / 1000.0, 'unixepoch') END AS expires
FROM name WHERE kind = 'address';

CREATE VIEW v_session AS
SELECT s.session, s.status, n.name AS owner, w.epoch, s.resume, s.template, s.head, s.metadata, st.state,
       strftime('%Y-%m-%dT%H:%M:%fZ', s.created_at / 1000.0, 'unixepoch') AS created
FROM session s
LEFT JOIN name w ON w.swarm = '' AND w.name = s.session
LEFT JOIN node n ON n.node = w.owner
LEFT JOIN session_state st ON st.session = s.session;

-- The conversation of each session: the path from its head, oldest first.
CREATE VIEW v_entry AS
WITH RECURSIVE path(session, entry, parent, turn, role, content, seq, at) AS (
    SELECT e.session, e.entry, e.parent, e.turn, e.role, e.content, e.seq, e.at
    FROM session s JOIN entry e ON e.session = s.session AND e.entry = s.head
    UNION ALL
    SELECT e.session, e.entry, e.parent, e.turn, e.role, e.content, e.seq, e.at
    FROM path p JOIN entry e ON e.session = p.session AND e.entry = p.parent)
SELECT session, seq, role, content, turn, entry, strftime('%Y-%m-%dT%H:%M:%fZ', at / 1000.0, 'unixepoch') AS at
FROM path ORDER BY session, seq;

CREATE VIEW v_turn AS
SELECT t.session, t.turn, t.status, n.name AS node, t.attempts, t.input, t.result, t.detail,
       strftime('%Y-%m-%dT%H:%M:%fZ', t.created_at / 1000.0, 'unixepoch') AS created
FROM turn t LEFT JOIN node n ON n.node = t.node;

CREATE VIEW v_event AS
SELECT (SELECT value FROM meta WHERE key = 'name') || ':' || seq AS id,
       strftime('%Y-%m-%dT%H:%M:%fZ', at / 1000.0, 'unixepoch') AS at, type, swarm, name, node, epoch, data
FROM log;

CREATE VIEW v_audit AS
SELECT seq, strftime('%Y-%m-%dT%H:%M:%fZ', at / 1000.0, 'unixepoch') AS at, who, type, swarm, name, data
FROM log WHERE who IS NOT NULL;

-- What depends on a row that is not there (yet): normal for a moment, worth a look when it stays.
CREATE VIEW v_dangling AS
SELECT 'child' AS tbl, swarm || '/' || name AS key, 'name' AS wants FROM child c
WHERE status NOT IN ('gone', 'failed') AND NOT EXISTS (SELECT 1 FROM name w WHERE w.swarm = c.swarm AND w.name = c.name)
UNION ALL
SELECT 'chunk', swarm || '/' || name || '/' || epoch || '/' || idx, 'handoff' FROM chunk c
WHERE NOT EXISTS (SELECT 1 FROM handoff h WHERE h.swarm = c.swarm AND h.name = c.name AND h.epoch = c.epoch)
UNION ALL
SELECT 'entry', session || '/' || entry, 'session' FROM entry e
WHERE NOT EXISTS (SELECT 1 FROM session s WHERE s.session = e.session);
-- ROWS of the table of all tables, before the guards.
INSERT INTO "tables" (name, kind, key, writer, rank, retention, about) VALUES
    ('tables', 'local', 'name', 'migrations', '-', 'for ever', 'this table'),
    ('meta', 'local', 'key', 'skep init, skep join, skepd', '-', 'for ever', 'who this node is'),
    ('change', 'local', 'tbl, key', 'skepd', '-', 'as its row; a tombstone until every node has it', 'the version table of all replicated rows'),
    ('vv', 'local', 'actor', 'skepd', '-', 'for ever', 'what of each actor this node has'),
    ('gcvv', 'local', 'actor', 'skepd', '-', 'for ever', 'highest dropped tombstone of each actor'),
    ('log', 'local', 'seq', 'skepd', '-', 'events_keep_ms, events_keep_rows', 'events, audit and history in one'),
    ('quarantine', 'local', 'id', 'skepd', '-', 'until decided', 'rows set aside'),
    ('node', 'replicated', 'node', 'the node itself', 'last', 'until forgotten', 'nodes of the cluster'),
    ('node_mark', 'replicated', 'node', 'any node, for an admin', 'last', 'until forgotten', 'role, forgotten'),
    ('actor', 'replicated', 'actor', 'the run itself', 'immutable', '7 days after its last row', 'runs of skepd'),
    ('swarm', 'replicated', 'swarm', 'any node, for an admin', 'last', 'until deleted', 'named sets of settings'),
    ('token', 'replicated', 'token', 'any node, for an admin', 'last', 'until deleted or expired', 'bearer tokens as hashes'),
    ('idem', 'replicated', 'key', 'the node that answered', 'immutable', '24 hours', 'first answers under an Idempotency-Key'),
    ('name', 'replicated', 'swarm, name', 'the home of the name, or its owner', 'epoch', 'until stopped, released or expired', 'claims and what is wanted under them'),
    ('child', 'replicated', 'swarm, name', 'the owner of the name', 'epoch', '10 minutes longer than its name', 'what was observed of a process'),
    ('metadata', 'replicated', 'swarm, name', 'the owner of the name', 'epoch', 'as its name', 'metadata of a child'),
    ('checkpoint', 'replicated', 'swarm, name', 'the owner of the name', 'epoch', 'as its name', 'last checkpoint of a child'),
    ('handoff', 'replicated', 'swarm, name', 'the owner of the name', 'epoch', 'until restored, a later checkpoint, or expired', 'state on its way'),
    ('chunk', 'replicated', 'swarm, name, epoch, idx', 'the owner of the name', 'immutable', 'as its handoff', 'pieces of that state'),
    ('template', 'replicated', 'template', 'any node', 'last', 'until deleted', 'what a session worker is started from'),
    ('session', 'replicated', 'session', 'the owner of the session', 'epoch', 'until deleted or ttl_ms', 'sessions'),
    ('entry', 'replicated', 'session, entry', 'the owner of the session', 'immutable', 'as its session', 'entries of the conversation'),
    ('turn', 'replicated', 'session, turn', 'the owner of the session', 'epoch', 'as its session', 'turns'),
    ('session_state', 'replicated', 'session', 'the owner of the session', 'epoch', 'as its session', 'saved state of the session');
-- GUARDS: skepd switches triggers off on its own connection; everybody else reads. -------------------------------
CREATE TRIGGER guard_tables_insert BEFORE INSERT ON "tables" BEGIN
    SELECT RAISE(ABORT, 'skep: table tables is written by skepd only, so that every node agrees. It is part of the schema.');
END;
CREATE TRIGGER guard_tables_update BEFORE UPDATE ON "tables" BEGIN
    SELECT RAISE(ABORT, 'skep: table tables is written by skepd only, so that every node agrees. It is part of the schema.');
END;
CREATE TRIGGER guard_tables_delete BEFORE DELETE ON "tables" BEGIN
    SELECT RAISE(ABORT, 'skep: table tables is written by skepd only, so that every node agrees. It is part of the schema.');
END;

CREATE TRIGGER guard_meta_insert BEFORE INSERT ON "meta" BEGIN
    SELECT RAISE(ABORT, 'skep: table meta is written by skepd only, so that every node agrees. It is set by skep init and skep join.');
END;
CREATE TRIGGER guard_meta_update BEFORE UPDATE ON "meta" BEGIN
    SELECT RAISE(ABORT, 'skep: table meta is written by skepd only, so that every node agrees. It is set by skep init and skep join.');
END;
CREATE TRIGGER guard_meta_delete BEFORE DELETE ON "meta" BEGIN
    SELECT RAISE(ABORT, 'skep: table meta is written by skepd only, so that every node agrees. It is set by skep init and skep join.');
END;

CREATE TRIGGER guard_change_insert BEFORE INSERT ON "change" BEGIN
    SELECT RAISE(ABORT, 'skep: table change is written by skepd only, so that every node agrees. It is the version table; write through skep instead.');
END;
CREATE TRIGGER guard_change_update BEFORE UPDATE ON "change" BEGIN
    SELECT RAISE(ABORT, 'skep: table change is written by skepd only, so that every node agrees. It is the version table; write through skep instead.');
END;
CREATE TRIGGER guard_change_delete BEFORE DELETE ON "change" BEGIN
    SELECT RAISE(ABORT, 'skep: table change is written by skepd only, so that every node agrees. It is the version table; write through skep instead.');
END;

CREATE TRIGGER guard_vv_insert BEFORE INSERT ON "vv" BEGIN
    SELECT RAISE(ABORT, 'skep: table vv is written by skepd only, so that every node agrees. It belongs to replication.');
END;
CREATE TRIGGER guard_vv_update BEFORE UPDATE ON "vv" BEGIN
    SELECT RAISE(ABORT, 'skep: table vv is written by skepd only, so that every node agrees. It belongs to replication.');
END;
CREATE TRIGGER guard_vv_delete BEFORE DELETE ON "vv" BEGIN
    SELECT RAISE(ABORT, 'skep: table vv is written by skepd only, so that every node agrees. It belongs to replication.');
END;

CREATE TRIGGER guard_gcvv_insert BEFORE INSERT ON "gcvv" BEGIN
    SELECT RAISE(ABORT, 'skep: table gcvv is written by skepd only, so that every node agrees. It belongs to replication.');
END;
CREATE TRIGGER guard_gcvv_update BEFORE UPDATE ON "gcvv" BEGIN
    SELECT RAISE(ABORT, 'skep: table gcvv is written by skepd only, so that every node agrees. It belongs to replication.');
END;
CREATE TRIGGER guard_gcvv_delete BEFORE DELETE ON "gcvv" BEGIN
    SELECT RAISE(ABORT, 'skep: table gcvv is written by skepd only, so that every node agrees. It belongs to replication.');
END;

CREATE TRIGGER guard_log_insert BEFORE INSERT ON "log" BEGIN
    SELECT RAISE(ABORT, 'skep: table log is written by skepd only, so that every node agrees. It is written by skepd as things happen.');
END;
CREATE TRIGGER guard_log_update BEFORE UPDATE ON "log" BEGIN
    SELECT RAISE(ABORT, 'skep: table log is written by skepd only, so that every node agrees. It is written by skepd as things happen.');
END;
CREATE TRIGGER guard_log_delete BEFORE DELETE ON "log" BEGIN
    SELECT RAISE(ABORT, 'skep: table log is written by skepd only, so that every node agrees. It is written by skepd as things happen.');
END;

CREATE TRIGGER guard_quarantine_insert BEFORE INSERT ON "quarantine" BEGIN
    SELECT RAISE(ABORT, 'skep: table quarantine is written by skepd only, so that every node agrees. It is written by replication.');
END;
CREATE TRIGGER guard_quarantine_update BEFORE UPDATE ON "quarantine" BEGIN
    SELECT RAISE(ABORT, 'skep: table quarantine is written by skepd only, so that every node agrees. It is written by replication.');
END;
CREATE TRIGGER guard_quarantine_delete BEFORE DELETE ON "quarantine" BEGIN
    SELECT RAISE(ABORT, 'skep: table quarantine is written by skepd only, so that every node agrees. It is written by replication.');
END;

CREATE TRIGGER guard_node_insert BEFORE INSERT ON "node" BEGIN
    SELECT RAISE(ABORT, 'skep: table node is written by skepd only, so that every node agrees. Use: skep nodes, skep forget NODE.');
END;
CREATE TRIGGER guard_node_update BEFORE UPDATE ON "node" BEGIN
    SELECT RAISE(ABORT, 'skep: table node is written by skepd only, so that every node agrees. Use: skep nodes, skep forget NODE.');
END;
CREATE TRIGGER guard_node_delete BEFORE DELETE ON "node" BEGIN
    SELECT RAISE(ABORT, 'skep: table node is written by skepd only, so that every node agrees. Use: skep nodes, skep forget NODE.');
END;

CREATE TRIGGER guard_node_mark_insert BEFORE INSERT ON "node_mark" BEGIN
    SELECT RAISE(ABORT, 'skep: table node_mark is written by skepd only, so that every node agrees. Use: skep forget NODE.');
END;
CREATE TRIGGER guard_node_mark_update BEFORE UPDATE ON "node_mark" BEGIN
    SELECT RAISE(ABORT, 'skep: table node_mark is written by skepd only, so that every node agrees. Use: skep forget NODE.');
END;
CREATE TRIGGER guard_node_mark_delete BEFORE DELETE ON "node_mark" BEGIN
    SELECT RAISE(ABORT, 'skep: table node_mark is written by skepd only, so that every node agrees. Use: skep forget NODE.');
END;

CREATE TRIGGER guard_actor_insert BEFORE INSERT ON "actor" BEGIN
    SELECT RAISE(ABORT, 'skep: table actor is written by skepd only, so that every node agrees. It belongs to replication.');
END;
CREATE TRIGGER guard_actor_update BEFORE UPDATE ON "actor" BEGIN
    SELECT RAISE(ABORT, 'skep: table actor is written by skepd only, so that every node agrees. It belongs to replication.');
END;
CREATE TRIGGER guard_actor_delete BEFORE DELETE ON "actor" BEGIN
    SELECT RAISE(ABORT, 'skep: table actor is written by skepd only, so that every node agrees. It belongs to replication.');
END;

CREATE TRIGGER guard_swarm_insert BEFORE INSERT ON "swarm" BEGIN
    SELECT RAISE(ABORT, 'skep: table swarm is written by skepd only, so that every node agrees. Use: PUT /v1/swarms/SWARM.');
END;
CREATE TRIGGER guard_swarm_update BEFORE UPDATE ON "swarm" BEGIN
    SELECT RAISE(ABORT, 'skep: table swarm is written by skepd only, so that every node agrees. Use: PUT /v1/swarms/SWARM.');
END;
CREATE TRIGGER guard_swarm_delete BEFORE DELETE ON "swarm" BEGIN
    SELECT RAISE(ABORT, 'skep: table swarm is written by skepd only, so that every node agrees. Use: PUT /v1/swarms/SWARM.');
END;

CREATE TRIGGER guard_token_insert BEFORE INSERT ON "token" BEGIN
    SELECT RAISE(ABORT, 'skep: table token is written by skepd only, so that every node agrees. Use: skep token create, skep token rm.');
END;
CREATE TRIGGER guard_token_update BEFORE UPDATE ON "token" BEGIN
    SELECT RAISE(ABORT, 'skep: table token is written by skepd only, so that every node agrees. Use: skep token create, skep token rm.');
END;
CREATE TRIGGER guard_token_delete BEFORE DELETE ON "token" BEGIN
    SELECT RAISE(ABORT, 'skep: table token is written by skepd only, so that every node agrees. Use: skep token create, skep token rm.');
END;

CREATE TRIGGER guard_idem_insert BEFORE INSERT ON "idem" BEGIN
    SELECT RAISE(ABORT, 'skep: table idem is written by skepd only, so that every node agrees. It is written by skepd.');
END;
CREATE TRIGGER guard_idem_update BEFORE UPDATE ON "idem" BEGIN
    SELECT RAISE(ABORT, 'skep: table idem is written by skepd only, so that every node agrees. It is written by skepd.');
END;
CREATE TRIGGER guard_idem_delete BEFORE DELETE ON "idem" BEGIN
    SELECT RAISE(ABORT, 'skep: table idem is written by skepd only, so that every node agrees. It is written by skepd.');
END;

CREATE TRIGGER guard_name_insert BEFORE INSERT ON "name" BEGIN
    SELECT RAISE(ABORT, 'skep: table name is written by skepd only, so that every node agrees. Use: skep start NAME -- CMD, skep stop NAME, skep name register NAME ADDRESS.');
END;
CREATE TRIGGER guard_name_update BEFORE UPDATE ON "name" BEGIN
    SELECT RAISE(ABORT, 'skep: table name is written by skepd only, so that every node agrees. Use: skep start NAME -- CMD, skep stop NAME, skep name register NAME ADDRESS.');
END;
CREATE TRIGGER guard_name_delete BEFORE DELETE ON "name" BEGIN
    SELECT RAISE(ABORT, 'skep: table name is written by skepd only, so that every node agrees. Use: skep start NAME -- CMD, skep stop NAME, skep name register NAME ADDRESS.');
END;

CREATE TRIGGER guard_child_insert BEFORE INSERT ON "child" BEGIN
    SELECT RAISE(ABORT, 'skep: table child is written by skepd only, so that every node agrees. Use: skep start, skep stop, skep restart.');
END;
CREATE TRIGGER guard_child_update BEFORE UPDATE ON "child" BEGIN
    SELECT RAISE(ABORT, 'skep: table child is written by skepd only, so that every node agrees. Use: skep start, skep stop, skep restart.');
END;
CREATE TRIGGER guard_child_delete BEFORE DELETE ON "child" BEGIN
    SELECT RAISE(ABORT, 'skep: table child is written by skepd only, so that every node agrees. Use: skep start, skep stop, skep restart.');
END;

CREATE TRIGGER guard_metadata_insert BEFORE INSERT ON "metadata" BEGIN
    SELECT RAISE(ABORT, 'skep: table metadata is written by skepd only, so that every node agrees. Use: PATCH /v1/swarms/SWARM/children/NAME.');
END;
CREATE TRIGGER guard_metadata_update BEFORE UPDATE ON "metadata" BEGIN
    SELECT RAISE(ABORT, 'skep: table metadata is written by skepd only, so that every node agrees. Use: PATCH /v1/swarms/SWARM/children/NAME.');
END;
CREATE TRIGGER guard_metadata_delete BEFORE DELETE ON "metadata" BEGIN
    SELECT RAISE(ABORT, 'skep: table metadata is written by skepd only, so that every node agrees. Use: PATCH /v1/swarms/SWARM/children/NAME.');
END;

CREATE TRIGGER guard_checkpoint_insert BEFORE INSERT ON "checkpoint" BEGIN
    SELECT RAISE(ABORT, 'skep: table checkpoint is written by skepd only, so that every node agrees. It is written by the worker through its channel.');
END;
CREATE TRIGGER guard_checkpoint_update BEFORE UPDATE ON "checkpoint" BEGIN
    SELECT RAISE(ABORT, 'skep: table checkpoint is written by skepd only, so that every node agrees. It is written by the worker through its channel.');
END;
CREATE TRIGGER guard_checkpoint_delete BEFORE DELETE ON "checkpoint" BEGIN
    SELECT RAISE(ABORT, 'skep: table checkpoint is written by skepd only, so that every node agrees. It is written by the worker through its channel.');
END;

CREATE TRIGGER guard_handoff_insert BEFORE INSERT ON "handoff" BEGIN
    SELECT RAISE(ABORT, 'skep: table handoff is written by skepd only, so that every node agrees. It is written when a process moves.');
END;
CREATE TRIGGER guard_handoff_update BEFORE UPDATE ON "handoff" BEGIN
    SELECT RAISE(ABORT, 'skep: table handoff is written by skepd only, so that every node agrees. It is written when a process moves.');
END;
CREATE TRIGGER guard_handoff_delete BEFORE DELETE ON "handoff" BEGIN
    SELECT RAISE(ABORT, 'skep: table handoff is written by skepd only, so that every node agrees. It is written when a process moves.');
END;

CREATE TRIGGER guard_chunk_insert BEFORE INSERT ON "chunk" BEGIN
    SELECT RAISE(ABORT, 'skep: table chunk is written by skepd only, so that every node agrees. It is written when a process moves.');
END;
CREATE TRIGGER guard_chunk_update BEFORE UPDATE ON "chunk" BEGIN
    SELECT RAISE(ABORT, 'skep: table chunk is written by skepd only, so that every node agrees. It is written when a process moves.');
END;
CREATE TRIGGER guard_chunk_delete BEFORE DELETE ON "chunk" BEGIN
    SELECT RAISE(ABORT, 'skep: table chunk is written by skepd only, so that every node agrees. It is written when a process moves.');
END;

CREATE TRIGGER guard_template_insert BEFORE INSERT ON "template" BEGIN
    SELECT RAISE(ABORT, 'skep: table template is written by skepd only, so that every node agrees. Use: skep template put.');
END;
CREATE TRIGGER guard_template_update BEFORE UPDATE ON "template" BEGIN
    SELECT RAISE(ABORT, 'skep: table template is written by skepd only, so that every node agrees. Use: skep template put.');
END;
CREATE TRIGGER guard_template_delete BEFORE DELETE ON "template" BEGIN
    SELECT RAISE(ABORT, 'skep: table template is written by skepd only, so that every node agrees. Use: skep template put.');
END;

CREATE TRIGGER guard_session_insert BEFORE INSERT ON "session" BEGIN
    SELECT RAISE(ABORT, 'skep: table session is written by skepd only, so that every node agrees. Use: skep session new, skep session rm.');
END;
CREATE TRIGGER guard_session_update BEFORE UPDATE ON "session" BEGIN
    SELECT RAISE(ABORT, 'skep: table session is written by skepd only, so that every node agrees. Use: skep session new, skep session rm.');
END;
CREATE TRIGGER guard_session_delete BEFORE DELETE ON "session" BEGIN
    SELECT RAISE(ABORT, 'skep: table session is written by skepd only, so that every node agrees. Use: skep session new, skep session rm.');
END;

CREATE TRIGGER guard_entry_insert BEFORE INSERT ON "entry" BEGIN
    SELECT RAISE(ABORT, 'skep: table entry is written by skepd only, so that every node agrees. Use: skep session append.');
END;
CREATE TRIGGER guard_entry_update BEFORE UPDATE ON "entry" BEGIN
    SELECT RAISE(ABORT, 'skep: table entry is written by skepd only, so that every node agrees. Use: skep session append.');
END;
CREATE TRIGGER guard_entry_delete BEFORE DELETE ON "entry" BEGIN
    SELECT RAISE(ABORT, 'skep: table entry is written by skepd only, so that every node agrees. Use: skep session append.');
END;

CREATE TRIGGER guard_turn_insert BEFORE INSERT ON "turn" BEGIN
    SELECT RAISE(ABORT, 'skep: table turn is written by skepd only, so that every node agrees. Use: skep session turn.');
END;
CREATE TRIGGER guard_turn_update BEFORE UPDATE ON "turn" BEGIN
    SELECT RAISE(ABORT, 'skep: table turn is written by skepd only, so that every node agrees. Use: skep session turn.');
END;
CREATE TRIGGER guard_turn_delete BEFORE DELETE ON "turn" BEGIN
    SELECT RAISE(ABORT, 'skep: table turn is written by skepd only, so that every node agrees. Use: skep session turn.');
END;

CREATE TRIGGER guard_session_state_insert BEFORE INSERT ON "session_state" BEGIN
    SELECT RAISE(ABORT, 'skep: table session_state is written by skepd only, so that every node agrees. Use: skep session state.');
END;
CREATE TRIGGER guard_session_state_update BEFORE UPDATE ON "session_state" BEGIN
    SELECT RAISE(ABORT, 'skep: table session_state is written by skepd only, so that every node agrees. Use: skep session state.');
END;
CREATE TRIGGER guard_session_state_delete BEFORE DELETE ON "session_state" BEGIN
    SELECT RAISE(ABORT, 'skep: table session_state is written by skepd only, so that every node agrees. Use: skep session state.');
END;

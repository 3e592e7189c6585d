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
    weight INTEGER NOT NULL DEFAULT 0,     -- percent; 0 is read as 100
    schema INTEGER NOT NULL DEFAULT 0,     -- version of its database's schema
    labels TEXT,              -- JSON object of texts, from its configuration
    max_children INTEGER NOT NULL DEFAULT 0-- that it may own at once; 0: no limit
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

-- Which nodes serve a swarm that is served by those that declare or join it; each row written by its node only.
-- A node that is gone stays in it for an hour.
CREATE TABLE serve (
    swarm TEXT NOT NULL,
    node TEXT NOT NULL,       -- node id
    at INTEGER NOT NULL DEFAULT 0,         -- since when
    extra BLOB,
    PRIMARY KEY (swarm, node)
) STRICT;

-- What the load balancer's leader makes of the load of each node.
CREATE TABLE score (
    node TEXT PRIMARY KEY,    -- node id
    at INTEGER NOT NULL DEFAULT 0,
    data TEXT,                -- JSON: the newest sample, and the samples it rests on
    extra BLOB,
    permille INTEGER NOT NULL DEFAULT 0    -- decayed load: 0 idle, 1000 full
) STRICT;

-- What nodes tell all others of what happened there, where no other row tells it: of each its last 1024.
CREATE TABLE news (
    node TEXT NOT NULL,       -- node id: who tells it
    slot INTEGER NOT NULL,    -- seq modulo 1024
    seq INTEGER NOT NULL DEFAULT 0,        -- grows by one with each
    about TEXT,               -- the node it is about, by name
    data TEXT,                -- JSON
    epoch INTEGER NOT NULL DEFAULT 0,
    extra BLOB,
    name TEXT,
    swarm TEXT,
    type TEXT,
    PRIMARY KEY (node, slot)
) STRICT;

-- What is to be done when something happens.
CREATE TABLE hook (
    event TEXT NOT NULL,
    hook TEXT NOT NULL,       -- an id, unique for its event
    extra BLOB,
    spec TEXT,                -- JSON; never a secret
    PRIMARY KEY (event, hook)
) STRICT;

-- REPLICATED: names and processes -------------------------------------------------------------------------

-- Who owns a name, and what is wanted under it: the claim and its specification are one row.
CREATE TABLE name (
    swarm TEXT NOT NULL,      -- '' for sessions
    name TEXT NOT NULL,
    address TEXT,             -- kind address; of another name of a process: that process
    epoch INTEGER NOT NULL DEFAULT 0,      -- the fencing token; grows with every claim
    expires_at INTEGER NOT NULL DEFAULT 0, -- kind address: end of the lease as last written; 0: none
    extra BLOB,
    incarnation INTEGER NOT NULL DEFAULT 0,-- stamp of the request that started it; kept by moves
    kind TEXT,                -- child | address | session
    metadata TEXT,            -- kind address: JSON
    op TEXT,                  -- operation that started it
    owner TEXT,               -- node id; NULL: an address, or nobody yet
    owner_actor INTEGER NOT NULL DEFAULT 0,
    since INTEGER NOT NULL DEFAULT 0,      -- first claim of the process that runs now; of another name: its incarnation
    spec TEXT,                -- kind child: JSON; kind address: set if it is another name of a process
    ttl_ms INTEGER NOT NULL DEFAULT 0,     -- kind address
    view TEXT,                -- signature of the view the claim was made under
    cause TEXT,               -- JSON: whom the claim was taken from, and why; NULL: it is the first of its life
    PRIMARY KEY (swarm, name)
) STRICT;
CREATE INDEX name_owner ON name (owner_actor) WHERE owner_actor <> 0;
CREATE INDEX name_expires ON name (expires_at) WHERE expires_at <> 0;
CREATE INDEX name_alias ON name (swarm, address) WHERE kind = 'address' AND spec IS NOT NULL;

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
    tag TEXT,                 -- "tag" of data, where that is a text
    PRIMARY KEY (swarm, name)
) STRICT;
CREATE INDEX metadata_tag ON metadata (swarm, tag) WHERE tag IS NOT NULL;

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

-- The last state of a process that lost its name when two sides of a partition met: for the one that kept it.
CREATE TABLE conflict (
    swarm TEXT NOT NULL,
    name TEXT NOT NULL,
    epoch INTEGER NOT NULL,   -- the loser's
    at INTEGER NOT NULL DEFAULT 0,
    data BLOB,                -- JSON as its worker sent it
    extra BLOB,
    node TEXT,                -- node id: where it ran
    PRIMARY KEY (swarm, name, epoch)
) STRICT;

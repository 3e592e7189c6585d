-- Many at once, groups, hooks, and which node may run what.
ALTER TABLE node ADD COLUMN labels TEXT;
ALTER TABLE node ADD COLUMN max_children INTEGER NOT NULL DEFAULT 0;
ALTER TABLE name ADD COLUMN cause TEXT;
ALTER TABLE metadata ADD COLUMN tag TEXT;
CREATE INDEX metadata_tag ON metadata (swarm, tag) WHERE tag IS NOT NULL;
CREATE INDEX name_alias ON name (swarm, address) WHERE kind = 'address' AND spec IS NOT NULL;

CREATE TABLE serve (
    swarm TEXT NOT NULL,
    node TEXT NOT NULL,       -- node id
    at INTEGER NOT NULL DEFAULT 0,         -- since when
    extra BLOB,
    PRIMARY KEY (swarm, node)
) STRICT;

CREATE TABLE score (
    node TEXT PRIMARY KEY,    -- node id
    at INTEGER NOT NULL DEFAULT 0,
    data TEXT,                -- JSON: the newest sample, and the samples it rests on
    extra BLOB,
    permille INTEGER NOT NULL DEFAULT 0    -- decayed load: 0 idle, 1000 full
) STRICT;

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

CREATE TABLE hook (
    event TEXT NOT NULL,
    hook TEXT NOT NULL,       -- an id, unique for its event
    extra BLOB,
    spec TEXT,                -- JSON; never a secret
    PRIMARY KEY (event, hook)
) STRICT;

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

CREATE TABLE process_group (
    swarm TEXT NOT NULL,
    process_group TEXT NOT NULL,
    extra BLOB,
    settings TEXT,            -- JSON
    PRIMARY KEY (swarm, process_group)
) STRICT;

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

-- Who is in which group: of several joins of a name the newest; those of a former life of it are none.
CREATE VIEW v_member AS
SELECT m.swarm, m.process_group, m.name, w.kind, n.name AS node, coalesce(m.metadata, '{}') AS metadata,
       strftime('%Y-%m-%dT%H:%M:%fZ', m.at / 1000.0, 'unixepoch') AS joined
FROM member m
JOIN name w ON w.swarm = m.swarm AND w.name = m.name AND w.incarnation = m.incarnation
LEFT JOIN node n ON n.node = w.owner
WHERE NOT EXISTS (SELECT 1 FROM member o WHERE o.swarm = m.swarm AND o.process_group = m.process_group
                  AND o.name = m.name AND o.incarnation = m.incarnation AND (o.at, o.tag) > (m.at, m.tag));

CREATE VIEW v_group AS
SELECT g.swarm, g.process_group, coalesce(json_extract(p.settings, '$.restart_strategy'), 'none') AS restart_strategy,
       (SELECT count(*) FROM v_member v WHERE v.swarm = g.swarm AND v.process_group = g.process_group) AS members
FROM (SELECT swarm, process_group FROM process_group UNION SELECT swarm, process_group FROM v_member) g
LEFT JOIN process_group p ON p.swarm = g.swarm AND p.process_group = g.process_group;

-- Nodes. state: up, left, or down as this node sees it.
DROP VIEW v_node;
CREATE VIEW v_node AS
SELECT n.name, n.node AS id, n.url,
       CASE WHEN instr(coalesce((SELECT value FROM meta WHERE key = 'away'), ''), n.node) > 0 AND n.state <> 'left'
            THEN 'down' ELSE n.state END AS state, n.member, n.draining, n.version,
       strftime('%Y-%m-%dT%H:%M:%fZ', n.started_at / 1000.0, 'unixepoch') AS started,
       coalesce(m.role, '') AS role, coalesce(m.forgotten_at, 0) <> 0 AS forgotten
FROM node n LEFT JOIN node_mark m ON m.node = n.node;

-- Processes. One whose node is gone, as this node sees it, and that nobody has taken, runs nowhere.
DROP VIEW v_child;
CREATE VIEW v_child AS
SELECT swarm, name, CASE WHEN nowhere THEN 'stopped' ELSE coalesce(status, 'starting') END AS status,
       node, epoch, CASE WHEN NOT nowhere THEN pid END AS pid, restarts, started, spec, metadata, checkpoint,
       CASE WHEN nowhere THEN '{"code":"no_node_available"}' ELSE reason END AS reason
FROM (SELECT w.swarm, w.name, c.status, n.name AS node, w.epoch, c.pid, o.restarts,
             strftime('%Y-%m-%dT%H:%M:%fZ', o.started_at / 1000.0, 'unixepoch') AS started,
             w.spec, m.data AS metadata, CAST(k.data AS TEXT) AS checkpoint, c.reason,
             coalesce(c.status, '') NOT IN ('failed', 'stopped')
             AND (n.state = 'left' OR instr(coalesce((SELECT value FROM meta WHERE key = 'away'), ''), w.owner) > 0)
             AS nowhere
      FROM name w
      LEFT JOIN child o ON o.swarm = w.swarm AND o.name = w.name
      LEFT JOIN child c ON c.swarm = w.swarm AND c.name = w.name AND c.epoch = w.epoch
      LEFT JOIN node n ON n.node = w.owner
      LEFT JOIN metadata m ON m.swarm = w.swarm AND m.name = w.name
      LEFT JOIN checkpoint k ON k.swarm = w.swarm AND k.name = w.name
      WHERE w.kind = 'child');

-- Hooks, and what waits for each on this node.
CREATE VIEW v_hook AS
SELECT h.event, h.hook, h.spec ->> 'kind' AS kind, coalesce(h.spec ->> 'url', h.spec ->> '$.argv[0]', h.spec ->> '$.to.name') AS target,
       coalesce(h.spec ->> 'where', 'origin') AS "where", coalesce(h.spec ->> 'priority', 0) AS priority,
       (SELECT count(*) FROM outbox o WHERE o.event = h.event AND o.hook = h.hook) AS waiting,
       (SELECT strftime('%Y-%m-%dT%H:%M:%fZ', min(o.at) / 1000.0, 'unixepoch') FROM outbox o
        WHERE o.event = h.event AND o.hook = h.hook) AS oldest
FROM hook h;

-- Calls of hooks that this node has still to make: since when, how often it was tried, and why that failed.
CREATE VIEW v_delivery AS
SELECT id, event, hook, body ->> 'id' AS event_id, body ->> 'name' AS name,
       strftime('%Y-%m-%dT%H:%M:%fZ', at / 1000.0, 'unixepoch') AS since,
       strftime('%Y-%m-%dT%H:%M:%fZ', due / 1000.0, 'unixepoch') AS due, attempts AS tries, detail AS last_error
FROM outbox;

-- Starts and stops of many, and how far they are.
CREATE VIEW v_operation AS
SELECT o.operation, o.kind, o.swarm, o.state, n.name AS coordinator, o.who,
       strftime('%Y-%m-%dT%H:%M:%fZ', o.at / 1000.0, 'unixepoch') AS began,
       CASE WHEN o.ended_at <> 0 THEN strftime('%Y-%m-%dT%H:%M:%fZ', o.ended_at / 1000.0, 'unixepoch') END AS ended,
       strftime('%Y-%m-%dT%H:%M:%fZ', o.deadline / 1000.0, 'unixepoch') AS deadline,
       (SELECT count(*) FROM operation_part p WHERE p.operation = o.operation AND p.part >= 0) AS parts,
       (SELECT count(*) FROM operation_part p WHERE p.operation = o.operation AND p.part >= 0 AND p.state IN ('done', 'partly', 'undone')) AS parts_done,
       (SELECT coalesce(sum(max(json_array_length(p.body) - 1, 0)), 0) FROM operation_part p WHERE p.operation = o.operation AND p.part >= 0) AS names,
       (SELECT coalesce(sum(json_array_length(p.result)), 0) FROM operation_part p WHERE p.operation = o.operation AND p.part >= 0) AS answered
FROM operation o LEFT JOIN node n ON n.node = o.node;

-- What became of each name of a start or stop of many: the best of what its parts say; and what still lives for it was
-- started, whatever they say.
CREATE VIEW v_operation_name AS
WITH said AS (
    SELECT o.operation, o.swarm, o.kind, o.ended_at <> 0 AS ended, json_extract(o.options, '$.mode') AS mode,
           o.state = 'rolling_back' OR EXISTS (SELECT 1 FROM operation_part u WHERE u.operation = o.operation AND u.part = -1) AS undone,
           json_extract(i.value, '$.name') AS name, json_extract(i.value, '$.node') AS node, json_extract(i.value, '$.code') AS code,
           CASE WHEN p.state = 'running' AND json_extract(i.value, '$.code') = 'timeout' AND json_extract(i.value, '$.node') IS NULL THEN 'none'
                ELSE coalesce(json_extract(i.value, '$.is'), 'asked') END AS became,
           coalesce(json_extract(i.value, '$.epoch'), 0) AS epoch,
           CASE WHEN json_extract(i.value, '$.is') = 'twice' THEN i.key END AS twice
    FROM operation o JOIN operation_part p ON p.operation = o.operation, json_each(coalesce(p.result, p.body)) i
    WHERE p.result IS NOT NULL OR (p.state = 'running' AND i.key > 0)
), best AS (
    SELECT *, max(CASE WHEN became IN ('started', 'stopped', 'undone') THEN iif(undone, 4, 7)
                       WHEN became = 'existing' THEN 6
                       WHEN became = 'error' THEN CASE WHEN undone OR code IS NOT 'timeout' THEN 5 WHEN node IS NULL THEN 2 ELSE 3 END
                       WHEN became IN ('claimed', 'found') THEN 3
                       ELSE 1 END || printf('%020d', epoch)) AS weight
    FROM said GROUP BY operation, name, twice
), lives AS (
    SELECT b.*, l.name IS NOT NULL AS lives, l.owner, c.node AS runs_on, c.status, c.reason,
           c.status = 'running' OR (c.started_at <> 0 AND c.status IN ('backoff', 'failed')) AS ran
    FROM best b
    LEFT JOIN name l ON l.swarm = b.swarm AND l.name = b.name AND l.op = b.operation AND l.kind = 'child' AND b.kind = 'start'
         AND b.ended AND NOT b.undone AND b.became NOT IN ('started', 'twice')
         AND NOT (b.became = 'error' AND b.code IS 'timeout' AND b.node IS NULL)
    LEFT JOIN child c ON c.swarm = l.swarm AND c.name = l.name AND c.epoch = l.epoch
), outcome AS (
    SELECT operation, name, undone, mode, owner, runs_on, node AS said_node,
           CASE WHEN lives AND ran THEN 'started'
                WHEN lives AND status IS 'failed' THEN 'start_failed'
                WHEN lives THEN 'late'
                WHEN became IN ('existing', 'twice') AND mode <> 'missing' THEN 'taken'
                WHEN became = 'twice' THEN 'existing'
                WHEN undone AND became = 'started' THEN 'undone'
                WHEN ended AND NOT undone AND became NOT IN ('started', 'stopped', 'existing', 'error') THEN 'late'
                ELSE became END AS became,
           CASE WHEN NOT (lives AND status IS 'failed') THEN code
                WHEN reason LIKE '%"exec_not_allowed"%' THEN 'exec_not_allowed'
                WHEN reason LIKE '%"no_node_available"%' THEN 'no_node_available'
                ELSE 'start_failed' END AS code
    FROM lives
)
SELECT o.operation, o.name, CASE WHEN o.became IN ('start_failed', 'late', 'taken') THEN 'error' ELSE o.became END AS became,
       coalesce(n.name, o.said_node) AS node,
       CASE o.became WHEN 'late' THEN 'timeout' WHEN 'taken' THEN 'already_started' WHEN 'error' THEN o.code WHEN 'start_failed' THEN o.code END AS code
FROM outcome o LEFT JOIN node n ON n.node = coalesce(o.runs_on, o.owner);

DROP TRIGGER guard_tables_insert;
INSERT INTO "tables" (name, kind, key, writer, rank, retention, about) VALUES
    ('serve', 'replicated', 'swarm, node', 'the node itself', 'last', 'until it leaves the swarm, or is gone for an hour', 'which nodes serve a swarm'),
    ('score', 'replicated', 'node', 'the leader', 'last', 'until the node is forgotten', 'load as the load balancer sees it'),
    ('news', 'replicated', 'node, slot', 'the node itself', 'last', 'the last 1024 of a node, for tombstone_min_ms', 'events that every node is to tell'),
    ('hook', 'replicated', 'event, hook', 'any node, for an admin', 'last', 'until deleted', 'programs, addresses and workers that are told of events'),
    ('operation', 'replicated', 'operation', 'its coordinator', 'epoch', '10 minutes after its end', 'starts and stops of many'),
    ('operation_part', 'replicated', 'operation, part', 'the coordinator of the operation', 'epoch', 'as its operation', 'parts of operations'),
    ('process_group', 'replicated', 'swarm, process_group', 'any node', 'last', 'until deleted', 'settings of groups'),
    ('member', 'replicated', 'swarm, process_group, name, tag', 'any node', 'immutable', 'as its name', 'members of groups'),
    ('outbox', 'local', 'id', 'skepd', '-', 'until delivered, or its attempts are used up', 'calls of hooks that are still to be made');

CREATE TRIGGER guard_tables_insert BEFORE INSERT ON "tables" BEGIN
    SELECT RAISE(ABORT, 'skep: table tables is written by skepd only, so that every node agrees. It is part of the schema.');
END;

CREATE TRIGGER guard_serve_insert BEFORE INSERT ON "serve" BEGIN
    SELECT RAISE(ABORT, 'skep: table serve is written by skepd only, so that every node agrees. It follows what each node declares; use: skep swarm join, skep swarm leave.');
END;
CREATE TRIGGER guard_serve_update BEFORE UPDATE ON "serve" BEGIN
    SELECT RAISE(ABORT, 'skep: table serve is written by skepd only, so that every node agrees. It follows what each node declares; use: skep swarm join, skep swarm leave.');
END;
CREATE TRIGGER guard_serve_delete BEFORE DELETE ON "serve" BEGIN
    SELECT RAISE(ABORT, 'skep: table serve is written by skepd only, so that every node agrees. It follows what each node declares; use: skep swarm join, skep swarm leave.');
END;

CREATE TRIGGER guard_score_insert BEFORE INSERT ON "score" BEGIN
    SELECT RAISE(ABORT, 'skep: table score is written by skepd only, so that every node agrees. It is written by the leader.');
END;
CREATE TRIGGER guard_score_update BEFORE UPDATE ON "score" BEGIN
    SELECT RAISE(ABORT, 'skep: table score is written by skepd only, so that every node agrees. It is written by the leader.');
END;
CREATE TRIGGER guard_score_delete BEFORE DELETE ON "score" BEGIN
    SELECT RAISE(ABORT, 'skep: table score is written by skepd only, so that every node agrees. It is written by the leader.');
END;

CREATE TRIGGER guard_news_insert BEFORE INSERT ON "news" BEGIN
    SELECT RAISE(ABORT, 'skep: table news is written by skepd only, so that every node agrees. It is written when something happens that every node is to tell.');
END;
CREATE TRIGGER guard_news_update BEFORE UPDATE ON "news" BEGIN
    SELECT RAISE(ABORT, 'skep: table news is written by skepd only, so that every node agrees. It is written when something happens that every node is to tell.');
END;
CREATE TRIGGER guard_news_delete BEFORE DELETE ON "news" BEGIN
    SELECT RAISE(ABORT, 'skep: table news is written by skepd only, so that every node agrees. It is written when something happens that every node is to tell.');
END;

CREATE TRIGGER guard_hook_insert BEFORE INSERT ON "hook" BEGIN
    SELECT RAISE(ABORT, 'skep: table hook is written by skepd only, so that every node agrees. Use: skep hooks.');
END;
CREATE TRIGGER guard_hook_update BEFORE UPDATE ON "hook" BEGIN
    SELECT RAISE(ABORT, 'skep: table hook is written by skepd only, so that every node agrees. Use: skep hooks.');
END;
CREATE TRIGGER guard_hook_delete BEFORE DELETE ON "hook" BEGIN
    SELECT RAISE(ABORT, 'skep: table hook is written by skepd only, so that every node agrees. Use: skep hooks.');
END;

CREATE TRIGGER guard_operation_insert BEFORE INSERT ON "operation" BEGIN
    SELECT RAISE(ABORT, 'skep: table operation is written by skepd only, so that every node agrees. Use: skep start, skep stop.');
END;
CREATE TRIGGER guard_operation_update BEFORE UPDATE ON "operation" BEGIN
    SELECT RAISE(ABORT, 'skep: table operation is written by skepd only, so that every node agrees. Use: skep start, skep stop.');
END;
CREATE TRIGGER guard_operation_delete BEFORE DELETE ON "operation" BEGIN
    SELECT RAISE(ABORT, 'skep: table operation is written by skepd only, so that every node agrees. Use: skep start, skep stop.');
END;

CREATE TRIGGER guard_operation_part_insert BEFORE INSERT ON "operation_part" BEGIN
    SELECT RAISE(ABORT, 'skep: table operation_part is written by skepd only, so that every node agrees. Use: skep start, skep stop.');
END;
CREATE TRIGGER guard_operation_part_update BEFORE UPDATE ON "operation_part" BEGIN
    SELECT RAISE(ABORT, 'skep: table operation_part is written by skepd only, so that every node agrees. Use: skep start, skep stop.');
END;
CREATE TRIGGER guard_operation_part_delete BEFORE DELETE ON "operation_part" BEGIN
    SELECT RAISE(ABORT, 'skep: table operation_part is written by skepd only, so that every node agrees. Use: skep start, skep stop.');
END;

CREATE TRIGGER guard_process_group_insert BEFORE INSERT ON "process_group" BEGIN
    SELECT RAISE(ABORT, 'skep: table process_group is written by skepd only, so that every node agrees. Use: skep group.');
END;
CREATE TRIGGER guard_process_group_update BEFORE UPDATE ON "process_group" BEGIN
    SELECT RAISE(ABORT, 'skep: table process_group is written by skepd only, so that every node agrees. Use: skep group.');
END;
CREATE TRIGGER guard_process_group_delete BEFORE DELETE ON "process_group" BEGIN
    SELECT RAISE(ABORT, 'skep: table process_group is written by skepd only, so that every node agrees. Use: skep group.');
END;

CREATE TRIGGER guard_member_insert BEFORE INSERT ON "member" BEGIN
    SELECT RAISE(ABORT, 'skep: table member is written by skepd only, so that every node agrees. Use: skep group join, skep group leave.');
END;
CREATE TRIGGER guard_member_update BEFORE UPDATE ON "member" BEGIN
    SELECT RAISE(ABORT, 'skep: table member is written by skepd only, so that every node agrees. Use: skep group join, skep group leave.');
END;
CREATE TRIGGER guard_member_delete BEFORE DELETE ON "member" BEGIN
    SELECT RAISE(ABORT, 'skep: table member is written by skepd only, so that every node agrees. Use: skep group join, skep group leave.');
END;

CREATE TRIGGER guard_outbox_insert BEFORE INSERT ON "outbox" BEGIN
    SELECT RAISE(ABORT, 'skep: table outbox is written by skepd only, so that every node agrees. It is written when something happens that a hook wants to know.');
END;
CREATE TRIGGER guard_outbox_update BEFORE UPDATE ON "outbox" BEGIN
    SELECT RAISE(ABORT, 'skep: table outbox is written by skepd only, so that every node agrees. It is written when something happens that a hook wants to know.');
END;
CREATE TRIGGER guard_outbox_delete BEFORE DELETE ON "outbox" BEGIN
    SELECT RAISE(ABORT, 'skep: table outbox is written by skepd only, so that every node agrees. It is written when something happens that a hook wants to know.');
END;

-- VIEWS: the same for people ------------------------------------------------------------------------------

-- Nodes. state: up, left, or down as this node sees it.
CREATE VIEW v_node AS
SELECT n.name, n.node AS id, n.url,
       CASE WHEN instr(coalesce((SELECT value FROM meta WHERE key = 'away'), ''), n.node) > 0 AND n.state <> 'left'
            THEN 'down' ELSE n.state END AS state, n.member, n.draining, n.version,
       strftime('%Y-%m-%dT%H:%M:%fZ', n.started_at / 1000.0, 'unixepoch') AS started,
       coalesce(m.role, '') AS role, coalesce(m.forgotten_at, 0) <> 0 AS forgotten
FROM node n LEFT JOIN node_mark m ON m.node = n.node;

-- Processes. One whose node is gone, as this node sees it, and that nobody has taken, runs nowhere.
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

/* Every statement that is not generated from a table's description (store.c makes those: get, put, delete).
 */
#include "store/query.h"

#include "base/ensure.h"

static const struct query_text queries[Q_N] = {
    [Q_READ_BEGIN] = {T_N, "BEGIN"},
    [Q_READ_END] = {T_N, "COMMIT"},
    [Q_META_GET] = {T_N, "SELECT value FROM meta WHERE key = ?1"},
    [Q_META_SET] = {T_N, "INSERT INTO meta (key, value) VALUES (?1, ?2) "
                         "ON CONFLICT (key) DO UPDATE SET value = excluded.value"},
    [Q_CHANGE_GET] = {T_N, "SELECT rank, hlc, actor, dead, hash FROM change WHERE tbl = ?1 AND key = ?2"},
    [Q_CHANGE_PUT] =
        {T_N, "INSERT INTO change (tbl, key, rank, actor, hlc, dead, hash) "
              "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (tbl, key) DO UPDATE SET "
              "rank = excluded.rank, actor = excluded.actor, hlc = excluded.hlc, dead = excluded.dead, "
              "hash = excluded.hash"},
    [Q_CHANGE_DOT] = {T_N, "SELECT 1 FROM change WHERE actor = ?1 AND hlc = ?2 AND (tbl, key) <> (?3, ?4)"},
    [Q_CHANGE_DROP] = {T_N, "DELETE FROM change WHERE tbl = ?1 AND key = ?2"},
    [Q_CHANGE_PREFIX] = {T_N, "SELECT key FROM change WHERE tbl = ?1 AND key >= ?2 AND key < ?3"},
    [Q_CHANGE_OF_ACTOR] = {T_N, "SELECT tbl, key, rank, hlc, dead, hash FROM change WHERE actor = ?1 "
                                "AND hlc > ?2 ORDER BY hlc LIMIT ?3"},
    [Q_CHANGE_AFTER] = {T_N, "SELECT tbl, key, rank, hlc, actor, dead, hash FROM change "
                             "WHERE (tbl, key) > (?1, ?2) ORDER BY tbl, key LIMIT ?3"},
    [Q_CHANGE_DEAD] = {T_N, "SELECT tbl, key, rank, hlc, actor FROM change WHERE dead = 1 AND hlc > ?1 "
                            "AND hlc < ?2 ORDER BY hlc LIMIT ?3"},
    [Q_CHANGE_ALL] = {T_N,
                      "SELECT tbl, key, rank, hlc, actor, hash FROM change WHERE dead = 0 ORDER BY tbl, key"},
    [Q_ACTOR_ROWS] = {T_N, "SELECT count(*) FROM (SELECT 1 FROM change WHERE actor = ?1 LIMIT 2)"},
    /* restamp.c: rarely, once a run */
    [Q_CHANGE_AHEAD] = {T_N, "SELECT tbl, key, rank, hlc, dead FROM change WHERE hlc > ?1 OR rank > ?1 "
                             "ORDER BY hlc, actor"},
    [Q_CHANGE_NEWEST] = {T_N, "SELECT max((SELECT coalesce(max(hlc), 0) FROM change WHERE hlc <= ?1), "
                              "(SELECT coalesce(max(rank), 0) FROM change WHERE rank <= ?1), "
                              "(SELECT coalesce(max(hlc), 0) FROM vv WHERE hlc <= ?1))"},
    [Q_VV_FALL] = {T_N, "UPDATE vv SET hlc = (SELECT coalesce(max(c.hlc), 0) FROM change c "
                        "WHERE c.actor = vv.actor AND c.hlc <= ?1), seen = 0 WHERE hlc > ?1 OR seen > ?1"},
    [Q_GCVV_FALL] = {T_N, "UPDATE gcvv SET hlc = ?1 WHERE hlc > ?1"},
    [Q_LOG_FALL] = {T_N, "UPDATE log SET at = at - ?2 WHERE at >= ?1"},
    [Q_CONFLICTS] = {T_CONFLICT, "ORDER BY swarm, name, epoch LIMIT ?1"},
    [Q_CONFLICT_NAME] = {T_CONFLICT, "WHERE swarm = ?1 AND name = ?2 LIMIT ?3"},
    [Q_CONFLICT_OLD] = {T_CONFLICT, "WHERE at <= ?1 LIMIT 200"},
    [Q_VV_ALL] = {T_N, "SELECT actor, hlc FROM vv ORDER BY actor"},
    [Q_VV_SEEN] = {T_N, "SELECT actor, max(hlc, seen) FROM vv ORDER BY actor"},
    [Q_VV_RAISE] = {T_N, "INSERT INTO vv (actor, hlc) VALUES (?1, ?2) ON CONFLICT (actor) DO UPDATE "
                         "SET hlc = max(hlc, excluded.hlc)"},
    [Q_VV_SAW] = {T_N, "INSERT INTO vv (actor, hlc, seen) VALUES (?1, 0, ?2) ON CONFLICT (actor) DO UPDATE "
                       "SET seen = max(seen, excluded.seen)"},
    [Q_VV_FORGET] = {T_N, "DELETE FROM vv WHERE actor = ?1"},
    [Q_GCVV_ALL] = {T_N, "SELECT actor, hlc FROM gcvv WHERE actor <> 0 ORDER BY actor"},
    [Q_GCVV_RAISE] = {T_N, "INSERT INTO gcvv (actor, hlc) VALUES (?1, ?2) ON CONFLICT (actor) DO UPDATE "
                           "SET hlc = max(hlc, excluded.hlc)"},
    [Q_GCVV_FORGET] = {T_N, "DELETE FROM gcvv WHERE actor = ?1"},
    [Q_GC_FLOOR] = {T_N, "SELECT hlc FROM gcvv WHERE actor = 0"},
    [Q_QUARANTINE] = {T_N, "INSERT INTO quarantine (at, tbl, key, rank, actor, hlc, dead, why, row) "
                           "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"},
    [Q_QUARANTINED] = {T_N,
                       "SELECT 1 FROM quarantine WHERE actor = ?1 AND hlc = ?2 AND tbl = ?3 AND key = ?4 "
                       "LIMIT 1"},
    [Q_QUARANTINE_AFTER] = {T_N, "SELECT tbl, key, at, why, row, rank, hlc, actor, dead, id FROM quarantine "
                                 "WHERE id > ?1 ORDER BY id LIMIT 1"},
    [Q_QUARANTINE_GET] = {T_N, "SELECT tbl, key, at, why, row, rank, hlc, actor, dead, id FROM quarantine "
                               "WHERE id = ?1"},
    [Q_QUARANTINE_DROP] = {T_N, "DELETE FROM quarantine WHERE id = ?1"},
    [Q_HELD_ASIDE_AFTER] = {T_N, "SELECT a.tbl, a.key, a.at, a.why, a.row, c.rank, c.hlc, c.actor, c.dead "
                                 "FROM aside a CROSS JOIN change c ON c.tbl = a.tbl AND c.key = a.key "
                                 "WHERE (a.tbl, a.key) > (?1, ?2) ORDER BY a.tbl, a.key LIMIT 1"},
    [Q_HELD_ASIDE_GET] = {T_N, "SELECT a.tbl, a.key, a.at, a.why, a.row, c.rank, c.hlc, c.actor, c.dead "
                               "FROM aside a CROSS JOIN change c ON c.tbl = a.tbl AND c.key = a.key "
                               "WHERE a.tbl = ?1 AND a.key = ?2"},
    [Q_ASIDE_SOME] = {T_N, "SELECT count(*) FROM (SELECT 1 FROM aside LIMIT 1)"},
    [Q_ASIDE_GET] = {T_N, "SELECT row, why FROM aside WHERE tbl = ?1 AND key = ?2"},
    [Q_ASIDE_PUT] = {T_N, "INSERT INTO aside (tbl, key, at, why, row) VALUES (?1, ?2, ?3, ?4, ?5)"},
    [Q_ASIDE_DROP] = {T_N, "DELETE FROM aside WHERE tbl = ?1 AND key = ?2"},
    [Q_ASIDE_AFTER] = {T_N, "SELECT tbl, key, why, row FROM aside WHERE (tbl, key) > (?1, ?2) "
                            "ORDER BY tbl, key LIMIT 1"},
    [Q_LOG_ADD] = {T_N, "INSERT INTO log (at, type, swarm, name, node, epoch, who, data) "
                        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"},
    [Q_LOG_PAGE] = {T_N, "SELECT seq, at, type, swarm, name, node, epoch, who, data FROM log WHERE seq > ?1 "
                         "ORDER BY seq LIMIT ?2"},
    [Q_LOG_NAME] = {T_N, "SELECT seq, at, type, swarm, name, node, epoch, who, data FROM log "
                         "WHERE swarm = ?1 AND name = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4"},
    [Q_LOG_LAST] = {T_N, "SELECT seq, at, type, swarm, name, node, epoch, who, data FROM log "
                         "WHERE swarm = ?1 AND name = ?2 ORDER BY seq DESC LIMIT ?3"},
    /* among its last thousand */
    [Q_LOG_FENCES] = {T_N,
                      "SELECT seq, at, type, swarm, name, node, epoch, who, data FROM (SELECT * FROM log "
                      "WHERE swarm = ?1 AND name = ?2 ORDER BY seq DESC LIMIT 1000) "
                      "WHERE type IN ('child_fenced', 'name_conflict') ORDER BY seq DESC LIMIT ?3"},
    [Q_LOG_NEWEST] = {T_N, "SELECT coalesce(max(seq), 0) FROM log"},
    [Q_LOG_OLDEST] = {T_N, "SELECT coalesce(min(seq), 0) FROM log"},
    /* looks at the oldest thousand only; the newest row stays, or its number would be given again */
    [Q_LOG_TRIM] = {T_N, "DELETE FROM log WHERE seq IN (SELECT seq FROM log ORDER BY seq LIMIT 1000) "
                         "AND (at < ?1 OR seq IN (SELECT seq FROM log ORDER BY seq LIMIT ?2)) "
                         "AND seq < (SELECT max(seq) FROM log)"},
    [Q_LOG_NAMES] = {T_N, "SELECT DISTINCT swarm, name FROM log WHERE seq > ?1 AND seq <= ?2 "
                          "AND swarm IS NOT NULL AND name IS NOT NULL"},
    [Q_LOG_TRIM_NAME] = {T_N,
                         "DELETE FROM log WHERE seq IN (SELECT seq FROM log WHERE swarm = ?1 AND name = ?2 "
                         "ORDER BY seq DESC LIMIT ?4 OFFSET ?3)"},
    [Q_CHANGES] = {T_N, "SELECT changes()"},
    [Q_ACTORS_BEFORE] = {T_ACTOR, "WHERE born_at < ?1 AND actor > ?2 ORDER BY actor"},
    [Q_NODES] = {T_NODE, "ORDER BY node"},
    [Q_NODE_MARKS] = {T_NODE_MARK, "ORDER BY node"},
    [Q_TOKENS] = {T_TOKEN, "ORDER BY token"},
    [Q_SWARMS] = {T_SWARM, "ORDER BY swarm"},
    [Q_SERVES] = {T_SERVE, "ORDER BY swarm, node"},
    [Q_SCORES] = {T_SCORE, "ORDER BY node"},
    [Q_SERVES_OF] = {T_SERVE, "WHERE swarm = ?1 ORDER BY node"},
    [Q_NEWS_LAST] = {T_N, "SELECT coalesce(max(seq), 0) FROM news WHERE node = ?1"},
    [Q_NEWS_OF] = {T_NEWS, "WHERE node = ?1 ORDER BY seq LIMIT ?2"},
    [Q_IDEM_OLD] = {T_IDEM, "WHERE at < ?1 ORDER BY at LIMIT 500"},
    [Q_NAME_OWNED] = {T_N, "SELECT swarm, name, rowid FROM name WHERE owner_actor = ?1 AND owner_actor <> 0 "
                           "AND rowid > ?2 ORDER BY rowid LIMIT ?3"},
    [Q_NAME_SPREAD] = {T_N, "SELECT owner_actor, count(*) FROM name WHERE swarm = ?1 AND kind = 'child' "
                            "AND owner_actor <> 0 GROUP BY owner_actor"},
    [Q_NAME_OWNERS] = {T_N, "SELECT min(owner_actor) FROM name WHERE owner_actor > ?1 AND owner_actor <> 0"},
    [Q_NAME_OWNED_COUNT] = {T_N, "SELECT count(*) FROM name WHERE owner_actor = ?1 AND owner_actor <> 0"},
    /* actor, swarm or '' for all, at most: what takes room there */
    [Q_NAME_ROOM] =
        {T_N, "SELECT count(*) FROM (SELECT 1 FROM name n WHERE n.owner_actor = ?1 AND n.owner_actor <> 0 "
              "AND n.kind = 'child' AND (?2 = '' OR n.swarm = ?2) AND NOT EXISTS (SELECT 1 FROM child c "
              "WHERE c.swarm = n.swarm AND c.name = n.name AND c.epoch = n.epoch "
              "AND c.status IN ('failed', 'stopped')) LIMIT ?3)"},
    [Q_NAME_EXPIRED] = {T_NAME, "WHERE expires_at <> 0 AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2"},
    /* other names of a process */
    [Q_ALIASES] = {T_N, "SELECT name FROM name INDEXED BY name_alias WHERE swarm = ?1 AND address = ?2 "
                        "AND kind = 'address' AND spec IS NOT NULL AND since = ?3 ORDER BY name"},
    [Q_ALIAS_DANGLING] =
        {T_NAME, "INDEXED BY name_alias WHERE kind = 'address' AND spec IS NOT NULL AND NOT EXISTS (SELECT 1 "
                 "FROM name t WHERE t.swarm = name.swarm AND t.name = name.address AND t.kind = 'child' "
                 "AND t.incarnation = name.since) LIMIT ?1"},
    [Q_NAME_AFTER] = {T_N, "SELECT name FROM name WHERE swarm = ?1 AND name > ?2 ORDER BY name LIMIT 1"},
    /* all of a swarm, or those with a tag: what lists filter by, and count */
    [Q_CHILD_FACTS] =
        {T_N, "SELECT w.name, w.owner, w.owner_actor, w.epoch, c.status, c.epoch, m.data FROM name w "
              "LEFT JOIN child c ON c.swarm = w.swarm AND c.name = w.name "
              "LEFT JOIN metadata m ON m.swarm = w.swarm AND m.name = w.name "
              "WHERE w.swarm = ?1 AND w.name > ?2 AND w.kind = 'child' ORDER BY w.name"},
    [Q_CHILD_TAGGED] =
        {T_N, "SELECT w.name, w.owner, w.owner_actor, w.epoch, c.status, c.epoch, m.data FROM metadata m "
              "INDEXED BY metadata_tag "
              "CROSS JOIN name w ON w.swarm = m.swarm AND w.name = m.name "
              "LEFT JOIN child c ON c.swarm = m.swarm AND c.name = m.name "
              "WHERE m.swarm = ?1 AND m.tag = ?3 AND m.name > ?2 AND w.kind = 'child' ORDER BY m.name"},
    [Q_GROUP_AFTER] =
        {T_N, "SELECT min(g) FROM (SELECT min(process_group) AS g FROM process_group WHERE swarm = ?1 "
              "AND process_group > ?2 UNION ALL SELECT min(process_group) FROM member WHERE swarm = ?1 "
              "AND process_group > ?2)"},
    /* a member is who joined in this life of the name */
    [Q_GROUP_OF_NAME] = {T_N, "SELECT DISTINCT process_group FROM member WHERE swarm = ?1 AND name = ?2 "
                              "AND incarnation = ?3 ORDER BY process_group"},
    [Q_MEMBERS] = {T_N, "SELECT m.name, m.metadata, m.at, m.tag, m.incarnation, w.kind, w.owner "
                        "FROM member m CROSS JOIN name w ON w.swarm = m.swarm AND w.name = m.name "
                        "AND w.incarnation = m.incarnation WHERE m.swarm = ?1 AND m.process_group = ?2 "
                        "AND m.name > ?3 ORDER BY m.name, m.at DESC, m.tag DESC"},
    [Q_MEMBER_COUNT] = {T_N, "SELECT count(DISTINCT m.name) FROM member m CROSS JOIN name w "
                             "ON w.swarm = m.swarm AND w.name = m.name AND w.incarnation = m.incarnation "
                             "WHERE m.swarm = ?1 AND m.process_group = ?2"},
    [Q_MEMBER_JOINS] = {T_MEMBER, "WHERE swarm = ?1 AND process_group = ?2 AND name = ?3 "
                                  "ORDER BY at DESC, tag DESC LIMIT ?4"},
    [Q_MEMBER_OF_NAME] = {T_MEMBER, "WHERE swarm = ?1 AND name = ?2 LIMIT ?3"},
    [Q_MEMBER_OF_GROUP] = {T_MEMBER, "WHERE swarm = ?1 AND process_group = ?2 LIMIT ?3"},
    [Q_MEMBER_AFTER] = {T_MEMBER, "WHERE (swarm, process_group, name, tag) > (?1, ?2, ?3, ?4) "
                                  "ORDER BY swarm, process_group, name, tag LIMIT ?5"},
    [Q_CHILD_LEFT] = {T_CHILD, "WHERE status = 'gone' AND at < ?1 ORDER BY at LIMIT 200"},
    [Q_OPERATION_OPEN] = {T_N, "SELECT operation FROM operation WHERE ended_at = 0 AND operation > ?1 "
                               "ORDER BY operation LIMIT ?2"},
    /* what was taken back stays for a day: a claim of it may come late */
    [Q_OPERATION_OLD] = {T_OPERATION,
                         "WHERE ended_at <> 0 AND ended_at < ?1 AND "
                         "(ended_at < ?1 - 86400000 OR NOT EXISTS (SELECT 1 FROM operation_part p "
                         "WHERE p.operation = operation.operation AND (p.part = -1 OR p.state = 'partly'))) "
                         "ORDER BY ended_at LIMIT 500"},
    [Q_OPERATION_LIST] = {T_OPERATION, "WHERE operation > ?1 ORDER BY operation LIMIT ?2"},
    [Q_OPERATION_PARTS] = {T_N, "SELECT part, node, state, result IS NOT NULL, epoch FROM operation_part "
                                "WHERE operation = ?1 ORDER BY part"},
    [Q_OPERATION_ASKED] = {T_OPERATION_PART, "WHERE operation = ?1 AND node = ?2 AND result IS NULL AND "
                                             "state IN ('waiting', 'running') ORDER BY part LIMIT ?3"},
    [Q_OPERATION_ANSWERED] = {T_OPERATION_PART, "WHERE operation = ?1 AND state = ?2 AND "
                                                "result IS NOT NULL ORDER BY part"},
    [Q_OPERATION_PARTLY] = {T_N, "SELECT 1 FROM operation_part INDEXED BY operation_part_partly "
                                 "WHERE operation = ?1 AND state = 'partly' LIMIT 1"},
    [Q_OPERATION_ALL] = {T_OPERATION_PART, "WHERE operation = ?1 ORDER BY part"},
    [Q_OPERATION_RESULTS] = {T_OPERATION_PART, "WHERE operation = ?1 AND result IS NOT NULL ORDER BY part"},
    [Q_HANDOFF_EXPIRED] = {T_HANDOFF, "WHERE expires_at <= ?1 LIMIT 200"},
    [Q_CHUNKS] = {T_CHUNK, "WHERE swarm = ?1 AND name = ?2 AND epoch = ?3 ORDER BY idx"},
    [Q_TEMPLATE_LIST] = {T_TEMPLATE, "WHERE template > ?1 ORDER BY template LIMIT ?2"},
    [Q_SESSION_LIST] = {T_SESSION,
                        "WHERE session > ?1 AND (?2 IS NULL OR status = ?2) ORDER BY session LIMIT ?3"},
    /* A parent has a lesser seq: said in each walk, for rows of a peer may form a ring.
     * session, from which entry upwards, above which seq, how many */
    [Q_ENTRY_PATH] = {T_N, "WITH RECURSIVE path(entry, parent, seq) AS ("
                           "SELECT entry, parent, seq FROM entry WHERE session = ?1 AND entry = ?2 UNION ALL "
                           "SELECT e.entry, e.parent, e.seq FROM path p "
                           "JOIN entry e ON e.session = ?1 AND e.entry = p.parent AND e.seq < p.seq "
                           "WHERE p.seq > ?3 + 1) "
                           "SELECT e.entry, e.parent, e.turn, e.role, e.content, e.seq, e.at FROM path p "
                           "JOIN entry e ON e.session = ?1 AND e.entry = p.entry WHERE p.seq > ?3 "
                           "ORDER BY p.seq LIMIT ?4"},
    /* the same, newest first: how long their contents are */
    [Q_ENTRY_SIZES] = {T_N,
                       "WITH RECURSIVE path(entry, parent, seq) AS ("
                       "SELECT entry, parent, seq FROM entry WHERE session = ?1 AND entry = ?2 UNION ALL "
                       "SELECT e.entry, e.parent, e.seq FROM path p "
                       "JOIN entry e ON e.session = ?1 AND e.entry = p.parent AND e.seq < p.seq "
                       "WHERE p.seq > ?3 + 1) "
                       "SELECT p.seq, length(CAST(e.content AS BLOB)) FROM path p "
                       "CROSS JOIN entry e ON e.session = ?1 AND e.entry = p.entry WHERE p.seq > ?3"},
    /* session, head, the entry looked for, its seq */
    [Q_ENTRY_ON_PATH] = {T_N,
                         "WITH RECURSIVE path(entry, parent, seq) AS ("
                         "SELECT entry, parent, seq FROM entry WHERE session = ?1 AND entry = ?2 UNION ALL "
                         "SELECT e.entry, e.parent, e.seq FROM path p "
                         "JOIN entry e ON e.session = ?1 AND e.entry = p.parent AND e.seq < p.seq "
                         "WHERE p.seq > ?4) "
                         "SELECT count(*) FROM path WHERE entry = ?3"},
    /* session, parent or NULL, epoch: the newest of its children that was written under this epoch */
    [Q_ENTRY_BEHIND] =
        {T_N, "SELECT entry, seq FROM entry WHERE session = ?1 AND parent IS ?2 AND epoch = ?3 AND seq > ?4 "
              "ORDER BY at DESC, entry LIMIT 1"},
    /* session, epoch: what was written before it */
    [Q_ENTRY_FORMER] = {T_N, "SELECT entry FROM entry WHERE session = ?1 AND epoch < ?2"},
    [Q_TURN_FORMER] = {T_N, "SELECT turn FROM turn WHERE session = ?1 AND epoch < ?2"},
    /* nobody's parent; a child with a lesser seq is none: no walk goes that way */
    [Q_ENTRY_LEAVES] = {T_ENTRY, "WHERE session = ?1 AND entry NOT IN (SELECT k.parent FROM entry k "
                                 "CROSS JOIN entry p ON p.session = ?1 AND p.entry = k.parent "
                                 "WHERE k.session = ?1 AND p.seq < k.seq) ORDER BY at, entry"},
    /* session, head, leaf: how many entries the branch of this leaf has, and where it left the path */
    [Q_ENTRY_BRANCH] = {T_N,
                        "WITH RECURSIVE path(entry, parent, seq) AS ("
                        "SELECT entry, parent, seq FROM entry WHERE session = ?1 AND entry = ?2 UNION ALL "
                        "SELECT e.entry, e.parent, e.seq FROM path p "
                        "JOIN entry e ON e.session = ?1 AND e.entry = p.parent AND e.seq < p.seq), "
                        "branch(entry, parent, seq) AS ("
                        "SELECT entry, parent, seq FROM entry WHERE session = ?1 AND entry = ?3 UNION ALL "
                        "SELECT e.entry, e.parent, e.seq FROM branch b "
                        "JOIN entry e ON e.session = ?1 AND e.entry = b.parent AND e.seq < b.seq "
                        "WHERE b.parent NOT IN (SELECT entry FROM path)) "
                        "SELECT count(*), (SELECT parent FROM branch ORDER BY seq LIMIT 1) FROM branch"},
    [Q_TURN_LIST] = {T_TURN,
                     "WHERE session = ?1 AND (created_at, turn) > (?2, ?3) AND (?4 IS NULL OR status = ?4) "
                     "ORDER BY created_at, turn LIMIT ?5"},
    [Q_TURN_OPEN] = {T_TURN, "WHERE session = ?1 AND ended_at = 0 ORDER BY created_at, turn"},
    [Q_TURN_NEXT] = {T_TURN, "WHERE session = ?1 AND ended_at = 0 ORDER BY created_at, turn LIMIT 1"},
    [Q_SESSION_UNFINISHED] = {T_N, "SELECT DISTINCT session FROM turn WHERE ended_at = 0 AND session > ?1 "
                                   "AND EXISTS (SELECT 1 FROM session s WHERE s.session = turn.session) "
                                   "ORDER BY session LIMIT ?2"},
    [Q_SESSION_EXPIRED] =
        {T_SESSION, "WHERE ttl_ms > 0 AND updated_at + ttl_ms <= ?1 ORDER BY updated_at + ttl_ms LIMIT 100"},
    [Q_COUNTS] = {T_N, "SELECT (SELECT count(*) FROM session), (SELECT count(*) FROM log)"},
    [Q_HOOKS] = {T_HOOK, "ORDER BY event, hook"},
    [Q_OUTBOX_ADD] = {T_N, "INSERT INTO outbox (id, at, due, event, hook, attempts, body) "
                           "VALUES (?1, ?2, ?2, ?3, ?4, 0, ?5)"},
    [Q_OUTBOX_GET] = {T_N, "SELECT body, attempts FROM outbox WHERE id = ?1"},
    [Q_OUTBOX_DROP] = {T_N, "DELETE FROM outbox WHERE id = ?1"},
    [Q_OUTBOX_AGAIN] = {T_N, "UPDATE outbox SET due = ?2, attempts = ?3, detail = ?4 WHERE id = ?1"},
    [Q_OUTBOX_FORGET] = {T_N, "DELETE FROM outbox WHERE event = ?1 AND hook = ?2"},
    [Q_OUTBOX_ALL] = {T_N, "SELECT id, due, attempts, event, hook FROM outbox ORDER BY id"},
    [Q_OUTBOX_OF] = {T_N, "SELECT count(*), coalesce(min(at), 0), max(detail) FROM outbox "
                          "WHERE event = ?1 AND hook = ?2"},
};

const struct query_text *query_get(enum query q)
{
    ensure((unsigned)q < Q_N && queries[q].sql, "query %d", (int)q);
    return &queries[q];
}

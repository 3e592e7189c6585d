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
    [Q_CHANGE_DROP] = {T_N, "DELETE FROM change WHERE tbl = ?1 AND key = ?2"},
    [Q_CHANGE_PREFIX] = {T_N, "SELECT key FROM change WHERE tbl = ?1 AND key >= ?2 AND key < ?3"},
    [Q_ACTOR_AFTER] = {T_N, "SELECT min(actor) FROM change WHERE actor > ?1"},
    [Q_CHANGE_OF_ACTOR] = {T_N, "SELECT tbl, key, rank, hlc, dead FROM change WHERE actor = ?1 AND hlc > ?2 "
                                "ORDER BY hlc LIMIT ?3"},
    [Q_CHANGE_ALL] = {T_N,
                      "SELECT tbl, key, rank, hlc, actor, hash FROM change WHERE dead = 0 ORDER BY tbl, key"},
    [Q_ACTOR_MAX] = {T_N, "SELECT max(hlc) FROM change WHERE actor = ?1"},
    [Q_VV_ALL] = {T_N, "SELECT actor, hlc FROM vv ORDER BY actor"},
    [Q_VV_RAISE] = {T_N, "INSERT INTO vv (actor, hlc) VALUES (?1, ?2) ON CONFLICT (actor) DO UPDATE "
                         "SET hlc = max(hlc, excluded.hlc)"},
    [Q_GCVV_ALL] = {T_N, "SELECT actor, hlc FROM gcvv ORDER BY actor"},
    [Q_QUARANTINE] = {T_N, "INSERT INTO quarantine (at, tbl, key, rank, actor, hlc, dead, why, row) "
                           "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"},
    [Q_LOG_ADD] = {T_N, "INSERT INTO log (at, type, swarm, name, node, epoch, who, data) "
                        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"},
    [Q_LOG_PAGE] = {T_N, "SELECT seq, at, type, swarm, name, node, epoch, who, data FROM log WHERE seq > ?1 "
                         "AND (?2 IS NULL OR type = ?2) AND (?3 IS NULL OR swarm = ?3) "
                         "AND (?4 IS NULL OR name = ?4) ORDER BY seq LIMIT ?5"},
    [Q_LOG_NAME] = {T_N, "SELECT seq, at, type, swarm, name, node, epoch, who, data FROM log "
                         "WHERE swarm = ?1 AND name = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4"},
    [Q_LOG_AUDIT] = {T_N, "SELECT seq, at, type, swarm, name, node, epoch, who, data FROM log WHERE seq > ?1 "
                          "AND who IS NOT NULL ORDER BY seq LIMIT ?2"},
    [Q_LOG_LAST] = {T_N, "SELECT seq, at, type, swarm, name, node, epoch, who, data FROM log "
                         "WHERE swarm = ?1 AND name = ?2 ORDER BY seq DESC LIMIT ?3"},
    [Q_LOG_TRIM] = {T_N, "DELETE FROM log WHERE seq IN (SELECT seq FROM log WHERE seq <= "
                         "(SELECT max(seq) FROM log) - ?2 OR at < ?1 ORDER BY seq LIMIT 1000)"},
    [Q_NODES] = {T_NODE, "ORDER BY node"},
    [Q_NODE_MARKS] = {T_NODE_MARK, "ORDER BY node"},
    [Q_TOKENS] = {T_TOKEN, "ORDER BY token"},
    [Q_SWARMS] = {T_SWARM, "ORDER BY swarm"},
    [Q_IDEM_OLD] = {T_IDEM, "WHERE at < ?1 LIMIT 500"},
    [Q_NAME_OWNED] = {T_NAME,
                      "WHERE owner_actor = ?1 AND owner_actor <> 0 AND rowid > ?2 ORDER BY rowid LIMIT ?3"},
    [Q_NAME_OWNERS] = {T_N, "SELECT min(owner_actor) FROM name WHERE owner_actor > ?1 AND owner_actor <> 0"},
    [Q_NAME_OWNED_COUNT] = {T_N, "SELECT count(*) FROM name WHERE owner_actor = ?1 AND owner_actor <> 0"},
    [Q_NAME_EXPIRED] = {T_NAME, "WHERE expires_at <> 0 AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2"},
    [Q_NAME_AFTER] = {T_N, "SELECT name FROM name WHERE swarm = ?1 AND name > ?2 ORDER BY name LIMIT 1"},
    [Q_CHILD_NAMES] = {T_N, "SELECT name FROM name WHERE swarm = ?1 AND name > ?2 AND kind = 'child' "
                            "ORDER BY name LIMIT 1"},
    [Q_CHILD_LEFT] = {T_CHILD, "WHERE status IN ('gone') AND at < ?1 LIMIT 200"},
    [Q_HANDOFF_EXPIRED] = {T_HANDOFF, "WHERE expires_at <= ?1 LIMIT 200"},
    [Q_CHUNKS] = {T_CHUNK, "WHERE swarm = ?1 AND name = ?2 AND epoch = ?3 ORDER BY idx"},
    [Q_TEMPLATE_LIST] = {T_TEMPLATE, "WHERE template > ?1 ORDER BY template LIMIT ?2"},
    [Q_SESSION_LIST] = {T_SESSION, "WHERE session > ?1 ORDER BY session LIMIT ?2"},
    [Q_ENTRY_PATH] = {T_N, "WITH RECURSIVE path(entry, parent, turn, role, content, seq, at) AS ("
                           "SELECT entry, parent, turn, role, content, seq, at FROM entry "
                           "WHERE session = ?1 AND entry = ?2 UNION ALL "
                           "SELECT e.entry, e.parent, e.turn, e.role, e.content, e.seq, e.at FROM path p "
                           "JOIN entry e ON e.session = ?1 AND e.entry = p.parent) "
                           "SELECT entry, parent, turn, role, content, seq, at FROM path ORDER BY seq"},
    [Q_ENTRY_LEAVES] = {T_ENTRY,
                        "WHERE session = ?1 AND NOT EXISTS (SELECT 1 FROM entry k "
                        "WHERE k.session = entry.session AND k.parent = entry.entry) ORDER BY at, entry"},
    [Q_ENTRY_CHILDREN] = {T_ENTRY, "WHERE session = ?1 AND parent = ?2 ORDER BY at, entry"},
    [Q_TURN_LIST] = {T_TURN, "WHERE session = ?1 ORDER BY created_at, turn LIMIT ?2"},
    [Q_TURN_OPEN] = {T_TURN, "WHERE session = ?1 AND ended_at = 0 ORDER BY created_at, turn"},
    [Q_TURN_NEXT] = {T_TURN, "WHERE session = ?1 AND ended_at = 0 ORDER BY created_at, turn LIMIT 1"},
    [Q_SESSION_UNFINISHED] = {T_N, "SELECT DISTINCT session FROM turn WHERE ended_at = 0 AND session > ?1 "
                                   "ORDER BY session LIMIT ?2"},
    [Q_SESSION_EXPIRED] = {T_SESSION, "WHERE ttl_ms > 0 AND updated_at + ttl_ms <= ?1 LIMIT 100"},
    [Q_COUNTS] = {T_N, "SELECT (SELECT count(*) FROM session), (SELECT count(*) FROM log)"},
};

const struct query_text *query_get(enum query q)
{
    ensure((unsigned)q < Q_N && queries[q].sql, "query %d", (int)q);
    return &queries[q];
}

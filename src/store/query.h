/* The statements of store/, by name. Their text is the table in query.c. */
#ifndef SKEP_STORE_QUERY_H
#define SKEP_STORE_QUERY_H

#include "store/table.h"

enum query {
    Q_READ_BEGIN,
    Q_READ_END,
    Q_META_GET,
    Q_META_SET,
    Q_CHANGE_GET,
    Q_CHANGE_PUT,
    Q_CHANGE_DOT,
    Q_CHANGE_DROP,
    Q_CHANGE_PREFIX,
    Q_CHANGE_OF_ACTOR,
    Q_CHANGE_AFTER,
    Q_CHANGE_DEAD,
    Q_CHANGE_ALL,
    Q_ACTOR_ROWS,
    Q_CHANGE_AHEAD,
    Q_CHANGE_NEWEST,
    Q_VV_FALL,
    Q_GCVV_FALL,
    Q_LOG_FALL,
    Q_CONFLICTS,
    Q_CONFLICT_OLD,
    Q_CONFLICT_NAME,
    Q_VV_ALL,
    Q_VV_SEEN,
    Q_VV_RAISE,
    Q_VV_SAW,
    Q_VV_FORGET,
    Q_GCVV_ALL,
    Q_GCVV_RAISE,
    Q_GCVV_FORGET,
    Q_GC_FLOOR,
    Q_QUARANTINE,
    Q_ASIDE_SOME,
    Q_ASIDE_GET,
    Q_ASIDE_PUT,
    Q_ASIDE_DROP,
    Q_ASIDE_AFTER,
    Q_LOG_ADD,
    Q_LOG_PAGE,
    Q_LOG_NAME,
    Q_LOG_LAST,
    Q_LOG_NEWEST,
    Q_LOG_TRIM,
    Q_ACTORS_BEFORE,
    Q_NODES,
    Q_NODE_MARKS,
    Q_TOKENS,
    Q_SWARMS,
    Q_IDEM_OLD,
    Q_NAME_OWNED,
    Q_NAME_OWNERS,
    Q_NAME_OWNED_COUNT,
    Q_NAME_EXPIRED,
    Q_NAME_AFTER,
    Q_CHILD_NAMES,
    Q_CHILD_LEFT,
    Q_HANDOFF_EXPIRED,
    Q_CHUNKS,
    Q_CHUNK_PLACES,
    Q_TEMPLATE_LIST,
    Q_SESSION_LIST,
    Q_ENTRY_PATH,
    Q_ENTRY_SIZES,
    Q_ENTRY_LEAVES,
    Q_ENTRY_ON_PATH,
    Q_ENTRY_BEHIND,
    Q_ENTRY_BRANCH,
    Q_TURN_LIST,
    Q_TURN_OPEN,
    Q_TURN_NEXT,
    Q_SESSION_UNFINISHED,
    Q_SESSION_EXPIRED,
    Q_COUNTS,
    Q_N
};

struct query_text {
    enum table_id t; /* T_N: sql is the whole statement; else what follows SELECT columns FROM table */
    const char *sql;
};

const struct query_text *query_get(enum query q);

#endif

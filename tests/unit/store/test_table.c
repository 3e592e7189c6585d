/* The description of the tables against the real schema, and keys as text. */
#include "bench.h"

static const char *sql_type(enum val_type type)
{
    return type == VAL_INT ? "INTEGER" : type == VAL_TEXT ? "TEXT" : "BLOB";
}

static int column_of(const struct table *t, const char *name)
{
    for (int i = 0; i < t->cols_n; i++)
        if (strcmp(t->cols[i].name, name) == 0)
            return i;
    return -1;
}

/* One row of table_info: cid, name, type, notnull, dflt_value, pk. */
static void assert_column(const struct table *t, struct stmt *q)
{
    const char *name = col_text(q, 1), *type = col_text(q, 2);
    int i = column_of(t, name), pk = (int)col_i64(q, 5);
    if (strcmp(name, "extra") == 0) {
        assert_string_equal(type, "BLOB");
        assert_int_equal(i, -1);
        return;
    }
    if (i < 0)
        fail_msg("%s.%s is in the schema only", t->name, name);
    assert_string_equal(type, sql_type(t->cols[i].type));
    if (pk)
        assert_int_equal(t->key[pk - 1], i);
    else if (t->cols[i].type == VAL_INT) /* its default is 0, here and there */
        assert_true(col_i64(q, 3) == 1 && strcmp(col_text(q, 4), "0") == 0 && t->cols[i].def.i == 0);
    else
        assert_true(col_i64(q, 3) == 0 && col_is_null(q, 4) && t->cols[i].def.type == VAL_NULL);
}

static void the_columns_are_those_of_the_schema(void **state)
{
    struct store *s = store_new(*state, 1);
    for (int id = 0; id < T_N; id++) {
        const struct table *t = table_get((enum table_id)id);
        AUTOFREE char *sql = mem_printf("PRAGMA table_info(%s)", t->name);
        struct stmt *q = stmt_new(store_db(s), sql);
        int cols = 0, keys = 0;
        for (; stmt_step(q, NULL) == 1; cols++) {
            keys += col_i64(q, 5) != 0;
            assert_column(t, q);
        }
        stmt_free(q);
        assert_int_equal(cols, t->cols_n + 1);
        assert_int_equal(keys, t->keys_n);
    }
    store_end(s);
}

static void columns_are_sorted_and_lie_apart_in_their_struct(void **state)
{
    (void)state;
    for (int id = 0; id < T_N; id++) {
        const struct table *t = table_get((enum table_id)id);
        size_t bytes = sizeof(struct blob);
        assert_true(t->row_bytes <= ROW_MAX);
        row_cols_check(t->cols, (size_t)t->cols_n);
        for (int i = 0; i < t->cols_n; i++) {
            bytes += t->cols[i].type == VAL_BLOB ? sizeof(struct blob) : 8;
            for (int j = 0; j < i; j++)
                assert_int_not_equal(t->offset[i], t->offset[j]);
        }
        assert_int_equal(bytes, t->row_bytes); /* no member without a column */
    }
}

/* schema's table of all tables says the same: which replicate, by which key, ranked by what. */
static void the_table_of_all_tables_agrees(void **state)
{
    struct store *s = store_new(*state, 1);
    struct stmt *q = stmt_new(store_db(s), "SELECT name, key, rank FROM tables WHERE kind = 'replicated'");
    int n = 0;
    for (; stmt_step(q, NULL) == 1; n++) {
        enum table_id id = table_find((struct span){col_text(q, 0), col_bytes(q, 0)});
        assert_int_not_equal(id, T_N);
        const struct table *t = table_get(id);
        AUTOSTR struct str key = STR_INIT;
        for (int k = 0; k < t->keys_n; k++)
            str_printf(&key, "%s%s", k ? ", " : "", t->cols[t->key[k]].name);
        assert_string_equal(col_text(q, 1), str_get(&key));
        assert_int_equal(strcmp(col_text(q, 2), "epoch") == 0, t->epoch >= 0);
        if (t->epoch >= 0)
            assert_string_equal(t->cols[t->epoch].name, "epoch");
    }
    assert_int_equal(n, T_N);
    assert_int_equal(
        ask(s, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
               "AND name NOT IN (SELECT name FROM tables)"),
        0);
    stmt_free(q);
    store_end(s);
}

static void tables_are_found_by_their_whole_name(void **state)
{
    (void)state;
    for (int id = 0; id < T_N; id++)
        assert_int_equal(table_find((struct span){table_get((enum table_id)id)->name,
                                                  strlen(table_get((enum table_id)id)->name)}),
                         id);
    assert_int_equal(table_find((struct span){"nam", 3}), T_N);
    assert_int_equal(table_find((struct span){"names", 5}), T_N);
    assert_int_equal(table_find((struct span){"change", 6}), T_N);
    assert_int_equal(table_find((struct span){"", 0}), T_N);
}

static void keys_read_as_paths(void **state)
{
    (void)state;
    AUTOSTR struct str key = STR_INIT;
    store_key(T_NAME, &(struct name_row){.swarm = (char *)"de/f", .name = (char *)"50% ä/../x"}, &key);
    assert_string_equal(str_get(&key), "de%2Ff/50%25 ä%2F..%2Fx");
    str_clear(&key);
    store_key(T_CHUNK, &(struct chunk_row){.swarm = (char *)"", .name = (char *)"n", .epoch = -7, .idx = 12},
              &key);
    assert_string_equal(str_get(&key), "/n/-7/12");
}

static void keys_come_back_from_their_text(void **state)
{
    (void)state;
    struct prng p;
    AUTOSTR struct str text = STR_INIT, memory = STR_INIT;
    prng_init(&p, 7);
    for (int i = 0; i < 4000; i++) {
        enum table_id id = (enum table_id)prng_below(&p, T_N);
        const struct table *t = table_get(id);
        _Alignas(8) char row[ROW_MAX];
        struct val vals[TABLE_COLS_MAX], back[TABLE_KEYS_MAX];
        any_row(id, row, &p);
        str_clear(&text);
        store_key(id, row, &text);
        assert_true(table_unkey(t, (struct span){str_get(&text), text.n}, &memory, back));
        table_vals(t, row, vals);
        for (int k = 0; k < t->keys_n; k++)
            assert_true(val_equal(&vals[t->key[k]], &back[k])); /* so no two keys have one text */
        row_fini(id, row);
    }
}

static void what_is_no_key_is_refused(void **state)
{
    static const struct {
        enum table_id t;
        const char *key;
    } bad[] = {
        {T_NAME, "a"},         {T_NAME, "a/b/c"},
        {T_NAME, ""},          {T_NAME, "a/%"},
        {T_NAME, "a/%2"},      {T_NAME, "a/%2f"},
        {T_NAME, "a/%41"},     {T_NAME, "a/\xff"},
        {T_NAME, "\xc3/\xa4"}, {T_SWARM, "a/b"},
        {T_CHUNK, "a/b/1"},    {T_CHUNK, "a/b/1/x"},
        {T_CHUNK, "a/b//1"},   {T_CHUNK, "a/b/1/99999999999999999999"},
        {T_ACTOR, ""},         {T_ACTOR, "1 "},
    };
    (void)state;
    AUTOSTR struct str memory = STR_INIT;
    struct val vals[TABLE_KEYS_MAX];
    for (size_t i = 0; i < COUNT(bad); i++)
        if (table_unkey(table_get(bad[i].t), (struct span){bad[i].key, strlen(bad[i].key)}, &memory, vals))
            fail_msg("%s took the key '%s'", table_get(bad[i].t)->name, bad[i].key);
    assert_false(table_unkey(table_get(T_SWARM), (struct span){"a\0b", 3}, &memory, vals));
    assert_true(table_unkey(table_get(T_NAME), (struct span){"/", 1}, &memory, vals));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_columns_are_those_of_the_schema, bench_make, bench_remove),
        cmocka_unit_test(columns_are_sorted_and_lie_apart_in_their_struct),
        cmocka_unit_test_setup_teardown(the_table_of_all_tables_agrees, bench_make, bench_remove),
        cmocka_unit_test(tables_are_found_by_their_whole_name),
        cmocka_unit_test(keys_read_as_paths),
        cmocka_unit_test(keys_come_back_from_their_text),
        cmocka_unit_test(what_is_no_key_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

-- Deleting safely, rows that cannot be applied, and what the loser of a name leaves.
CREATE INDEX change_dead ON change (hlc) WHERE dead = 1;

ALTER TABLE node ADD COLUMN schema INTEGER NOT NULL DEFAULT 0;

ALTER TABLE vv ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;
UPDATE vv SET seen = hlc;
INSERT INTO vv (actor, hlc, seen) SELECT actor, 0, max(hlc) FROM change WHERE true GROUP BY actor
ON CONFLICT (actor) DO UPDATE SET seen = max(seen, excluded.seen);

CREATE TABLE aside (
    tbl TEXT NOT NULL,
    key TEXT NOT NULL,
    at INTEGER NOT NULL,
    why TEXT NOT NULL,
    row BLOB NOT NULL,        -- canonical bytes, as they came
    PRIMARY KEY (tbl, key)
) STRICT;

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

DROP TRIGGER guard_tables_insert;
INSERT INTO "tables" (name, kind, key, writer, rank, retention, about) VALUES
    ('aside', 'local', 'tbl, key', 'skepd', '-', 'until replaced or applied', 'rows this program cannot apply, kept and passed on'),
    ('conflict', 'replicated', 'swarm, name, epoch', 'the owner of the name', 'immutable', 'until resolved, or as its name', 'last states of processes that lost their name');

CREATE TRIGGER guard_tables_insert BEFORE INSERT ON "tables" BEGIN
    SELECT RAISE(ABORT, 'skep: table tables is written by skepd only, so that every node agrees. It is part of the schema.');
END;

CREATE TRIGGER guard_aside_insert BEFORE INSERT ON "aside" BEGIN
    SELECT RAISE(ABORT, 'skep: table aside is written by skepd only, so that every node agrees. It is written by replication.');
END;
CREATE TRIGGER guard_aside_update BEFORE UPDATE ON "aside" BEGIN
    SELECT RAISE(ABORT, 'skep: table aside is written by skepd only, so that every node agrees. It is written by replication.');
END;
CREATE TRIGGER guard_aside_delete BEFORE DELETE ON "aside" BEGIN
    SELECT RAISE(ABORT, 'skep: table aside is written by skepd only, so that every node agrees. It is written by replication.');
END;

CREATE TRIGGER guard_conflict_insert BEFORE INSERT ON "conflict" BEGIN
    SELECT RAISE(ABORT, 'skep: table conflict is written by skepd only, so that every node agrees. It is written when two sides of a partition meet.');
END;
CREATE TRIGGER guard_conflict_update BEFORE UPDATE ON "conflict" BEGIN
    SELECT RAISE(ABORT, 'skep: table conflict is written by skepd only, so that every node agrees. It is written when two sides of a partition meet.');
END;
CREATE TRIGGER guard_conflict_delete BEFORE DELETE ON "conflict" BEGIN
    SELECT RAISE(ABORT, 'skep: table conflict is written by skepd only, so that every node agrees. It is written when two sides of a partition meet.');
END;

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

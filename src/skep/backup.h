/* backup: what the verbs backup and restore have in common. */
#ifndef SKEP_SKEP_BACKUP_H
#define SKEP_SKEP_BACKUP_H

#include "skep/cli.h"
#include "store/backup.h"

/* Prints what is known of the backup at path: the sentence for people, all of it for programs. */
void backup_tell(const struct cli *c, const char *path, const struct backup_facts *f, const char *sentence);

#endif

/* doctor: findings, and the sections that are files of their own. */
#ifndef SKEP_SKEP_DOCTOR_H
#define SKEP_SKEP_DOCTOR_H

#include "skep/cli.h"

enum verdict { GOOD, WARN, BAD };

struct doctor {
    struct print *print;
    int bad;
};

void doctor_finding(struct doctor *d, enum verdict verdict, const char *check, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Whether all nodes hold the same rows: proven, or what differs is named. */
void doctor_rows(struct doctor *d, struct cli *c);
/* The newest incidents of the node that is asked. */
void doctor_incidents(struct doctor *d, struct cli *c);

#endif

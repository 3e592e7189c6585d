/* err: expected failures. A negative code, the field to blame, and a sentence with the remedy.
 *
 * The one table in err.c gives every code its word on the wire, its HTTP status, its title and the exit
 * status of the command line. Functions that can fail return 0 or a code (< 0) and fill a caller's
 * struct err; passing NULL for it is always allowed. Library code never logs: whoever stops an error
 * logs it, once.
 */
#ifndef SKEP_BASE_ERR_H
#define SKEP_BASE_ERR_H

#include <stddef.h>

enum err_code {
    SKEP_OK = 0,
    SKEP_EJSON = -1,         /* invalid_json */
    SKEP_EARG = -2,          /* invalid_argument */
    SKEP_EUNAUTHORIZED = -3, /* unauthorized */
    SKEP_EFORBIDDEN = -4,    /* forbidden */
    SKEP_EEXEC = -5,         /* exec_not_allowed */
    SKEP_ENOTFOUND = -6,     /* not_found */
    SKEP_ENOSESSION = -7,    /* no_such_session */
    SKEP_ENOENTRY = -8,      /* no_such_entry */
    SKEP_EMETHOD = -9,       /* method_not_allowed */
    SKEP_ESTARTED = -10,     /* already_started */
    SKEP_ETAKEN = -11,       /* taken */
    SKEP_EFENCED = -12,      /* fenced */
    SKEP_EKEYREUSED = -13,   /* key_reused */
    SKEP_ECONFLICT = -14,    /* conflict (If-Match) */
    SKEP_ETOOLARGE = -15,    /* too_large */
    SKEP_ESTARTFAILED = -16, /* start_failed */
    SKEP_EWORKER = -17,      /* worker_failed */
    SKEP_ERATE = -18,        /* rate_limited */
    SKEP_EPARTITIONED = -19, /* partitioned */
    SKEP_ESETTLING = -20,    /* settling */
    SKEP_ENONODE = -21,      /* no_node_available */
    SKEP_ENOTALIVE = -22,    /* not_alive */
    SKEP_EQUEUEFULL = -23,   /* queue_full */
    SKEP_EOVERLOADED = -24,  /* overloaded */
    SKEP_ESTORE = -25,       /* store_fault */
    SKEP_EBUSY = -26,        /* store_busy */
    SKEP_EDISKFULL = -27,    /* disk_full */
    SKEP_ECLOCK = -28,       /* clock */
    SKEP_ETIMEOUT = -29,     /* timeout */
    SKEP_EINTERNAL = -30,    /* internal: an expected failure with no better word */
    SKEP_EUSAGE = -31,       /* command line only */
    SKEP_EUNREACHABLE = -32, /* command line only: nobody answers */
    SKEP_ENOTYET = -33,      /* command line only: accepted but not yet true */
    SKEP_ECONFIG = -34,      /* configuration file or environment */
    SKEP_ENEWER = -35,       /* database of a newer schema */
    SKEP_EFOREIGN = -36,     /* database of somebody else */
    SKEP_EDAMAGED = -37,     /* database damaged */
    SKEP_ELOCKED = -38,      /* a second skepd on the folder */
    SKEP_EIO = -39,          /* a failed write or fsync: the process must end (exit 70) */
    SKEP_ECODE_MIN = -39,
};

struct err_info {
    int code;
    const char *word;  /* on the wire */
    int http;          /* HTTP status */
    int exit_status;   /* of skep and skepd */
    const char *title; /* one short sentence, the same for every occurrence */
};

/* The row of a code; an unknown code gives the row of SKEP_EINTERNAL. */
const struct err_info *err_info(int code);
/* The code of a wire word; SKEP_EINTERNAL if there is none. */
int err_from_word(const char *word);

struct err {
    int code;        /* 0 while nothing failed */
    char field[128]; /* the argument to blame, or "" */
    char text[640];  /* what happened, then the remedy; UTF-8, cut if longer */
};

/* Sets the error, returns code, so that a failing function ends with `return err_set(…)`. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same with the field to blame. */
int err_field(struct err *e, int code, const char *field, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Puts "context: " before the text, on the way up. Returns the code. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif

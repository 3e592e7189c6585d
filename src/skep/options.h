/* options: rows that several verbs' option tables share. */
#ifndef SKEP_SKEP_OPTIONS_H
#define SKEP_SKEP_OPTIONS_H

#include "skep/verb.h"

#define OPTION_END                                                                                           \
    {                                                                                                        \
        .name = NULL                                                                                         \
    }
#define OPTION_SWARM                                                                                         \
    {                                                                                                        \
        .name = "swarm", .letter = 's', .kind = OPT_TEXT, .value = "S",                                      \
        .help = "the swarm; \"default\" if not said"                                                         \
    }
#define OPTION_LIMIT                                                                                         \
    {                                                                                                        \
        .name = "limit", .letter = 'n', .kind = OPT_INT, .value = "N", .help = "so many at most", .min = 1   \
    }
#define OPTION_NO_WAIT                                                                                       \
    {                                                                                                        \
        .name = "no-wait", .kind = OPT_FLAG,                                                                 \
        .help = "of many: do not wait for the end, and say the operation (skep operation)"                   \
    }
#define OPTION_QUIET                                                                                         \
    {                                                                                                        \
        .name = "quiet", .letter = 'q', .kind = OPT_FLAG, .help = "the first column only, one a line"        \
    }
#define OPTION_TEXT                                                                                          \
    {                                                                                                        \
        .name = "text", .kind = OPT_FLAG, .help = "the data is text, even if it reads as JSON"               \
    }
#define OPTION_METADATA                                                                                      \
    {                                                                                                        \
        .name = "metadata", .kind = OPT_TEXT, .value = "JSON", .help = "an object to keep with it"           \
    }
#define OPTION_INT(name_, value_, help_)                                                                     \
    {                                                                                                        \
        .name = name_, .kind = OPT_INT, .value = value_, .help = help_                                       \
    }

#endif

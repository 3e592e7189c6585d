#include "base/when.h"

#include <stdio.h>
#include <string.h>

/* Days since 1970-01-01 of a civil date, and back (H. Hinnant, "chrono-compatible low-level date
 * algorithms"). */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void civil_of(int64_t days, int64_t *y, int64_t *m, int64_t *d)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097, doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    *d = doy - (153 * mp + 2) / 5 + 1;
    *m = mp < 10 ? mp + 3 : mp - 9;
    *y = yoe + era * 400 + (*m <= 2);
}

const char *when_text(int64_t real_ms, char text[WHEN_TEXT])
{
    int64_t ms = real_ms % 86400000, days = real_ms / 86400000, y, m, d;
    if (ms < 0) {
        ms += 86400000;
        days--;
    }
    civil_of(days, &y, &m, &d);
    if (y < 0 || y > 9999) {
        y = y < 0 ? 0 : 9999;
    }
    snprintf(text, WHEN_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (int)y, (int)m, (int)d,
             (int)(ms / 3600000), (int)(ms / 60000 % 60), (int)(ms / 1000 % 60), (int)(ms % 1000));
    return text;
}

bool when_parse(const char *text, int64_t *ret_real_ms)
{
    int y, m, d, h, min, s, ms = 0, end = 0;
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &y, &m, &d, &h, &min, &s, &end) != 6 || end != 19)
        return false;
    const char *rest = text + end;
    if (*rest == '.') {
        int used = 0;
        if (sscanf(rest, ".%3d%n", &ms, &used) != 1 || used != 4)
            return false;
        rest += used;
    }
    if (strcmp(rest, "Z") != 0 || m < 1 || m > 12 || d < 1 || d > 31 || h < 0 || h > 23 || min < 0 ||
        min > 59 || s < 0 || s > 60 || y < 0 || ms < 0)
        return false;
    *ret_real_ms = ((days_of(y, m, d) * 24 + h) * 60 + min) * 60000 + s * 1000 + ms;
    return true;
}

/* The merge rule and nothing else. It knows no row, no table and no setting: a rule that reads anything but
 * the two stamps does not converge.
 */
#include "core/dot.h"

static int order(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

int stamp_compare(const struct stamp *a, const struct stamp *b)
{
    int c = order(a->rank, b->rank);
    if (!c)
        c = order(a->hlc, b->hlc);
    return c ? c : order(a->actor, b->actor);
}

/* judge: one side's verdict on a key, as a function of both sides and what the vectors say. */
#include "core/judge.h"

#include <string.h>

/* What has no epoch of its own is deleted by stamps alone. */
static bool is_epoch(int64_t rank)
{
    return rank > 0 && (rank > RANK_ROOT || rank < RANK_ROOT - RANK_FAR);
}

bool judge_may_be_deleted(const struct stamp *stamp, int64_t gc_floor)
{
    return stamp->hlc <= gc_floor || (is_epoch(stamp->rank) && stamp->rank <= gc_floor);
}

bool side_equal(const struct side *a, const struct side *b)
{
    if (a->kind != b->kind || a->damaged != b->damaged)
        return false;
    if (a->kind == SIDE_ABSENT)
        return true;
    return stamp_compare(&a->stamp, &b->stamp) == 0 &&
           (a->kind == SIDE_DEAD || (a->doubt == b->doubt && memcmp(a->hash, b->hash, sizeof a->hash) == 0));
}

/* We do not have it; they do, alive. */
static enum judgement not_here(const struct side *mine, const struct side *theirs, const struct grounds *g)
{
    if (mine->damaged) /* the row itself is here: nobody deleted it, only its version is lost */
        return JUDGE_TAKE_HEAL;
    if (!g->we_cover || !g->caught_up)
        return JUDGE_NOT_YET;
    return judge_may_be_deleted(&theirs->stamp, g->gc_floor) ? JUDGE_DOUBT : JUDGE_TAKE_LATE;
}

/* One version, two contents. Damage shows in a hash; where it does not, alive beats dead (a tombstone has no
 * hash that could speak for it), and then any order will do that both sides agree on. */
static enum judgement same_version(const struct side *mine, const struct side *theirs)
{
    if (mine->damaged)
        return JUDGE_TAKE_HEAL;
    if (side_equal(mine, theirs))
        return JUDGE_EQUAL;
    if (mine->kind != theirs->kind)
        return mine->kind == SIDE_ALIVE ? JUDGE_THEY_LOSE : JUDGE_TAKE_OTHER;
    int order = memcmp(mine->hash, theirs->hash, sizeof mine->hash);
    if (order == 0)
        return mine->doubt ? JUDGE_THEY_LOSE : JUDGE_TAKE_DOUBT;
    return order > 0 ? JUDGE_THEY_LOSE : JUDGE_TAKE_OTHER;
}

enum judgement judge(const struct side *mine, const struct side *theirs, const struct grounds *g)
{
    bool covered = g->we_cover && g->they_cover;
    if (theirs->kind == SIDE_ABSENT || theirs->damaged) {
        if (mine->damaged)
            return JUDGE_STUCK;
        return mine->kind != SIDE_ALIVE ? JUDGE_EQUAL : covered ? JUDGE_THEY_LOSE : JUDGE_NOT_YET;
    }
    if (mine->kind == SIDE_ABSENT) /* of a dead row nothing need be here */
        return theirs->kind == SIDE_DEAD ? (mine->damaged ? JUDGE_STUCK : JUDGE_EQUAL)
                                         : not_here(mine, theirs, g);
    int order = stamp_compare(&mine->stamp, &theirs->stamp);
    if (order == 0)
        return same_version(mine, theirs);
    if (order < 0)
        return mine->damaged ? JUDGE_TAKE_HEAL : covered ? JUDGE_TAKE_LATE : JUDGE_NOT_YET;
    if (mine->damaged)
        return JUDGE_STUCK;
    return covered ? JUDGE_THEY_LOSE : JUDGE_NOT_YET;
}

/* mailbox: a bounded queue into one thread, from any thread. Items are pointers; who takes them owns them.
 *
 * Two ways to read, one per mailbox: a thread that blocks (mailbox_take_all), or an event loop that is called
 * (mailbox_watch). Readers get everything at once, in the order of posting, and are woken once per batch, not
 * once per item. Refuses to know what the items are.
 */
#ifndef SKEP_REAL_MAILBOX_H
#define SKEP_REAL_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

struct event_base;
struct mailbox;

/* items_max: bound of mailbox_post. item_free: for what is refused, or still there at the end. */
struct mailbox *mailbox_new(size_t items_max, void (*item_free)(void *item));
/* No thread may post or take any more. A watched mailbox: on the loop's thread. */
void mailbox_free(struct mailbox *m);

/* For requests: false if the mailbox is full or closed, the item is freed then. */
bool mailbox_post(struct mailbox *m, void *item TAKES);
/* For facts that cannot be refused (a process has exited): beyond the bound too. False only if closed. */
bool mailbox_post_always(struct mailbox *m, void *item TAKES);

/* Waits until there is an item, the mailbox is closed or wait_ms is over (< 0: no end; 0: does not wait).
 * The items in *ret_items are the caller's, the array is borrowed until the next take. Returns how many;
 * 0 = time over or closed. */
size_t mailbox_take_all(struct mailbox *m, int64_t wait_ms, void ***ret_items);

/* Calls `arrived` on the loop's thread with each batch: the items are the callee's, the array is not. Before
 * the first post. 0, or SKEP_EINTERNAL when the system has no descriptor left. */
int mailbox_watch(struct mailbox *m, struct event_base *base,
                  void (*arrived)(void *ctx, void **items, size_t n), void *ctx);

/* No item is accepted any more, and a blocked reader returns with what there is. */
void mailbox_close(struct mailbox *m);
bool mailbox_closed(struct mailbox *m);
size_t mailbox_count(struct mailbox *m);

#endif

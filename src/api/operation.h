/* operation: starts and stops of many as JSON, for their own answers and for those who look them up. */
#ifndef SKEP_API_OPERATION_H
#define SKEP_API_OPERATION_H

#include "store/store.h"

struct node;

/* Appends what became of an ended operation. *ret_refused: 0, or the code under which it was refused as
 * a whole, for the names (a JSON array) in ret_names. */
int operation_result(struct node *n, const struct operation_row *op, struct str *ret_body,
                     struct str *ret_names, int *ret_refused);

#endif

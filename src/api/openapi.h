/* openapi: the route table as an OpenAPI 3.1 document.
 */
#ifndef SKEP_API_OPENAPI_H
#define SKEP_API_OPENAPI_H

#include "base/str.h"

/* Appends the document. version: of the program, shown as the document's. */
void openapi_write(const char *version, struct str *s);

#endif

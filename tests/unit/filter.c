/* Every unit test: SKEP_TEST=PATTERN runs its matching cases only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

__attribute__((constructor)) static void filter(void)
{
    cmocka_set_test_filter(getenv("SKEP_TEST"));
}

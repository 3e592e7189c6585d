/* fuzz: what libFuzzer (or replay.c) calls with each input. Anything it finds is an abort or a sanitizer's
 * report. */
#ifndef SKEP_TESTS_FUZZ_H
#define SKEP_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#endif

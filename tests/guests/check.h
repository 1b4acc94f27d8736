// What the tests' WASI programs share: a program checks itself and prints PASS, or the line that failed.

#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition) do { \
    if (!(condition)) { printf("%s:%d: %s (errno %d: %s)\n", __FILE__, __LINE__, #condition, errno, strerror(errno)); exit(1); } \
} while (0)

// The call fails, and with this errno.
#define FAILS(code, call) do { errno = 0; CHECK((call) < 0 && errno == (code)); } while (0)

static inline int passed(void) { puts("PASS"); return 0; }

#endif

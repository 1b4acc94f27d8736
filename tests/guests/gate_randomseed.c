// Sixteen random bytes come with a start; the seventeenth ends the program.
#include "gate.h"

ENTRY(dump)
{
    uint64_t seed[2];
    CHECK(gb_fd() == GATE_FD);
    CHECK(random_get(seed, sizeof seed) == OK);
    log_number(seed[0], 16);
    log_text(" ");
    log_number(seed[1], 16);
}

static void take(size_t size)
{
    static uint8_t bytes[17];
    CHECK(random_get(bytes, size) == OK);
}

ENTRY(toomuch)
{
    log_text("ping\n");
    take(17);
    log_text("still here\n");
}

ENTRY(toomuch2)
{
    log_text("ping\n");
    take(10);
    take(10);
    log_text("still here\n");
}

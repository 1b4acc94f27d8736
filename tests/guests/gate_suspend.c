// Programs that run until somebody stops them: one does input and output all the time, one only computes.
#include "gate.h"

static gb_bus bus;

static void discover(const char *names, size_t size, uint16_t count)
{
    gb_packet header = {(uint32_t)(sizeof header + 2 + size), GB_DISCOVERY, GB_CALL, 0};
    gb_send(&bus, header, &count, 2, names, size);
}

// Discovers three services, never looks at the reply and says now and then how far it is.
ENTRY(loop)
{
    static const char names[] = "\6origin\4test\14_nonexistent";
    discover(names, sizeof names - 1, 3);
    for (uint64_t calls = 1;; calls++) {
        gb_io(NULL, 0, NULL, NULL, 0, NULL, 0, NULL);
        if (calls % 100000 != 0)
            continue;
        log_text("running: ");
        log_number(calls / 100000, 10);
        log_text("\n");
    }
}

// Every level of the call stack and of a list in memory knows what it must find when it comes back.
static uint32_t words[1024];

static bool descend(uint32_t depth, uint32_t seed)
{
    volatile uint32_t mine = seed * 2654435761u + depth;
    words[depth] = mine;
    bool right = depth == 0 || descend(depth - 1, seed);
    return right && mine == seed * 2654435761u + depth && words[depth] == mine;
}

RESULT(loop2)
{
    CHECK(gb_fd() == GATE_FD);
    for (uint32_t seed = 1;; seed++)
        if (!descend(500, seed))
            return 1;
}

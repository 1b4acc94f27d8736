// The real-time clock is there and advances; clocks that do not exist are refused.
#include "gate.h"

__attribute__((export_name("check"))) void check_time(void)
{
    uint64_t start = 0, now = 0;
    CHECK(gb_fd() == GATE_FD);
    CHECK(clock_time_get(REALTIME, 1, &start) == OK && start > 1500000000000000000ull);
    for (now = start; now == start;)
        CHECK(clock_time_get(REALTIME, 1, &now) == OK && now >= start);
    CHECK(clock_time_get(4, 1, &now) == INVAL && clock_time_get(0xffffffff, 1, &now) == INVAL);
}

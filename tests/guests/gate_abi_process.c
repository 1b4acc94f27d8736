// Arguments, environment, clocks and randomness, under Gate's rules.
#include "gate.h"

static uint64_t time_of(uint32_t clock)
{
    uint64_t now = 0;
    CHECK(clock_time_get(clock, 1, &now) == OK);
    return now;
}

TEST(args,
    size_t arguments = 9;
    size_t size = 9;
    char *untouched = (char *)1;
    CHECK(args_sizes_get(&arguments, &size) == OK && arguments == 0 && size == 0);
    CHECK(args_get(&untouched, NULL) == OK && untouched == (char *)1);
)

TEST(environ,
    static char buffer[72];
    char *names[3];
    size_t variables = 0;
    size_t size = 0;
    CHECK(environ_sizes_get(&variables, &size) == OK && variables == 3 && size == sizeof buffer);
    CHECK(environ_get(NULL, buffer) == FAULT && environ_get(names, NULL) == FAULT);
    CHECK(environ_get(names, buffer) == OK);
    CHECK(names[0] == buffer && names[1] == buffer + 24 && names[2] == buffer + 40);
    CHECK(__builtin_strcmp(names[0], "GATE_ABI_VERSION=0") == 0);
    CHECK(__builtin_strcmp(names[1], "GATE_FD=4") == 0);
    CHECK(__builtin_strcmp(names[2], "GATE_MAX_SEND_SIZE=65536") == 0);
)

// The tests run with a resolution of 1 ms: what is told is the next larger power of two, in nanoseconds.
TEST(clock_res,
    for (uint32_t clock = REALTIME; clock <= THREAD_TIME; clock++) {
        uint64_t resolution = 0;
        CHECK(clock_res_get(clock, &resolution) == OK && resolution == 1 << 20);
    }
    uint64_t resolution;
    CHECK(clock_res_get(REALTIME, NULL) == FAULT);
    CHECK(clock_res_get(4, &resolution) == INVAL && clock_res_get(0xffffffff, &resolution) == INVAL);
)

TEST(clock_time,
    uint64_t now;
    CHECK(time_of(REALTIME) > 1500000000000000000ull);
    CHECK(time_of(MONOTONIC) >= 1000000000ull);
    CHECK(clock_time_get(REALTIME, 1, NULL) == FAULT);
    CHECK(clock_time_get(4, 1, &now) == INVAL && clock_time_get(0xffffffff, 1, &now) == INVAL);
    uint64_t before = time_of(MONOTONIC);
    CHECK(time_of(MONOTONIC) >= before);
)

// Sixteen bytes in all, in as many pieces as one likes.
TEST(random_get,
    uint8_t first[8] = {0};
    uint8_t second[8] = {0};
    CHECK(random_get(NULL, 0) == OK && random_get(NULL, 1) == FAULT);
    CHECK(random_get(first, 8) == OK && random_get(second, 8) == OK);
    CHECK(__builtin_memcmp(first, second, 8) != 0);
)

TEST(sched_yield, CHECK(sched_yield() == OK);)

static void take_random(size_t size)
{
    static uint8_t bytes[17];
    random_get(bytes, size);
}

static void read_clock(uint32_t clock)
{
    uint64_t now;
    clock_time_get(clock, 1, &now);
}

TRAP(clock_time_process, read_clock(PROCESS_TIME))
TRAP(clock_time_thread, read_clock(THREAD_TIME))
TRAP(proc_raise, proc_raise(6))
TRAP(random_get_too_much, take_random(17))

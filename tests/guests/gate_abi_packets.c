// Packets over io and over the descriptor, and waiting, under Gate's rules.
#include "gate.h"

// A discovery of a service that does not exist: 16 bytes, whose answer is 11 bytes and padding.
static const uint8_t discovery[16] = {16, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 5, 'b', 'o', 'g', 'u', 's'};
static const uint8_t answer[11] = {11, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0};
static uint8_t bytes[64];
static const gb_iovec into = {bytes, sizeof bytes};
static const gb_const_iovec from = {discovery, sizeof discovery};

struct subscription {
    uint64_t user;
    uint8_t tag; // 0 clock, 1 read, 2 write
    union {
        fd_t fd;
        struct { uint32_t id; uint64_t timeout, precision; uint16_t absolute; } clock;
    };
};
struct event { uint64_t user; uint16_t error; uint8_t type; uint64_t bytes; uint16_t flags; };
_Static_assert(sizeof(struct subscription) == 48 && sizeof(struct event) == 32, "layouts of WASI preview 1");

static size_t poll(const struct subscription *wanted, struct event *events, size_t count)
{
    size_t happened = 99;
    CHECK(poll_oneoff(wanted, events, count, &happened) == OK);
    return happened;
}

TEST(fd_write_and_read_gate,
    size_t count = 0;
    CHECK(fd_write(GATE_FD, &from, 1, &count) == OK && count == sizeof discovery);
    const struct subscription readable = {.user = 7, .tag = 1, .fd = GATE_FD};
    struct event event;
    CHECK(poll(&readable, &event, 1) == 1);
    CHECK(event.user == 7 && event.error == OK && event.type == 1 && event.bytes == 65536);
    CHECK(fd_read(GATE_FD, &into, 1, &count) == OK && count == 16);
    CHECK(__builtin_memcmp(bytes, answer, sizeof answer) == 0);
)

TEST(io,
    size_t received = 99;
    size_t sent = 99;
    uint64_t flags = 99;
    gb_io(NULL, 0, &received, &from, 1, &sent, -1, &flags);
    CHECK(received == 0 && sent == sizeof discovery && flags == 1);
    gb_io(&into, 1, &received, NULL, 0, &sent, -1, &flags);
    CHECK(received == 16 && sent == 0 && flags == 0);
    CHECK(__builtin_memcmp(bytes, answer, sizeof answer) == 0);
    gb_io(&into, 1, NULL, NULL, 0, NULL, 0, NULL);
)

TEST(poll_oneoff,
    const struct subscription clocks[] = {
        {.user = 10, .clock = {REALTIME, 1, 1, 1}},                   // long past
        {.user = 11, .clock = {REALTIME, 1 << 30, 1, 0}},             // in a second
        {.user = 12, .clock = {MONOTONIC, 0, 1, 0}},                  // now
        {.user = 13, .clock = {MONOTONIC, 1ull << 63, 1, 1}},         // never
    };
    struct event events[4];
    CHECK(poll(clocks, events, 4) == 2);
    CHECK(events[0].user == 10 && events[0].error == OK && events[0].type == 0);
    CHECK(events[1].user == 12 && events[1].error == OK && events[1].type == 0);

    const struct subscription streams[] = {
        {.user = 1, .tag = 2, .fd = 1}, {.user = 2, .tag = 2, .fd = GATE_FD}, {.user = 3, .tag = 1, .fd = 0},
        {.user = 4, .tag = 2, .fd = 5},
    };
    CHECK(poll(streams, events, 4) == 4);
    CHECK(events[0].user == 1 && events[0].error == OK && events[0].bytes == 0x7fffffff);
    CHECK(events[1].user == 2 && events[1].error == OK && events[1].bytes == 65536);
    CHECK(events[2].user == 3 && events[2].error == PERM);
    CHECK(events[3].user == 4 && events[3].error == BADF);

    const struct subscription wrong[] = {{.user = 5, .clock = {4, 0, 0, 0}}, {.user = 6, .tag = 3}};
    CHECK(poll(wrong, events, 2) == 2 && events[0].error == INVAL && events[1].error == INVAL);

    size_t count;
    CHECK(poll_oneoff(NULL, events, 1, &count) == FAULT && poll_oneoff(clocks, NULL, 1, &count) == FAULT);
    CHECK(poll_oneoff(clocks, events, 1, NULL) == FAULT);
)

static void wait_for(uint32_t clock)
{
    const struct subscription wanted = {.clock = {clock, 1, 1, 0}};
    struct event event;
    size_t count;
    poll_oneoff(&wanted, &event, 1, &count);
}

TRAP(poll_oneoff_process_cputime, wait_for(PROCESS_TIME))
TRAP(poll_oneoff_thread_cputime, wait_for(THREAD_TIME))

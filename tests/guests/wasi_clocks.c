// Clocks, sleeping, waiting and randomness.
#include "check.h"
#include <poll.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static int64_t now(clockid_t clock)
{
    struct timespec time;
    CHECK(clock_gettime(clock, &time) == 0);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void clocks_go_forward(void)
{
    struct timespec resolution;
    CHECK(now(CLOCK_REALTIME) > 1500000000000000000);
    int64_t start = now(CLOCK_MONOTONIC), last = start;
    while (last == start) {
        int64_t next = now(CLOCK_MONOTONIC);
        CHECK(next >= last);
        last = next;
    }
    CHECK(clock_getres(CLOCK_MONOTONIC, &resolution) == 0 && (resolution.tv_sec > 0 || resolution.tv_nsec > 0));
}

// Never shorter than asked for; clocks may be coarse, so a little of their resolution is allowed for.
static void sleeps_as_long_as_it_was_asked(void)
{
    const struct timespec wanted = {0, 60000000};
    int64_t start = now(CLOCK_MONOTONIC);
    CHECK(nanosleep(&wanted, NULL) == 0);
    int64_t slept = now(CLOCK_MONOTONIC) - start;
    CHECK(slept >= 40000000 && slept < 10000000000);
}

static void output_is_ready_and_a_wait_for_nothing_ends(void)
{
    struct pollfd out = {.fd = 1, .events = POLLOUT};
    CHECK(poll(&out, 1, 1000) == 1 && out.revents & POLLOUT);
    CHECK(poll(NULL, 0, 10) == 0);
}

static void randomness_is_fresh(void)
{
    static uint8_t first[4096], second[4096];
    CHECK(getentropy(first, 256) == 0 && getentropy(second, 256) == 0 && memcmp(first, second, 256) != 0);
    for (size_t i = 0; i < sizeof first; i += 256)
        CHECK(getentropy(first + i, 256) == 0);
    int counts[256] = {0}, missing = 0;
    for (size_t i = 0; i < sizeof first; i++)
        counts[first[i]]++;
    for (int i = 0; i < 256; i++)
        missing += counts[i] == 0;
    CHECK(missing < 8); // 4,096 bytes: each value comes 16 times on average
}

int main(void)
{
    clocks_go_forward();
    sleeps_as_long_as_it_was_asked();
    output_is_ready_and_a_wait_for_nothing_ends();
    randomness_is_fresh();
    return passed();
}

// Deep in calls, and in the middle of a sleep: where a program is stopped by those who test that. `depths down 900`, `depths sleep`.
#include "check.h"
#include <time.h>

// Every level says so on the way down and on the way up, and has values that are only its own.
static uint32_t down(int level, uint32_t sum, const double *above)
{
    double own[2] = {level * 0.5, above ? above[0] : 0};
    printf("down %d\n", level);
    uint32_t below = level ? down(level - 1, sum * 31 + (uint32_t)level, own) : sum;
    CHECK(own[0] == level * 0.5 && (!above || own[1] == above[0]));
    printf("up %d %u\n", level, below + (uint32_t)level);
    return below * 17 + (uint32_t)level;
}

// Never shorter than asked for, however often it is stopped; the clock is coarse.
static void sleep_and_say(int number)
{
    struct timespec wanted = {0, 200000000}, began, ended;
    printf("sleep %d\n", number);
    CHECK(clock_gettime(CLOCK_MONOTONIC, &began) == 0 && nanosleep(&wanted, NULL) == 0);
    CHECK(clock_gettime(CLOCK_MONOTONIC, &ended) == 0);
    int64_t slept = (ended.tv_sec - began.tv_sec) * INT64_C(1000000000) + ended.tv_nsec - began.tv_nsec;
    printf("slept %d\n", slept >= 180000000);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc > 2 && strcmp(argv[1], "down") == 0)
        printf("%u\n", down(atoi(argv[2]), 1, NULL));
    for (int number = 0; argc == 2 && number < 3; number++)
        sleep_and_say(number);
    return 5;
}

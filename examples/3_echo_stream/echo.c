// Accepts one connection, sends back every byte until the other side ends, then closes its own direction and says how much
// it was. The connection of `gatebus run` is the terminal or the pipe.
#include "gatebus.h"

static gb_bus bus;
static uint8_t buffer[32768];

// Decimal digits of a number, at the end of a buffer of 20.
static char *digits(uint64_t number, char *end)
{
    do
        *--end = (char)('0' + number % 10);
    while (number /= 10);
    return end;
}

int main(void)
{
    gb_stream peer;
    uint64_t total = 0;
    int origin = gb_discover(&bus, "origin");
    if (origin < 0 || gb_accept(&bus, origin, &peer) < 0)
        return 1;

    for (int size; (size = gb_read(&bus, &peer, buffer, sizeof buffer)) > 0; total += (uint64_t)size)
        if (gb_write(&bus, &peer, buffer, (size_t)size) < 0)
            return 1;

    // Their direction is over, ours is not: this is what half-close means.
    char number[20], *end = number + sizeof number, *start = digits(total, end);
    gb_write(&bus, &peer, "sent back ", 10);
    gb_write(&bus, &peer, start, (size_t)(end - start));
    gb_write(&bus, &peer, " bytes\n", 7);
    gb_close(&bus, &peer);
    return 0;
}

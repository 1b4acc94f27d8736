// What tests/data/snapshots-1/gate.gbsnap was when it was stopped: it is in a group, has given up its rights, waits for clients,
// and has one. Each of them is told how it came to run, who is in the group, which visit it is, and how many of nine random bytes came.
#include "gate.h"
#include "gatebus_peers.h"

static gb_bus bus;
static gb_stream client;

static void digit(int value)
{
    char c = (char)('0' + value);
    gb_write(&bus, &client, &c, 1);
}

ENTRY(serve)
{
    static uint8_t answer[1024];
    static const uint8_t join[] = {1, 0, 0, 0, 6, 'g', 'o', 'l', 'd', 'e', 'n', 2, 'm', 'e', 0};
    static const uint8_t list[] = {3, 0, 0, 0}, scope[] = {0, 1, 1, 'a'}, lifecycle[] = {2}, nine[] = {9};
    int origin = gb_discover(&bus, "origin"), group = gb_discover(&bus, "group"), rights = gb_discover(&bus, "scope");
    int identity = gb_discover(&bus, "identity"), randomness = gb_discover(&bus, "random");
    gb_call(&bus, group, join, sizeof join, answer, sizeof answer);
    gb_call(&bus, rights, scope, sizeof scope, answer, sizeof answer);
    for (int visits = 1; gb_accept(&bus, origin, &client) >= 0; visits++) {
        gb_call(&bus, identity, lifecycle, sizeof lifecycle, answer, sizeof answer);
        digit(answer[0]);
        int size = gb_call(&bus, group, list, sizeof list, answer, sizeof answer);
        digit(answer[2]);
        gb_write(&bus, &client, answer + 9, (size_t)size - 9);
        digit(visits);
        digit(gb_call(&bus, randomness, nine, sizeof nine, answer, sizeof answer));
        gb_write(&bus, &client, "\n", 1);
        char c;
        while (gb_read(&bus, &client, &c, 1) > 0)
            ;
        gb_close(&bus, &client);
    }
}

// Has a handle of the service `lease` from its start on, and asks it for each byte that a client sends: what comes back is the
// answer, "nothing" when it is empty. 'i' asks who it is instead: started, resumed, restored or copied, as a digit.
#include "gate.h"

static gb_bus bus;
static gb_stream client;

static void answer(int service, char asked)
{
    static char text[128];
    int size = gb_call(&bus, service, &asked, 1, text, sizeof text);
    if (size > 0)
        gb_write(&bus, &client, text, (size_t)size);
    else
        gb_write(&bus, &client, "nothing", 7);
}

static void say_who(int identity)
{
    uint8_t how[64];
    const char lifecycle = 2;
    gb_call(&bus, identity, &lifecycle, 1, how, sizeof how);
    char digit = (char)('0' + how[0]);
    gb_write(&bus, &client, &digit, 1);
}

ENTRY(serve)
{
    int origin = gb_discover(&bus, "origin"), lease = gb_discover(&bus, "lease"), identity = gb_discover(&bus, "identity");
    const char open = 'o';
    gb_call(&bus, lease, &open, 1, 0, 0);
    while (gb_accept(&bus, origin, &client) >= 0) {
        char asked;
        while (gb_read(&bus, &client, &asked, 1) > 0) {
            if (asked == 'i')
                say_who(identity);
            else
                answer(lease, asked);
            gb_write(&bus, &client, "\n", 1);
        }
        gb_close(&bus, &client);
    }
}

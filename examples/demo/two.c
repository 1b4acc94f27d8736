// A program with two entry functions, run twice by the same person: `ask` finds `answer` and talks to it. Neither knows more of
// the other than what the index of this person's programs says.
#include "gatebus.h"
#include "gatebus_peers.h"

static gb_bus bus;
static uint8_t names[GB_PACKET_MAX], text[256];

#define ENTRY(name) __attribute__((export_name(#name))) void name(void)

// Says that we are here. The number of the service that joins programs.
static int here(int *index)
{
    int peer = gb_peer_here(&bus);
    *index = gb_peer_register(&bus);
    if (peer < 0 || *index < 0)
        __builtin_trap();
    return peer;
}

ENTRY(ask)
{
    static const char question[] = "is anybody there?";
    int index, peer = here(&index), origin = gb_discover(&bus, "origin");
    gb_stream other, person;
    while (gb_peer_list(&bus, index, names, sizeof names) < 1) // the other one may still be starting
        ;
    if (gb_peer_connect(&bus, peer, GB_INDEX, names + 1, names[0], &other) < 0 || gb_accept(&bus, origin, &person) < 0)
        __builtin_trap();
    gb_write(&bus, &other, question, sizeof question - 1);
    for (int got; (got = gb_read(&bus, &other, text, sizeof text)) > 0;)
        gb_write(&bus, &person, text, (size_t)got);
    gb_close(&bus, &other);
    gb_close(&bus, &person);
}

ENTRY(answer)
{
    static const char reply[] = "yes: I heard \"";
    int index, peer = here(&index);
    gb_peer_notice notice;
    gb_stream other;
    uint8_t name[256];
    gb_peer_asked(&bus, peer, -1, &notice);
    size_t size = notice.name.size;
    gb_copy(name, notice.name.text, size);
    gb_remove(&bus, notice.packet);
    if (gb_peer_connect(&bus, peer, GB_INDEX, name, size, &other) < 0)
        __builtin_trap();
    int got = gb_read(&bus, &other, text, sizeof text);
    gb_write(&bus, &other, reply, sizeof reply - 1);
    gb_write(&bus, &other, text, (size_t)got);
    gb_write(&bus, &other, "\"\n", 2);
    gb_close(&bus, &other);
}

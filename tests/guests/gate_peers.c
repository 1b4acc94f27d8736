// Programs that find each other and talk: a pair over a stream, and members of a group. Each entry checks what it sees and
// returns 0, or 1.
#include "gate.h"
#include "gatebus_peers.h"

enum { TOTAL = 1 << 20, PIECE = 5000 };

static gb_bus bus;
static uint8_t names[GB_PACKET_MAX], buffer[PIECE];

static uint8_t byte_at(size_t at) { return (uint8_t)(at * 31 + (at >> 8)); }

// Asks the index until somebody else is there, and copies the first name.
static size_t find_other(int index, char *name)
{
    while (gb_peer_list(&bus, index, names, sizeof names) < 1)
        ;
    gb_copy(name, names + 1, names[0]);
    return names[0];
}

// Writes and reads a MiB by turns, and compares.
ENTRY(asker)
{
    char name[256];
    gb_stream stream;
    int peer = gb_peer_here(&bus), index = gb_peer_register(&bus);
    size_t size = find_other(index, name);
    CHECK(gb_peer_connect(&bus, peer, GB_INDEX, "nobody", 6, &stream) == GB_PEER_ERROR(3));
    CHECK(gb_peer_connect(&bus, peer, GB_INDEX, name, size, &stream) == 0);
    for (size_t at = 0; at < TOTAL; at += PIECE) {
        size_t part = TOTAL - at < PIECE ? TOTAL - at : PIECE;
        for (size_t i = 0; i < part; i++)
            buffer[i] = byte_at(at + i);
        CHECK(gb_write(&bus, &stream, buffer, part) == (int)part);
        for (size_t got = 0; got < part;) {
            int more = gb_read(&bus, &stream, buffer, part - got);
            CHECK(more > 0);
            for (int i = 0; i < more; i++)
                CHECK(buffer[i] == byte_at(at + got + (size_t)i));
            got += (size_t)more;
        }
    }
    gb_close(&bus, &stream);
    log_text("PASS\n");
}

// Sends back what comes, until its end.
ENTRY(answerer)
{
    gb_peer_notice notice;
    gb_stream stream;
    char name[256];
    int peer = gb_peer_here(&bus);
    CHECK(gb_peer_register(&bus) >= 0);
    CHECK(gb_peer_asked(&bus, peer, -1, &notice));
    size_t size = notice.name.size;
    gb_copy(name, notice.name.text, size);
    gb_remove(&bus, notice.packet);
    CHECK(gb_peer_connect(&bus, peer, GB_INDEX, name, size, &stream) == 0);
    for (int got; (got = gb_read(&bus, &stream, buffer, sizeof buffer)) > 0;)
        if (gb_write(&bus, &stream, buffer, (size_t)got) != got)
            break;
    CHECK(stream.note == 0);
    gb_close(&bus, &stream);
    log_text("PASS\n");
}

// Connects, and waits for a death instead of an end: its note says so.
ENTRY(survivor)
{
    char name[256];
    gb_stream stream;
    int peer = gb_peer_here(&bus), index = gb_peer_register(&bus);
    size_t size = find_other(index, name);
    CHECK(gb_peer_connect(&bus, peer, GB_INDEX, name, size, &stream) == 0);
    CHECK(gb_read(&bus, &stream, buffer, sizeof buffer) == 0);
    CHECK(stream.note == 1);
    CHECK(gb_write(&bus, &stream, "x", 1) == GB_CLOSED);
    gb_close(&bus, &stream);
    log_text("PASS\n");
}

// Is asked, connects, and dies.
ENTRY(mortal)
{
    gb_peer_notice notice;
    int peer = gb_peer_here(&bus);
    uint8_t question[8 + 3 * 256] = {0};
    CHECK(gb_peer_register(&bus) >= 0);
    CHECK(gb_peer_asked(&bus, peer, -1, &notice));
    size_t at = gb_put_text(question, 8, sizeof question, notice.group.text, notice.group.size);
    at = gb_put_text(question, at, sizeof question, notice.name.text, notice.name.size);
    at = gb_put_text(question, at, sizeof question, NULL, 0);
    gb_remove(&bus, notice.packet);
    gb_call(&bus, peer, question, at, buffer, sizeof buffer);
    log_text("PASS\n");
    __builtin_trap();
}

// Three of these in a room: each says one line when all are there, and hears all three in one order, its own among them.
ENTRY(member)
{
    gb_group room;
    gb_letter letter;
    uint64_t order = 0;
    CHECK(gb_group_join(&bus, gb_discover(&bus, "group"), "room", "", "", GB_WATCH | GB_ECHO, &room) == 0);
    for (int present = 1, heard = 0; heard < 3;) {
        if (present == 3) {
            CHECK(gb_group_send(&bus, &room, GB_EVERYBODY, &room.number, sizeof room.number, NULL) > 0);
            present = 4;
        }
        CHECK(gb_group_next(&bus, &room, -1, &letter));
        present += letter.kind == GB_JOINED;
        if (letter.kind == GB_MESSAGE) {
            CHECK(letter.size == 4 && letter.number >= 1 && letter.number <= 3);
            order = order * 10 + letter.number;
            heard++;
        }
        gb_remove(&bus, letter.packet);
    }
    log_number(order, 10);
    log_text(" PASS\n");
}

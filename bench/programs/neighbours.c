// Programs that measure what lies between programs: one way, there and back, one to many. What takes seconds is measured by
// the guest's own clock (of a millisecond) and written to the log as a number.
#include "gatebus_peers.h"

#define ENTRY(name) __attribute__((export_name(#name))) void name(void)
#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))

WASI(clock_time_get) int clock_time_get(uint32_t, uint64_t, uint64_t *);
WASI(fd_write) int fd_write(uint32_t, const gb_const_iovec *, size_t, size_t *);

enum { DATA = 128, PACKET = 16 + DATA, BATCH = 64, MESSAGES = 1500000, ROUNDS = 4001, KIB = 1024, CASTS = 1000, AHEAD = 64,
       LISTENERS = 100 };

static gb_bus bus;
static gb_stream stream;
static char other[256];
static size_t other_size;

static uint64_t now_us(void)
{
    uint64_t now;
    clock_time_get(1, 1, &now);
    return now / 1000;
}

static void say(uint64_t number)
{
    char text[21], *start = text + sizeof text;
    *--start = '\n';
    do
        *--start = (char)('0' + number % 10);
    while (number /= 10);
    gb_const_iovec piece = {start, (size_t)(text + sizeof text - start)};
    size_t written;
    fd_write(1, &piece, 1, &written);
}

static void ask(void)
{
    static uint8_t names[GB_PACKET_MAX];
    int peer = gb_peer_here(&bus), index = gb_peer_register(&bus);
    while (gb_peer_list(&bus, index, names, sizeof names) < 1)
        ;
    other_size = names[0];
    gb_copy(other, names + 1, other_size);
    if (gb_peer_connect(&bus, peer, GB_INDEX, other, other_size, &stream) != 0)
        __builtin_trap();
}

static void answer(void)
{
    gb_peer_notice notice;
    int peer = gb_peer_here(&bus);
    gb_peer_register(&bus);
    gb_peer_asked(&bus, peer, -1, &notice);
    other_size = notice.name.size;
    gb_copy(other, notice.name.text, other_size);
    gb_remove(&bus, notice.packet);
    if (gb_peer_connect(&bus, peer, GB_INDEX, other, other_size, &stream) != 0)
        __builtin_trap();
}

// One way: packets of 128 B, as many in one call as credit allows.
ENTRY(source)
{
    static struct { gb_data head; uint8_t data[DATA]; } batch[BATCH];
    ask();
    for (int i = 0; i < BATCH; i++)
        batch[i].head = (gb_data){{PACKET, stream.code, GB_DATA, 0}, stream.id, 0};
    for (int sent = 0; sent < MESSAGES;) {
        while (stream.may_send < DATA)
            gb_step(&bus, NULL, 0, -1);
        size_t many = stream.may_send / DATA < BATCH ? stream.may_send / DATA : BATCH;
        gb_const_iovec out = {batch, many * PACKET};
        while (out.size > 0)
            gb_step(&bus, &out, 1, -1);
        stream.may_send -= (uint32_t)(many * DATA);
        sent += (int)many;
    }
    gb_close(&bus, &stream);
}

// Takes whole buffers apart without copying, and gives credit by the half window.
ENTRY(sink)
{
    enum { WINDOW = 1 << 20 };
    uint64_t began = 0;
    uint32_t owed = 0;
    answer();
    gb_ask(&bus, &stream, WINDOW);
    for (bool ended = false; !ended;) {
        size_t at = 0;
        for (gb_packet *packet; !ended && (packet = gb_at(&bus, at)); at += gb_padded(packet->size)) {
            ended = packet->size == sizeof(gb_data);
            owed += (uint32_t)(packet->size - sizeof(gb_data));
            began = began ? began : now_us();
        }
        gb_copy(bus.buffer, bus.buffer + at, bus.length - at);
        bus.length -= at;
        if (owed >= WINDOW / 2) {
            gb_ask(&bus, &stream, (int32_t)owed);
            owed = 0;
        }
        if (!ended)
            gb_step(&bus, NULL, 0, -1);
    }
    say((uint64_t)MESSAGES * 1000000 / (now_us() - began));
    stream.input_ended = true;
    gb_close(&bus, &stream);
}

static void read_all(uint8_t *to, size_t size)
{
    for (size_t got = 0; got < size;)
        got += (size_t)gb_read(&bus, &stream, to + got, size - got);
}

// There and back, one at a time. The benchmark takes the time between two packets of ours: a guest's clock is coarse.
ENTRY(pinger)
{
    uint8_t message[DATA] = {0};
    ask();
    gb_ask(&bus, &stream, ROUNDS * DATA);
    for (int round = 0; round < ROUNDS; round++) {
        gb_write(&bus, &stream, message, sizeof message);
        read_all(message, sizeof message);
    }
    gb_close(&bus, &stream);
}

ENTRY(ponger)
{
    uint8_t message[DATA];
    answer();
    gb_ask(&bus, &stream, ROUNDS * DATA);
    for (int round = 0; round < ROUNDS; round++) {
        read_all(message, sizeof message);
        gb_write(&bus, &stream, message, sizeof message);
    }
    gb_close(&bus, &stream);
}

// One to many: 1 KiB to everybody, some calls ahead of their replies; then waits until everybody has said that all came.
static uint32_t cast_one(gb_group *group, bool wait)
{
    static const uint8_t message[KIB];
    gb_letter_head head = {GB_OP_SEND, group->handle, GB_EVERYBODY};
    gb_packet header = {sizeof header + sizeof head + sizeof message, group->code, GB_CALL, 0};
    uint32_t dropped = 0;
    gb_send(&bus, header, &head, sizeof head, message, sizeof message);
    if (wait) {
        gb_packet *reply = gb_take(&bus, group->code, GB_CALL, 0, -1);
        gb_copy(&dropped, gb_content(reply) + 8, sizeof dropped);
        gb_remove(&bus, reply);
    }
    return dropped;
}

ENTRY(caster)
{
    gb_group group;
    gb_letter letter;
    uint32_t dropped = 0;
    gb_group_join(&bus, gb_discover(&bus, "group"), "cast", "caster", "", GB_WATCH, &group);
    for (int here = 0; here < LISTENERS; here += letter.kind == GB_JOINED) {
        gb_group_next(&bus, &group, -1, &letter);
        gb_remove(&bus, letter.packet);
    }
    uint64_t began = now_us();
    for (int cast = 0; cast < CASTS; cast++)
        dropped += cast_one(&group, cast >= AHEAD);
    for (int left = 0; left < AHEAD; left++)
        gb_remove(&bus, gb_take(&bus, group.code, GB_CALL, 0, -1));
    for (int done = 0; done < LISTENERS; done += letter.kind == GB_DIRECT) {
        gb_group_next(&bus, &group, -1, &letter);
        gb_remove(&bus, letter.packet);
    }
    say((uint64_t)CASTS * LISTENERS * 1000000 / (now_us() - began));
    say(dropped);
}

ENTRY(listener)
{
    gb_group group;
    gb_letter letter;
    uint32_t caster = 0, heard = 0, lost = 0;
    gb_group_join(&bus, gb_discover(&bus, "group"), "cast", "", "", 0, &group);
    while (heard + lost < CASTS) {
        gb_group_next(&bus, &group, -1, &letter);
        if (letter.kind == GB_MESSAGE) {
            caster = letter.number;
            heard++;
        }
        if (letter.kind == GB_LOST) {
            uint32_t count;
            gb_copy(&count, letter.content, sizeof count);
            lost += count;
        }
        gb_remove(&bus, letter.packet);
    }
    gb_group_send(&bus, &group, caster, &heard, sizeof heard, NULL);
}

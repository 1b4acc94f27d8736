// gatebus_peers.h - other programs of the same principal on the same host: streams to them, groups, messages.
// SPDX-License-Identifier: Apache-2.0
//
// On top of gatebus.h, in the same manner: blocking helpers, nothing allocated. What the services promise, and every byte of
// them, is in docs/peers.md.
//
//     int peer = gb_peer_here(&bus), index = gb_peer_register(&bus);      // now others can find and ask us
//     gb_stream stream;
//     gb_peer_connect(&bus, peer, GB_INDEX, name, strlen(name), &stream); // waits until the other has asked for us too
//
//     gb_group room;
//     gb_group_join(&bus, gb_discover(&bus, "group"), "room", "alice", "", GB_WATCH, &room);
//     gb_group_tell(&bus, &room, GB_EVERYBODY, "hello", 5);
//     for (gb_letter letter; gb_group_next(&bus, &room, -1, &letter); gb_remove(&bus, letter.packet))
//         ...
//
// Errors of the services are negative here: GB_PEER_ERROR(3) is error 3 of the page.

#ifndef GATEBUS_PEERS_H
#define GATEBUS_PEERS_H

#include "gatebus.h"

#define GB_INDEX "index/principal" // Gate's group of all registered programs of one principal
#define GB_PEER_ERROR(error) (-100 - (error))

static inline size_t gb_length(const char *text) { return __builtin_strlen(text); }

// Appends a text: its length in one byte, then itself. What does not fit is an error of the caller: it traps.
static inline size_t gb_put_text(uint8_t *to, size_t at, size_t capacity, const void *text, size_t size)
{
    if (size > 255 || at + 1 + size > capacity)
        __builtin_trap();
    to[at] = (uint8_t)size;
    gb_copy(to + at + 1, text, size);
    return at + 1 + size;
}

// The text at `*at` of a packet's content; moves `*at` behind it. A host that cuts one off ends the program.
typedef struct { const uint8_t *text; size_t size; } gb_text;

static inline gb_text gb_get_text(const gb_packet *packet, size_t *at)
{
    const uint8_t *content = (const uint8_t *)(packet + 1);
    size_t size = gb_content_size(packet);
    if (*at >= size || *at + 1 + content[*at] > size)
        __builtin_trap();
    gb_text text = {content + *at + 1, content[*at]};
    *at += 1 + text.size;
    return text;
}

static inline bool gb_same_text(gb_text text, const void *other, size_t size)
{
    return text.size == size && __builtin_memcmp(text.text, other, size) == 0;
}

// Sends an information packet to a service.
static inline void gb_inform(gb_bus *bus, int code, const void *head, size_t head_size, const void *content, size_t size)
{
    gb_packet header = {(uint32_t)(sizeof header + head_size + size), (int16_t)code, GB_INFO, 0};
    gb_send(bus, header, head, head_size, content, size);
}

// --------------------------------------------------------------------------------------------------- peer, peerindex

// Finds the service `peer` and says "I am here": from now on others can ask for us. Its code, or GB_UNKNOWN.
static inline int gb_peer_here(gb_bus *bus)
{
    int peer = gb_discover(bus, "peer");
    if (peer >= 0)
        gb_inform(bus, peer, NULL, 0, NULL, 0);
    return peer;
}

// Finds the index and registers this program in it, under its instance's id. Its code, or GB_UNKNOWN.
static inline int gb_peer_register(gb_bus *bus)
{
    int index = gb_discover(bus, "peerindex/principal");
    if (index >= 0)
        gb_inform(bus, index, NULL, 0, NULL, 0);
    return index;
}

// The names of the other registered programs, each as a text (u8 length, bytes), sorted. How many; GB_PEER_ERROR(1): none at
// all is registered; GB_TOO_LARGE.
static inline int gb_peer_list(gb_bus *bus, int index, uint8_t *names, size_t capacity)
{
    static uint8_t reply[GB_PACKET_MAX];
    int size = gb_call(bus, index, NULL, 0, reply, sizeof reply);
    if (size < 4)
        return GB_REFUSED;
    if (reply[0] != 0)
        return GB_PEER_ERROR(reply[0]);
    if ((size_t)size - 4 > capacity)
        return GB_TOO_LARGE;
    gb_copy(names, reply + 4, (size_t)size - 4);
    return reply[2] | reply[3] << 8;
}

// What `peer` tells us: somebody asks (stream is -1), or a connection is up.
typedef struct { gb_packet *packet; int32_t stream; gb_text group, name, handshake; } gb_peer_notice;

static inline gb_peer_notice gb_peer_read(gb_packet *packet)
{
    size_t at = 8;
    if (gb_content_size(packet) < at)
        __builtin_trap();
    gb_peer_notice notice = {.packet = packet};
    gb_copy(&notice.stream, gb_content(packet), sizeof notice.stream);
    notice.group = gb_get_text(packet, &at);
    notice.name = gb_get_text(packet, &at);
    notice.handshake = gb_get_text(packet, &at);
    return notice;
}

// Waits until somebody asks for us; `gb_remove(bus, notice->packet)` when done. False after `timeout` without news.
static inline bool gb_peer_asked(gb_bus *bus, int peer, int64_t timeout, gb_peer_notice *notice)
{
    do {
        size_t offset = 0;
        for (gb_packet *packet; (packet = gb_at(bus, offset)); offset += gb_padded(packet->size))
            if (gb_matches(packet, peer, GB_INFO, 0) && (*notice = gb_peer_read(packet)).stream < 0)
                return true;
    } while (gb_step(bus, NULL, 0, timeout) || timeout < 0);
    return false;
}

// Asks for a peer and waits until it has asked for us. 0, or GB_PEER_ERROR(...) as docs/peers.md numbers them. A peer that
// dies meanwhile: 0, and the stream is at its end.
static inline int gb_peer_connect(gb_bus *bus, int peer, const char *group, const void *name, size_t size, gb_stream *stream)
{
    uint8_t question[8 + 3 * 256] = {0};
    int16_t answer[2] = {1, 0};
    size_t at = gb_put_text(question, 8, sizeof question, group, gb_length(group));
    at = gb_put_text(question, at, sizeof question, name, size);
    at = gb_put_text(question, at, sizeof question, NULL, 0);
    if (gb_call(bus, peer, question, at, answer, sizeof answer) != sizeof answer || answer[0] != 0)
        return GB_PEER_ERROR(answer[0]);
    for (;;) {
        size_t offset = 0;
        for (gb_packet *packet; (packet = gb_at(bus, offset)); offset += gb_padded(packet->size)) {
            if (!gb_matches(packet, peer, GB_INFO, 0))
                continue;
            gb_peer_notice notice = gb_peer_read(packet);
            if (notice.stream < 0 || !gb_same_text(notice.name, name, size) ||
                !gb_same_text(notice.group, group, gb_length(group)))
                continue;
            gb_remove(bus, packet);
            gb_open(bus, peer, notice.stream, stream);
            return 0;
        }
        gb_step(bus, NULL, 0, -1);
    }
}

// ----------------------------------------------------------------------------------------------------------- groups

enum { GB_WATCH = 1, GB_ECHO = 2 };           // of a join
enum { GB_EVERYBODY = 0 };                    // instead of a member's number
enum { GB_JOINED = 1, GB_LEFT = 2, GB_MESSAGE = 4, GB_DIRECT = 5, GB_LOST = 6, GB_ANEW = 7 }; // kinds of letters
enum { GB_OP_JOIN = 1, GB_OP_LEAVE = 2, GB_OP_LIST = 3, GB_OP_SEND = 4 };

typedef struct { int16_t code; uint16_t handle; uint32_t number; uint32_t others; } gb_group;
typedef struct { uint16_t kind, handle; uint32_t number; } gb_letter_head;
typedef struct { gb_packet *packet; uint16_t kind, handle; uint32_t number; const uint8_t *content; size_t size; } gb_letter;

_Static_assert(sizeof(gb_letter_head) == 8, "layout of the service group");

// Joins a group under a name of our own (empty: the instance's id); `about` is told to the others. 0, or GB_PEER_ERROR(...).
static inline int gb_group_join(gb_bus *bus, int code, const char *group, const char *name, const char *about, uint16_t flags,
                                gb_group *joined)
{
    uint8_t content[4 + 3 * 256] = {GB_OP_JOIN, 0, (uint8_t)flags, (uint8_t)(flags >> 8)};
    struct { int16_t error; uint16_t handle; uint32_t number, others; } reply = {.error = 1};
    size_t at = gb_put_text(content, 4, sizeof content, group, gb_length(group));
    at = gb_put_text(content, at, sizeof content, name, gb_length(name));
    at = gb_put_text(content, at, sizeof content, about, gb_length(about));
    if (gb_call(bus, code, content, at, &reply, sizeof reply) != sizeof reply || reply.error != 0)
        return GB_PEER_ERROR(reply.error);
    *joined = (gb_group){(int16_t)code, reply.handle, reply.number, reply.others};
    return 0;
}

static inline int gb_group_leave(gb_bus *bus, const gb_group *group)
{
    const uint16_t content[2] = {GB_OP_LEAVE, group->handle};
    int16_t reply[2] = {1, 0};
    gb_call(bus, group->code, content, sizeof content, reply, sizeof reply);
    return reply[0] == 0 ? 0 : GB_PEER_ERROR(reply[0]);
}

// Sends a message, at most 8,192 bytes, and does not ask what became of it.
static inline void gb_group_tell(gb_bus *bus, const gb_group *group, uint32_t number, const void *message, size_t size)
{
    gb_letter_head head = {GB_OP_SEND, group->handle, number};
    gb_inform(bus, group->code, &head, sizeof head, message, size);
}

// The same, and asks: how many mailboxes took it; `dropped` (may be null) says how many did not. Or GB_PEER_ERROR(...).
static inline int gb_group_send(gb_bus *bus, const gb_group *group, uint32_t number, const void *message, size_t size,
                                uint32_t *dropped)
{
    gb_letter_head head = {GB_OP_SEND, group->handle, number};
    gb_packet header = {(uint32_t)(sizeof header + sizeof head + size), group->code, GB_CALL, 0};
    struct { int16_t error; uint16_t reserved; uint32_t taken, dropped; } reply = {0};
    gb_send(bus, header, &head, sizeof head, message, size);
    gb_packet *packet = gb_take(bus, group->code, GB_CALL, 0, -1);
    if (gb_content_size(packet) != sizeof reply)
        __builtin_trap();
    gb_copy(&reply, gb_content(packet), sizeof reply);
    gb_remove(bus, packet);
    if (dropped)
        *dropped = reply.dropped;
    return reply.error == 0 ? (int)reply.taken : GB_PEER_ERROR(reply.error);
}

// A packet of the service group, taken apart.
static inline gb_letter gb_group_read(gb_packet *packet)
{
    gb_letter_head head;
    if (gb_content_size(packet) < sizeof head)
        __builtin_trap();
    gb_copy(&head, gb_content(packet), sizeof head);
    return (gb_letter){packet, head.kind, head.handle, head.number, gb_content(packet) + sizeof head,
                       gb_content_size(packet) - sizeof head};
}

// The next letter of any of our groups; `gb_remove(bus, letter->packet)` when done. False after `timeout` without news.
static inline bool gb_group_next(gb_bus *bus, const gb_group *group, int64_t timeout, gb_letter *letter)
{
    gb_packet *packet = gb_take(bus, group->code, GB_INFO, 0, timeout);
    if (packet)
        *letter = gb_group_read(packet);
    return packet != NULL;
}

#endif

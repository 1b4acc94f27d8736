// gatebus.h - talk to the services around a WebAssembly program, in packets. One header, no library.
// SPDX-License-Identifier: Apache-2.0
//
// A program that imports `gate.io_65536` (every program that includes this file and uses it) has one byte stream each way
// to its host. On it travel packets, each with an 8-byte header and padded to a multiple of 8:
//
//     size u32 | code i16 | domain u8 | index u8 | content ...
//
// `code` says which service: services are discovered by name at run time and numbered in the order of their discovery.
// `domain` says what: CALL (answered by exactly one reply), INFO, FLOW (credit for streams), DATA (bytes of a stream).
//
// This header has three floors; use the one you need.
//     gb_io, gb_packet ...           the imported function and the layout of packets
//     gb_send, gb_receive, gb_take   whole packets; what arrives meanwhile waits in a buffer of fixed size
//     gb_discover, gb_call, gb_accept, gb_read, gb_write, gb_end, gb_close      blocking helpers
//
// Everything is `static inline`, allocates nothing and needs no C library: any clang with a wasm32 target compiles it. All
// functions take the bus, of which a program has one:
//     static gb_bus bus;
//     gb_discover(&bus, "origin");                  // 0: the first discovered service
//     gb_stream peer;
//     gb_accept(&bus, 0, &peer);                    // waits until somebody connects
//     gb_write(&bus, &peer, "hello\n", 6);
//     gb_close(&bus, &peer);
// Errors are negative results, GB_...; a host that breaks the packet format ends the program with a trap. Times are in
// nanoseconds. Not for several threads (the sandbox has none).

#ifndef GATEBUS_H
#define GATEBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#error "gatebus.h is C; wrap it in a C file of your program"
#endif

// ------------------------------------------------------------------------------------------------- the lowest floor

enum {
    GB_PACKET_MAX = 65536, // bytes of a packet with its header, both ways
    GB_DATA_MAX = 65520,   // bytes of a stream in one packet
    GB_SERVICES_MAX = 256, // services a program may discover
    GB_NAME_MAX = 127,     // bytes of a service's name
    GB_ALIGN = 8,          // packets are padded to a multiple of this
};

// Domains: the low four bits of the header's field; the others are reserved.
enum { GB_CALL = 0, GB_INFO = 1, GB_FLOW = 2, GB_DATA = 3, GB_DOMAIN_MASK = 15 };

// `code` of the discovery conversation; services have codes from 0.
enum { GB_DISCOVERY = -1 };

// Results of the blocking helpers.
enum {
    GB_CLOSED = -1,      // the other side takes no more bytes
    GB_UNKNOWN = -2,     // no such service on this host
    GB_TOO_LARGE = -3,   // does not fit into a packet or into the caller's buffer
    GB_TIMEOUT = -4,     // nothing arrived in time
    GB_REFUSED = -5,     // the service answered with an error
};

typedef struct { void *data; size_t size; } gb_iovec;
typedef struct { const void *data; size_t size; } gb_const_iovec;

typedef struct { uint32_t size; int16_t code; uint8_t domain; uint8_t index; } gb_packet;
typedef struct { int32_t stream; int32_t value; } gb_flow; // content of FLOW: any number of these
typedef struct { gb_packet packet; int32_t stream; int32_t note; } gb_data; // DATA: then bytes; none: the end

_Static_assert(sizeof(gb_packet) == 8 && sizeof(gb_flow) == 8 && sizeof(gb_data) == 16, "layouts of the packet ABI");

// Writes, then reads, as much as goes at once; waits at most `timeout` (negative: for ever) when nothing does. Both are
// plain byte streams: neither respects packet boundaries. Any of the pointers to results may be null.
// flags: bit 0 is set in the first call after the program was started or resumed.
__attribute__((import_module("gate"), import_name("io_65536"))) void gb_io(
    const gb_iovec *receive, int32_t receive_count, size_t *received,
    const gb_const_iovec *send, int32_t send_count, size_t *sent, int64_t timeout, uint64_t *flags);

// The descriptor of the same two byte streams for WASI's fd_read, fd_write and poll_oneoff.
__attribute__((import_module("gate"), import_name("fd_65536"))) int32_t gb_fd(void);

// ---------------------------------------------------------------------------------------------------- whole packets

// How much may arrive unread. The host sends only what was asked for: replies, notices and as many bytes of streams as
// credit was given, so this is at least all credit at once, plus a packet. Define it yourself for more streams.
#ifndef GB_BUFFER
#define GB_BUFFER (4 * GB_PACKET_MAX)
#endif

// One stream. Credit goes from reader to sender; each direction is closed by itself (half-close): a direction is over when
// its end of data has come and its reader has said that it wants no more.
typedef struct gb_stream {
    struct gb_stream *next;
    int32_t id;
    int16_t code;      // service that it belongs to
    bool input_ended;  // the other side sent its end of data
    bool output_ended; // we sent ours
    bool no_reader;    // the other side has said that it wants no more
    bool not_reading;  // we have said so
    uint32_t may_send; // credit that we have
    uint32_t asked;    // credit that we gave and that has not come back as bytes
    int32_t note;      // the last note of the other side, 0: none
} gb_stream;

// The program's end of the bus. Zero-initialised is ready to use.
typedef struct {
    gb_stream *streams;
    size_t length;                  // bytes in the buffer
    int services;                   // how many were discovered
    uint8_t state[GB_SERVICES_MAX]; // bit 0: available; follows the host's notices
    _Alignas(8) uint8_t buffer[GB_BUFFER];
} gb_bus;

static inline void gb_copy(void *to, const void *from, size_t size) { __builtin_memmove(to, from, size); }

static inline size_t gb_padded(size_t size) { return (size + GB_ALIGN - 1) & ~(size_t)(GB_ALIGN - 1); }

// Content of a packet and its size.
static inline uint8_t *gb_content(gb_packet *packet) { return (uint8_t *)(packet + 1); }
static inline size_t gb_content_size(const gb_packet *packet) { return packet->size - sizeof *packet; }

// A packet at `offset` of the buffer, null when it is not there as a whole.
static inline gb_packet *gb_at(gb_bus *bus, size_t offset)
{
    gb_packet *packet = (gb_packet *)(bus->buffer + offset);
    if (bus->length - offset < sizeof *packet)
        return NULL;
    if (packet->size < sizeof *packet || packet->size > GB_PACKET_MAX)
        __builtin_trap();
    return bus->length - offset < gb_padded(packet->size) ? NULL : packet;
}

// Cuts a packet down to `size` bytes; what follows it in the buffer moves up.
static inline void gb_shrink(gb_bus *bus, gb_packet *packet, size_t size)
{
    uint8_t *start = (uint8_t *)packet, *from = start + gb_padded(packet->size), *to = start + gb_padded(size);
    gb_copy(to, from, (size_t)(bus->buffer + bus->length - from));
    bus->length -= (size_t)(from - to);
    if (size > 0)
        packet->size = (uint32_t)size;
}

static inline void gb_remove(gb_bus *bus, gb_packet *packet) { gb_shrink(bus, packet, 0); }

static inline void gb_apply_state(gb_bus *bus, gb_packet *packet)
{
    const uint8_t *content = gb_content(packet);
    size_t count = gb_content_size(packet) < 2 ? 0 : content[0] | (size_t)content[1] << 8;
    if (count > GB_SERVICES_MAX || gb_content_size(packet) < 2 + count)
        __builtin_trap();
    bus->services = (int)count;
    gb_copy(bus->state, content + 2, count);
}

static inline bool gb_apply_credit(gb_bus *bus, int code, gb_flow flow)
{
    for (gb_stream *stream = bus->streams; stream; stream = stream->next) {
        if (stream->code != code || stream->id != flow.stream || stream->no_reader)
            continue; // it is over: what still comes is for the next one of its number
        stream->no_reader |= flow.value == 0;
        stream->may_send += flow.value > 0 ? (uint32_t)flow.value : 0;
        stream->note = flow.value < 0 ? flow.value : stream->note;
        return true;
    }
    return false;
}

// Takes credit for open streams out of a packet. What remains is for streams that we do not know yet: the reply that names
// a stream and its first credit come together.
static inline void gb_apply_flow(gb_bus *bus, gb_packet *packet)
{
    gb_flow *flow = (gb_flow *)gb_content(packet), *kept = flow;
    for (size_t left = gb_content_size(packet) / sizeof *flow; left > 0; left--, flow++)
        if (!gb_apply_credit(bus, packet->code, *flow))
            *kept++ = *flow;
    gb_shrink(bus, packet, (size_t)((uint8_t *)kept - (uint8_t *)packet));
}

// Takes in what only changes our books: notices about services, and credit for streams that are open.
static inline void gb_digest(gb_bus *bus)
{
    size_t offset = 0;
    for (gb_packet *packet; (packet = gb_at(bus, offset));) {
        int domain = packet->domain & GB_DOMAIN_MASK;
        if (packet->code == GB_DISCOVERY)
            gb_apply_state(bus, packet);
        if (domain == GB_FLOW)
            gb_apply_flow(bus, packet);
        bool done = domain == GB_FLOW ? packet->size == sizeof *packet : packet->code == GB_DISCOVERY && domain == GB_INFO;
        if (done)
            gb_remove(bus, packet);
        else
            offset += gb_padded(packet->size);
    }
}

// One step of the byte streams: sends from `out` what goes, receives what is there, waits when there is neither. The pieces
// of `out` shrink by what was sent. False: nothing moved within `timeout`.
static inline bool gb_step(gb_bus *bus, gb_const_iovec *out, int count, int64_t timeout)
{
    gb_iovec in = {bus->buffer + bus->length, sizeof bus->buffer - bus->length};
    size_t received = 0, sent = 0;
    if (in.size == 0 && count == 0)
        __builtin_trap(); // GB_BUFFER is too small for the credit that was given
    gb_io(&in, in.size > 0, &received, out, count, &sent, timeout, NULL);
    bool progress = received > 0 || sent > 0;
    bus->length += received;
    if (received > 0)
        gb_digest(bus);
    for (size_t part; sent > 0; sent -= part, out++) {
        part = sent < out->size ? sent : out->size;
        out->data = (const uint8_t *)out->data + part;
        out->size -= part;
    }
    return progress;
}

// Sends a whole packet: header (its size counts), then up to two pieces of content. Waits until it is gone; what arrives
// meanwhile is kept.
static inline void gb_send(gb_bus *bus, gb_packet header, const void *first, size_t first_size, const void *second,
                           size_t second_size)
{
    static const uint8_t zeros[GB_ALIGN];
    gb_const_iovec out[] = {
        {&header, sizeof header}, {first, first_size}, {second, second_size},
        {zeros, gb_padded(header.size) - header.size},
    };
    for (int next = 0, count = sizeof out / sizeof *out; next < count;) {
        gb_step(bus, out + next, count - next, -1);
        while (next < count && out[next].size == 0)
            next++;
    }
}

// Whether a packet is wanted: same code and domain, and for DATA the same stream (`stream` is ignored otherwise).
static inline bool gb_matches(const gb_packet *packet, int code, int domain, int32_t stream)
{
    if (packet->code != code || (packet->domain & GB_DOMAIN_MASK) != domain)
        return false;
    return domain != GB_DATA || (packet->size >= sizeof(gb_data) && ((const gb_data *)packet)->stream == stream);
}

// Waits for the next packet of a kind, in its order of arrival; others stay in the buffer for later. Null after `timeout`
// without news (negative: never). The packet stays in the buffer: `gb_remove` it when you are done.
static inline gb_packet *gb_take(gb_bus *bus, int code, int domain, int32_t stream, int64_t timeout)
{
    do {
        size_t offset = 0;
        for (gb_packet *packet; (packet = gb_at(bus, offset)); offset += gb_padded(packet->size))
            if (gb_matches(packet, code, domain, stream))
                return packet;
    } while (gb_step(bus, NULL, 0, timeout) || timeout < 0);
    return NULL;
}

// The oldest packet of any kind. Null after `timeout` without news (negative: never). `gb_remove` it when you are done.
static inline gb_packet *gb_receive(gb_bus *bus, int64_t timeout)
{
    while (!gb_at(bus, 0))
        if (!gb_step(bus, NULL, 0, timeout) && timeout >= 0)
            return NULL;
    return gb_at(bus, 0);
}

// ------------------------------------------------------------------------------------------------- blocking helpers

// Asks the host for a service by name. Returns its code, or GB_UNKNOWN when the host has no such service now (its code
// exists all the same: bus->services - 1, and bus->state[] follows when it appears). Ask once for each name.
static inline int gb_discover(gb_bus *bus, const char *name)
{
    size_t length = 0;
    for (; length <= GB_NAME_MAX && name[length]; length++)
        ;
    if (length == 0 || length > GB_NAME_MAX)
        return GB_TOO_LARGE;
    const uint8_t head[] = {1, 0, (uint8_t)length};
    gb_packet header = {(uint32_t)(sizeof header + sizeof head + length), GB_DISCOVERY, GB_CALL, 0};
    gb_send(bus, header, head, sizeof head, name, length);
    gb_remove(bus, gb_take(bus, GB_DISCOVERY, GB_CALL, 0, -1));
    int code = bus->services - 1;
    return code >= 0 && bus->state[code] & 1 ? code : GB_UNKNOWN;
}

// Calls a service and waits for its reply, whose content goes to `reply`. Returns its size, GB_TOO_LARGE when one of them
// does not fit. For several calls under way at once use gb_send and gb_take: `index` of a reply says which it answers.
static inline int gb_call(gb_bus *bus, int code, const void *content, size_t size, void *reply, size_t capacity)
{
    if (size > GB_PACKET_MAX - sizeof(gb_packet))
        return GB_TOO_LARGE;
    gb_packet header = {(uint32_t)(sizeof header + size), (int16_t)code, GB_CALL, 0};
    gb_send(bus, header, content, size, NULL, 0);
    gb_packet *packet = gb_take(bus, code, GB_CALL, 0, -1);
    size_t length = gb_content_size(packet);
    if (length <= capacity)
        gb_copy(reply, gb_content(packet), length);
    gb_remove(bus, packet);
    return length <= capacity ? (int)length : GB_TOO_LARGE;
}

// Starts to keep books about a stream whose id a service has given us. The stream must outlive its use.
static inline void gb_open(gb_bus *bus, int code, int32_t id, gb_stream *stream)
{
    *stream = (gb_stream){.next = bus->streams, .id = id, .code = (int16_t)code};
    bus->streams = stream;
    gb_digest(bus); // its first credit may be here already
}

// Waits until somebody connects to this program; `origin` is that service's code. 0, or GB_REFUSED.
static inline int gb_accept(gb_bus *bus, int origin, gb_stream *stream)
{
    struct { int32_t id; int16_t error; uint16_t reserved; } reply = {0};
    if (gb_call(bus, origin, NULL, 0, &reply, sizeof reply) != sizeof reply || reply.error != 0)
        return GB_REFUSED;
    gb_open(bus, origin, reply.id, stream);
    return 0;
}

// Gives the other side credit: it may send `bytes` more. 0: we want no more at all.
static inline void gb_ask(gb_bus *bus, gb_stream *stream, int32_t bytes)
{
    gb_flow flow = {stream->id, bytes};
    gb_packet header = {sizeof header + sizeof flow, stream->code, GB_FLOW, 0};
    stream->asked += (uint32_t)bytes;
    stream->not_reading |= bytes == 0;
    gb_send(bus, header, &flow, sizeof flow, NULL, 0);
}

// Waits for bytes and returns how many, at most `capacity` (> 0); 0 at the end of data. Gives credit as needed.
static inline int gb_read(gb_bus *bus, gb_stream *stream, void *to, size_t capacity)
{
    if (stream->input_ended || capacity == 0)
        return 0;
    uint32_t window = capacity < GB_DATA_MAX ? (uint32_t)capacity : GB_DATA_MAX;
    if (stream->asked <= window / 2 && !stream->not_reading)
        gb_ask(bus, stream, (int32_t)(window - stream->asked));
    gb_data *data = (gb_data *)gb_take(bus, stream->code, GB_DATA, stream->id, -1);
    size_t size = data->packet.size - sizeof *data, taken = size < capacity ? size : capacity;
    gb_copy(to, data + 1, taken);
    stream->input_ended = size == 0;
    stream->note = data->note ? data->note : stream->note;
    stream->asked -= taken;
    if (taken == size) {
        gb_remove(bus, &data->packet);
        return (int)taken;
    }
    gb_copy(data + 1, (uint8_t *)(data + 1) + taken, size - taken); // the rest stays for the next call
    gb_shrink(bus, &data->packet, sizeof *data + size - taken);
    return (int)taken;
}

// Sends bytes, as credit allows, and waits for credit. Returns `size`, or GB_CLOSED when the reader wants no more.
static inline int gb_write(gb_bus *bus, gb_stream *stream, const void *from, size_t size)
{
    for (size_t done = 0; done < size;) {
        while (stream->may_send == 0 && !stream->no_reader && !stream->output_ended)
            gb_step(bus, NULL, 0, -1);
        if (stream->no_reader || stream->output_ended)
            return GB_CLOSED;
        size_t part = size - done < stream->may_send ? size - done : stream->may_send;
        part = part < GB_DATA_MAX ? part : GB_DATA_MAX;
        const struct { int32_t stream, note; } head = {stream->id, 0};
        gb_packet header = {(uint32_t)(sizeof header + sizeof head + part), stream->code, GB_DATA, 0};
        stream->may_send -= (uint32_t)part;
        gb_send(bus, header, &head, sizeof head, (const uint8_t *)from + done, part);
        done += part;
    }
    return (int)size;
}

// Half-close: says that no more bytes will come from us. We may still read.
static inline void gb_end(gb_bus *bus, gb_stream *stream)
{
    const struct { int32_t stream, note; } head = {stream->id, 0};
    gb_packet header = {sizeof header + sizeof head, stream->code, GB_DATA, 0};
    if (!stream->output_ended)
        gb_send(bus, header, &head, sizeof head, NULL, 0);
    stream->output_ended = true;
}

// Closes both directions, waits until the other side has done the same (then everything we wrote has been taken) and
// forgets the stream. What was not read is lost.
static inline void gb_close(gb_bus *bus, gb_stream *stream)
{
    uint8_t rest[256];
    gb_end(bus, stream);
    if (!stream->not_reading)
        gb_ask(bus, stream, 0);
    while (gb_read(bus, stream, rest, sizeof rest) > 0)
        ;
    while (!stream->no_reader)
        gb_step(bus, NULL, 0, -1);
    gb_stream **link = &bus->streams;
    while (*link && *link != stream)
        link = &(*link)->next;
    if (*link)
        *link = stream->next;
}

#endif

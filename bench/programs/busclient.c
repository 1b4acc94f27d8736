// A raw client of the bus for measuring: blocking sockets, messages put together by hand, one line of JSON for each command.
// It speaks just enough of gatebus.v1 (level 0) as a stranger and believes its host: never use it for anything else.
//
//     busclient PORT MODULE start N          call -> first byte, call -> result; one at a time
//     busclient PORT MODULE rate N FLIGHT    calls per second
//     busclient PORT MODULE echo N FLIGHT    64 B messages there and back over one stream
//     busclient PORT MODULE stream MIB       bytes per second of a program that writes for ever
//     busclient PORT MODULE idle N STREAMS   connections with STREAMS instances each, held until a line comes on stdin
//     busclient 0 - ping N                   64 B over a TCP connection between two processes on two processors
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OPEN = 4, ACCEPT = 5, DATA = 6, CREDIT = 7, RESULT = 11, ERROR = 12, PING = 14 };
enum { SMALL = 64, WINDOW = 1 << 20, CHANNELS = 1 << 20 };

typedef struct { int fd; uint8_t *buffer; size_t position, length, capacity; uint32_t channel; } link_t;
typedef struct { int kind; uint64_t channel, size; const uint8_t *data; } message_t;

static uint16_t port;
static uint8_t module[32];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec * 1e-3;
}

static void write_all(int fd, const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t done = write(fd, data, size);
        if (done <= 0)
            die("write");
        data += done, size -= (size_t)done;
    }
}

static size_t put_uint(uint8_t *to, uint8_t major, uint64_t value)
{
    int bytes = value < 24 ? 0 : value < 1 << 8 ? 1 : value < 1 << 16 ? 2 : value >> 32 == 0 ? 4 : 8;
    to[0] = bytes == 0 ? major | (uint8_t)value : major | (bytes == 1 ? 24 : bytes == 2 ? 25 : bytes == 4 ? 26 : 27);
    for (int index = 0; index < bytes; index++)
        to[1 + index] = (uint8_t)(value >> 8 * (bytes - 1 - index));
    return 1 + (size_t)bytes;
}

static size_t put_text(uint8_t *to, const char *text)
{
    size_t size = strlen(text), head = put_uint(to, 0x60, size);
    memcpy(to + head, text, size);
    return head + size;
}

static size_t put_bytes(uint8_t *to, const uint8_t *data, size_t size)
{
    size_t head = put_uint(to, 0x40, size);
    memcpy(to + head, data, size);
    return head + size;
}

// A client's frame is masked; this mask changes nothing.
static size_t put_frame(uint8_t *to, const uint8_t *message, size_t size)
{
    size_t head = 2;
    to[0] = 0x82;
    if (size < 126)
        to[1] = 0x80 | (uint8_t)size;
    else
        to[1] = 0x80 | 126, to[2] = (uint8_t)(size >> 8), to[3] = (uint8_t)size, head = 4;
    memset(to + head, 0, 4);
    memcpy(to + head + 4, message, size);
    return head + 4 + size;
}

static void send_message(link_t *link, const uint8_t *message, size_t size)
{
    uint8_t frame[1024];
    write_all(link->fd, frame, put_frame(frame, message, size));
}

static int tcp(uint16_t to)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(to), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static link_t *dial(size_t capacity)
{
    link_t *link = calloc(1, sizeof *link);
    char head[4096], request[512];
    size_t size = 0;
    link->fd = tcp(port), link->capacity = capacity, link->buffer = malloc(capacity);
    int length = snprintf(request, sizeof request,
        "GET /bus HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: gatebus.v1\r\n\r\n", port);
    write_all(link->fd, (uint8_t *)request, (size_t)length);
    while (size < 4 || memcmp(head + size - 4, "\r\n\r\n", 4)) { // byte by byte: what follows belongs to the buffer
        if (size == sizeof head || read(link->fd, head + size, 1) != 1)
            die("upgrade");
        size++;
    }
    if (strncmp(head, "HTTP/1.1 101", 12))
        fprintf(stderr, "%.*s\n", (int)size, head), exit(1);
    uint8_t hello[256];
    size_t at = 0;
    hello[at++] = 0x82, hello[at++] = 0, hello[at++] = 0xa4;
    at += put_text(hello + at, "versions"), hello[at++] = 0x81, hello[at++] = 1;
    at += put_text(hello + at, "agent"), at += put_text(hello + at, "busclient");
    at += put_text(hello + at, "features"), hello[at++] = 0x80;
    at += put_text(hello + at, "challenge"), at += put_bytes(hello + at, module, sizeof module);
    send_message(link, hello, at);
    return link;
}

static uint64_t get_uint(const uint8_t **from)
{
    uint8_t kind = *(*from)++ & 31;
    uint64_t value = 0;
    if (kind < 24)
        return kind;
    for (int left = 1 << (kind - 24); left; left--)
        value = value << 8 | *(*from)++;
    return value;
}

static bool whole(link_t *link, message_t *message)
{
    size_t have = link->length - link->position, head = 2, size;
    const uint8_t *at = link->buffer + link->position;
    if (have < 2)
        return false;
    size = at[1];
    if (size == 126)
        head = 4, size = have < 4 ? SIZE_MAX : (size_t)at[2] << 8 | at[3];
    else if (size == 127) {
        head = 10, size = have < 10 ? SIZE_MAX : 0;
        for (int index = 2; size != SIZE_MAX && index < 10; index++)
            size = size << 8 | at[index];
    }
    if (size == SIZE_MAX || have - head < size || have < head)
        return false;
    link->position += head + size;
    if ((at[0] & 15) != 2)
        fprintf(stderr, "the host closed the link\n"), exit(1);
    const uint8_t *rest = at + head + 1;
    *message = (message_t){ .kind = (int)get_uint(&rest) };
    if (message->kind >= OPEN && message->kind <= PING && message->kind != 3)
        message->channel = get_uint(&rest);
    if (message->kind == DATA)
        message->size = get_uint(&rest), message->data = rest;
    if (message->kind == ERROR)
        fprintf(stderr, "error: %.*s\n", (int)(at + head + size - rest), rest), exit(1);
    return true;
}

static message_t next(link_t *link)
{
    message_t message;
    while (!whole(link, &message)) {
        if (link->position == link->length)
            link->position = link->length = 0;
        else if (link->capacity - link->length < 1 << 17 || link->capacity < 1 << 17) {
            memmove(link->buffer, link->buffer + link->position, link->length - link->position);
            link->length -= link->position, link->position = 0;
        }
        ssize_t got = read(link->fd, link->buffer + link->length, link->capacity - link->length);
        if (got <= 0)
            fprintf(stderr, "the host has gone\n"), exit(1);
        link->length += (size_t)got;
    }
    return message;
}

static message_t wanted(link_t *link, int kind)
{
    message_t message;
    do
        message = next(link);
    while (message.kind != kind);
    return message;
}

static uint32_t call(link_t *link)
{
    static uint64_t streams;
    uint8_t message[256], stream[16] = { 0 };
    size_t at = 0;
    uint64_t name[2] = { (uint64_t)getpid(), ++streams };
    memcpy(stream, name, sizeof name);
    message[at++] = 0x85, message[at++] = OPEN;
    at += put_uint(message + at, 0, ++link->channel);
    at += put_text(message + at, "call"), message[at++] = 0xa2;
    at += put_text(message + at, "stream"), at += put_bytes(message + at, stream, sizeof stream);
    at += put_text(message + at, "module"), at += put_bytes(message + at, module, sizeof module);
    at += put_uint(message + at, 0, WINDOW);
    send_message(link, message, at);
    return link->channel;
}

static void credit(link_t *link, uint32_t channel, uint64_t taken)
{
    uint8_t message[32];
    size_t at = 0;
    message[at++] = 0x84, message[at++] = CREDIT;
    at += put_uint(message + at, 0, channel), at += put_uint(message + at, 0, taken), at += put_uint(message + at, 0, WINDOW);
    send_message(link, message, at);
}

static int ascending(const void *left, const void *right)
{
    double one = *(const double *)left, other = *(const double *)right;
    return one < other ? -1 : one > other;
}

static void percentiles(const char *name, double *times, size_t count)
{
    qsort(times, count, sizeof *times, ascending);
    printf("\"%s\": {\"best\": %.2f, \"p50\": %.2f, \"p90\": %.2f, \"p99\": %.2f}", name, times[0], times[count / 2],
        times[count * 9 / 10], times[count * 99 / 100]);
}

static void measure_start(size_t count)
{
    link_t *link = dial(1 << 20);
    double *first = calloc(count, sizeof *first), *last = calloc(count, sizeof *last);
    for (size_t index = 0; index < count; index++) {
        double began = now();
        call(link);
        wanted(link, DATA);
        first[index] = now() - began;
        wanted(link, RESULT);
        last[index] = now() - began;
    }
    printf("{"), percentiles("first", first, count), printf(", "), percentiles("last", last, count), printf("}\n");
}

static void measure_rate(size_t count, size_t flight)
{
    link_t *link = dial(1 << 20);
    size_t begun = 0, ended = 0;
    double began = now();
    while (ended < count) {
        for (; begun - ended < flight && begun < count; begun++)
            call(link);
        wanted(link, RESULT);
        ended++;
    }
    printf("{\"rate\": %.1f}\n", (double)count / (now() - began) * 1e6);
}

// One write for everything that may be under way: a real client would do so, too.
static void measure_echo(size_t count, size_t flight)
{
    link_t *link = dial(1 << 20);
    uint8_t message[SMALL + 16], data[SMALL] = { 7 }, *frames = malloc(flight * (SMALL + 32));
    size_t warm = count / 10, total = count + warm, sent = 0;
    double *at = calloc(total, sizeof *at), *times = calloc(total, sizeof *times), began = 0;
    uint64_t received = 0, credited = 0;
    uint32_t channel = call(link);
    wanted(link, ACCEPT);
    size_t head = 0;
    message[head++] = 0x83, message[head++] = DATA, head += put_uint(message + head, 0, channel);
    head += put_bytes(message + head, data, sizeof data);
    while (received / SMALL < total) {
        size_t size = 0, before = received / SMALL;
        for (; sent - before < flight && sent < total; sent++)
            size += put_frame(frames + size, message, head), at[sent] = now();
        write_all(link->fd, frames, size);
        do
            received += wanted(link, DATA).size;
        while (received / SMALL == before);
        for (double time = now(); before < received / SMALL; before++)
            times[before] = time - at[before], began = before == warm ? time : began;
        if (received - credited > WINDOW / 4)
            credit(link, channel, received), credited = received;
    }
    double seconds = (now() - began) * 1e-6;
    printf("{"), percentiles("echo", times + warm, count), printf(", \"rate\": %.1f}\n", (double)(count - 1) / seconds);
}

static void measure_stream(size_t mebibytes)
{
    link_t *link = dial(4 << 20);
    uint64_t received = 0, credited = 0, total = (uint64_t)mebibytes << 20;
    double began = 0;
    uint32_t channel = call(link);
    while (received < total) {
        message_t message = wanted(link, DATA);
        if (!began)
            began = now(), total += message.size, received = 0;
        received += message.size;
        if (received - credited >= WINDOW / 4)
            credit(link, channel, received), credited = received;
    }
    printf("{\"mbs\": %.1f}\n", (double)received / (now() - began));
}

static void hold_idle(size_t links, size_t streams)
{
    double began = now();
    for (size_t index = 0; index < links; index++) {
        link_t *link = dial(8192);
        for (size_t stream = 0; stream < streams; stream++)
            call(link), wanted(link, DATA);
    }
    printf("{\"seconds\": %.2f}\n", (now() - began) * 1e-6);
    fflush(stdout);
    if (getchar() == EOF)
        return;
}

static void pin(int processor)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void measure_ping(size_t count)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    uint8_t data[SMALL] = { 0 };
    double *times = calloc(count, sizeof *times);
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1) || getsockname(listener, (struct sockaddr *)&address, &length))
        die("listen");
    pid_t child = fork();
    if (child == 0) {
        pin(1);
        int fd = accept(listener, NULL, NULL);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        for (ssize_t got; (got = read(fd, data, sizeof data)) > 0;)
            write_all(fd, data, (size_t)got);
        _exit(0);
    }
    pin(0);
    int fd = tcp(ntohs(address.sin_port));
    for (size_t index = 0; index < count; index++) {
        double began = now();
        write_all(fd, data, sizeof data);
        for (ssize_t got, left = sizeof data; left; left -= got)
            if ((got = read(fd, data, (size_t)left)) <= 0)
                die("read");
        times[index] = now() - began;
    }
    close(fd);
    waitpid(child, NULL, 0);
    printf("{"), percentiles("ping", times, count), printf("}\n");
}

int main(int count, char **arguments)
{
    if (count < 5)
        return fprintf(stderr, "usage: see the head of the source\n"), 2;
    port = (uint16_t)atoi(arguments[1]);
    for (size_t index = 0; index < sizeof module && strlen(arguments[2]) == 64; index++)
        sscanf(arguments[2] + 2 * index, "%2hhx", &module[index]);
    const char *what = arguments[3];
    size_t first = strtoul(arguments[4], NULL, 10), second = count > 5 ? strtoul(arguments[5], NULL, 10) : 1;
    if (getenv("BUSCLIENT_PROCESSOR"))
        pin(atoi(getenv("BUSCLIENT_PROCESSOR")));
    if (!strcmp(what, "start"))
        measure_start(first);
    else if (!strcmp(what, "rate"))
        measure_rate(first, second);
    else if (!strcmp(what, "echo"))
        measure_echo(first, second);
    else if (!strcmp(what, "stream"))
        measure_stream(first);
    else if (!strcmp(what, "idle"))
        hold_idle(first, second);
    else if (!strcmp(what, "ping"))
        measure_ping(first);
    return 0;
}

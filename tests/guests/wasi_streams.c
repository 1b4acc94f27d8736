// Copies standard input to standard output, waiting with poll before each read, as an event loop does; `reverse` for an
// argument: first everything in, then everything out.
#include "check.h"
#include <poll.h>
#include <unistd.h>

static void write_all(const char *from, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t part = write(1, from + done, size - done);
        CHECK(part > 0);
        done += (size_t)part;
    }
}

static void copy(void)
{
    static char buffer[100000];
    for (;;) {
        struct pollfd in = {.fd = 0, .events = POLLIN};
        CHECK(poll(&in, 1, -1) == 1);
        ssize_t size = read(0, buffer, sizeof buffer);
        CHECK(size >= 0);
        if (size == 0)
            return;
        write_all(buffer, (size_t)size);
    }
}

static void reverse(void)
{
    size_t size = 0, capacity = 1 << 16;
    char *all = malloc(capacity);
    for (ssize_t part; (part = read(0, all + size, capacity - size)) != 0;) {
        CHECK(part > 0);
        size += (size_t)part;
        if (size == capacity)
            CHECK((all = realloc(all, capacity *= 2)));
    }
    for (size_t i = 0; i < size / 2; i++) {
        char last = all[size - 1 - i];
        all[size - 1 - i] = all[i];
        all[i] = last;
    }
    write_all(all, size);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "reverse") == 0)
        reverse();
    else
        copy();
    return 0;
}

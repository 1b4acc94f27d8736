// Greets connections. Several entry functions, no `_start`: a run without a function ends at once with result 0.
#include "gate.h"

static gb_bus bus;
static const char greeting[] = "hello, world\n";
enum { GREETING = sizeof greeting - 1, REPL_INPUT = 4096 };

static int origin(void)
{
    int code = gb_discover(&bus, "origin");
    CHECK(code >= 0);
    return code;
}

static void greet_next(int code)
{
    gb_stream peer;
    CHECK(gb_accept(&bus, code, &peer) == 0);
    CHECK(gb_write(&bus, &peer, greeting, GREETING) == GREETING);
    gb_close(&bus, &peer);
}

ENTRY(greet) { greet_next(origin()); }

ENTRY(twice)
{
    gb_stream peer;
    CHECK(gb_accept(&bus, origin(), &peer) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(gb_write(&bus, &peer, greeting, GREETING) == GREETING);
    gb_close(&bus, &peer);
}

// One connection after the other, for ever.
ENTRY(multi)
{
    for (int code = origin();;)
        greet_next(code);
}

// Answers each packet of input with one line. Gives credit once, so it stops after 4,096 bytes.
ENTRY(repl)
{
    static uint8_t input[REPL_INPUT];
    gb_stream peer;
    CHECK(gb_accept(&bus, origin(), &peer) == 0);
    gb_ask(&bus, &peer, REPL_INPUT);
    peer.not_reading = true; // keeps gb_read from giving more credit
    for (size_t left = sizeof input; left > 0;) {
        int size = gb_read(&bus, &peer, input, sizeof input);
        if (size == 0)
            break;
        left -= (size_t)size;
        CHECK(gb_write(&bus, &peer, greeting, GREETING) == GREETING);
    }
    gb_ask(&bus, &peer, 0);
    gb_close(&bus, &peer);
}

ENTRY(fail) { proc_exit(1); }

// Sends eight bytes to the service "test", which echoes calls. 1 when they do not come back or nobody is there.
RESULT(test_ext)
{
    const char sent[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    char back[8] = {0};
    int code = gb_discover(&bus, "test");
    if (code < 0)
        return 1;
    return gb_call(&bus, code, sent, sizeof sent, back, sizeof back) != 8 || __builtin_memcmp(sent, back, 8) != 0;
}

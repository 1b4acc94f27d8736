// Discovers services at run time and uses them: the catalog of what is here, random bytes, and who we are. Prints to origin.
#include "gatebus.h"

static gb_bus bus;
static gb_stream out;

static void print(const char *text) { gb_write(&bus, &out, text, __builtin_strlen(text)); }

// Asks the catalog; a host may offer more than is used here, so the answer is only looked at.
static void show_catalog(int catalog)
{
    static char list[8192];
    int size = gb_call(&bus, catalog, "json", 4, list, sizeof list - 1);
    if (size < 0)
        size = 0;
    list[size] = 0;
    print(__builtin_strstr(list, "\"origin\"") ? "catalog: lists origin among its services\n" : "catalog: no origin?\n");
}

// Asks twice for eight random bytes: they come, and are not the same.
static void show_random(int service)
{
    const uint8_t wanted = 8;
    uint8_t first[8] = {0}, second[8] = {0};
    int size = gb_call(&bus, service, &wanted, 1, first, sizeof first);
    size += gb_call(&bus, service, &wanted, 1, second, sizeof second);
    bool fresh = size == 16 && __builtin_memcmp(first, second, 8) != 0;
    print(fresh ? "random: two times eight bytes, not the same\n" : "random: not what was asked for\n");
}

// Byte 0 asks for the principal that this program runs for, byte 1 for the program's own id.
static void show_identity(int service)
{
    const uint8_t principal = 0, instance = 1;
    char text[128];
    int size = gb_call(&bus, service, &principal, 1, text, sizeof text);
    print("identity: runs for ");
    if (size > 0)
        gb_write(&bus, &out, text, (size_t)size);
    else
        print("nobody in particular");
    print(gb_call(&bus, service, &instance, 1, text, sizeof text) == 36 ? ", has an id of 36 letters\n" : ", has no id\n");
}

int main(void)
{
    int origin = gb_discover(&bus, "origin");
    if (origin < 0 || gb_accept(&bus, origin, &out) < 0)
        return 1;
    int catalog = gb_discover(&bus, "catalog"), random = gb_discover(&bus, "random"), identity = gb_discover(&bus, "identity");
    if (catalog < 0 || random < 0 || identity < 0)
        return 2;
    show_catalog(catalog);
    show_random(random);
    show_identity(identity);
    print(gb_discover(&bus, "no-such-service") == GB_UNKNOWN ? "no-such-service: is not here, as it should be\n" : "?\n");
    gb_close(&bus, &out);
    return 0;
}

// A compressor at work: 6 MiB of text that a counter makes, deflated at the default level, inflated again and compared.
// Prints the size and the check sum of the compressed bytes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "zlib.h"

enum { SIZE = 6 << 20, WORDS = 512, LONGEST = 12 };

static unsigned random_state = 1;

static unsigned roll(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

// Words of a made-up language; short and frequent ones come more often, as in life.
static void write_text(unsigned char *text)
{
    static char words[WORDS][LONGEST + 1];
    for (int word = 0; word < WORDS; word++) {
        int length = 2 + (int)(roll() % (LONGEST - 1));
        for (int at = 0; at < length; at++)
            words[word][at] = (char)('a' + roll() % 26);
    }
    for (size_t at = 0; at < SIZE;) {
        const char *word = words[(roll() % WORDS) * (roll() % WORDS) / WORDS];
        for (; *word && at < SIZE; word++)
            text[at++] = (unsigned char)*word;
        if (at < SIZE)
            text[at++] = roll() % 12 ? ' ' : '\n';
    }
}

int main(void)
{
    unsigned char *text = malloc(SIZE), *again = malloc(SIZE), *small = malloc(compressBound(SIZE));
    uLongf small_size = compressBound(SIZE), size = SIZE;
    if (!text || !again || !small)
        return 1;
    write_text(text);
    if (compress2(small, &small_size, text, SIZE, Z_DEFAULT_COMPRESSION) != Z_OK)
        return 2;
    if (uncompress(again, &size, small, small_size) != Z_OK || size != SIZE || memcmp(text, again, SIZE) != 0)
        return 3;
    printf("%lu %08lx\n", (unsigned long)small_size, crc32(0, small, (uInt)small_size));
    return 0;
}

// What a chat room knows: people, bots, history, and how lines are made. No packets here.
#ifndef ROOM_H
#define ROOM_H

#include "gatebus_peers.h"

enum {
    PEOPLE = 32,     // as many connections as a program may have
    BOTS = 16,
    NAME = 24,       // bytes of a name
    LINE = 800,      // bytes of what somebody says; the rest is cut
    TEXT = 4096,     // bytes of the longest line that the room makes (the list of who is here)
    QUEUE = 65536,   // bytes that wait for one person: all of the history and a screenful
    HISTORY = 50,    // lines that a newcomer sees
    CREDIT = 1024,   // bytes that one person may have on the way to us
    PATIENCE = 10,   // lines that one may say at once; two more each second
};

typedef struct {
    bool here, leaving;
    char name[NAME + 1];
    gb_stream stream;
    char line[LINE + 1]; // one more than is used: whether a line is to be cut, and where a character ends
    size_t length;       // of the unfinished line
    char queue[QUEUE];
    size_t queued;
    uint32_t missed, owed; // lines, bytes of credit
    uint64_t spoke;        // when, in milliseconds
    uint32_t left;         // lines that may be said now, in thousandths
} person;

typedef struct { char text[LINE + NAME + 8]; size_t size; } history_line;
typedef struct { uint32_t number; char name[NAME + 1]; } bot;
typedef struct { char *at; size_t size; } text;

static person people[PEOPLE];
static bot bot_names[BOTS];
static history_line history[HISTORY];
static int first, kept;
static uint32_t guests;
static char topic[200];

__attribute__((import_module("wasi_snapshot_preview1"), import_name("clock_time_get"))) int room_clock(
    uint32_t clock, uint64_t precision, uint64_t *now);

// ------------------------------------------------------------------------------------------------------------- lines

// There is one line under construction at a time.
static inline text start(void)
{
    static char space[TEXT];
    return (text){space, 0};
}

static inline void put_bytes(text *line, const char *bytes, size_t size)
{
    size = line->size + size <= TEXT ? size : TEXT - line->size;
    gb_copy(line->at + line->size, bytes, size);
    line->size += size;
}

static inline void put(text *line, const char *word) { put_bytes(line, word, gb_length(word)); }

static inline void put_number(text *line, uint32_t number)
{
    char digits[10], *at = digits + sizeof digits;
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    put_bytes(line, at, (size_t)(digits + sizeof digits - at));
}

// Bytes of the character that begins at `at`; 0: that is no UTF-8. After table 3-7 of the Unicode standard: which second byte
// may follow which first one (shortest form, no surrogates, nothing behind U+10FFFF); every other one is 80 to BF.
static inline size_t character(const char *at, size_t size)
{
    static const struct { uint8_t first, last, low, high, size; } forms[] = {
        {0x00, 0x7f, 0x00, 0xff, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    const uint8_t *bytes = (const uint8_t *)at;
    size_t form = 0;
    while (form < sizeof forms / sizeof *forms && !(forms[form].first <= *bytes && *bytes <= forms[form].last))
        form++;
    if (form == sizeof forms / sizeof *forms || forms[form].size > size)
        return 0;
    for (size_t i = 1; i < forms[form].size; i++)
        if (bytes[i] < (i == 1 ? forms[form].low : 0x80) || bytes[i] > (i == 1 ? forms[form].high : 0xbf))
            return 0;
    return forms[form].size;
}

// As much of the beginning of a text as has room, in whole characters.
static inline size_t cut(const char *line, size_t size, size_t room)
{
    if (size <= room)
        return size;
    while (room > 0 && ((uint8_t)line[room] & 0xc0) == 0x80) // in the middle of one
        room--;
    return room;
}

// Of ASCII, or the 32 that Unicode has behind it (U+0080 to U+009F), which terminals obey too.
static inline bool is_control(const char *at, size_t wide)
{
    uint8_t first = (uint8_t)at[0];
    return (wide == 1 && (first < ' ' || first == 0x7f)) || (wide == 2 && first == 0xc2 && (uint8_t)at[1] < 0xa0);
}

// Control characters become spaces, those at both ends go, and each byte that is no UTF-8 becomes a question mark.
static inline size_t clean(char *line, size_t size)
{
    size_t begin = 0;
    for (size_t i = 0, wide; i < size; i += wide ? wide : 1) {
        wide = character(line + i, size - i);
        if (wide == 0)
            line[i] = '?';
        else if (is_control(line + i, wide))
            line[i] = line[i + wide - 1] = ' ';
    }
    while (size > 0 && line[size - 1] == ' ')
        size--;
    while (begin < size && line[begin] == ' ')
        begin++;
    gb_copy(line, line + begin, size - begin);
    return size - begin;
}

// The length of `word` when the line begins with it, else 0.
static inline size_t begins(const char *line, size_t size, const char *word)
{
    size_t length = gb_length(word);
    return size >= length && __builtin_memcmp(line, word, length) == 0 ? length : 0;
}

// ------------------------------------------------------------------------------------------------------------- names

static inline bool is_called(const char *name, const char *other, size_t size)
{
    return gb_length(name) == size && __builtin_memcmp(name, other, size) == 0;
}

static inline bool is_taken(const char *name, size_t size)
{
    for (int i = 0; i < PEOPLE; i++)
        if (people[i].here && is_called(people[i].name, name, size))
            return true;
    for (int i = 0; i < BOTS; i++)
        if (bot_names[i].number && is_called(bot_names[i].name, name, size))
            return true;
    return is_called("room", name, size);
}

static inline bool is_name(const char *name, size_t size)
{
    for (size_t i = 0, wide; i < size; i += wide) {
        char c = name[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        wide = character(name + i, size - i);
        if (wide == 0 || is_control(name + i, wide) || (wide == 1 && !plain && c != '-' && c != '_' && c != '.'))
            return false;
    }
    return size > 0 && size <= NAME;
}

// What is wrong with a name that somebody wants; null: nothing.
static inline const char *name_problem(const char *name, size_t size)
{
    if (!is_name(name, size))
        return "a name is at most 24 letters, digits, - _ or .";
    return is_taken(name, size) ? "that name is taken" : NULL;
}

// ------------------------------------------------------------------------------------------------------------ people

static inline person *free_seat(void)
{
    for (int i = 0; i < PEOPLE; i++)
        if (!people[i].here)
            return &people[i];
    return NULL;
}

// Who still writes: a newcomer may have the number of somebody who has left a moment ago.
static inline person *person_of(int32_t id)
{
    for (int i = 0; i < PEOPLE; i++)
        if (people[i].here && !people[i].stream.input_ended && people[i].stream.id == id)
            return &people[i];
    return NULL;
}

// A newcomer has a name at once: guest-1, guest-2 ...
static inline void seat(person *who)
{
    *who = (person){.left = PATIENCE * 1000};
    do {
        text name = {who->name, 0};
        put(&name, "guest-");
        put_number(&name, ++guests);
        who->name[name.size] = 0;
    } while (is_taken(who->name, gb_length(who->name)));
    who->here = true;
}

static inline void forget(gb_bus *bus, person *who)
{
    gb_stream **link = &bus->streams;
    while (*link && *link != &who->stream)
        link = &(*link)->next;
    if (*link)
        *link = who->stream.next;
    who->here = false;
}

// A bucket of lines, refilled by two each second.
static inline bool may_speak(person *who)
{
    uint64_t now = 0;
    room_clock(1, 1000000, &now);
    now /= 1000000;
    uint64_t more = who->spoke ? (now - who->spoke) * 2 : 0;
    who->left = more > PATIENCE * 1000 - who->left ? PATIENCE * 1000 : who->left + (uint32_t)more;
    who->spoke = now;
    if (who->left < 1000)
        return false;
    who->left -= 1000;
    return true;
}

// -------------------------------------------------------------------------------------------------------------- bots

static inline const char *bot_called(uint32_t number)
{
    for (int i = 0; i < BOTS; i++)
        if (number && bot_names[i].number == number)
            return bot_names[i].name;
    return NULL;
}

// A program with a proper name that nobody has; others may listen, but are not heard.
static inline bool add_bot(gb_letter letter)
{
    size_t at = sizeof(gb_letter_head);
    gb_text name = gb_get_text(letter.packet, &at);
    if (name_problem((const char *)name.text, name.size))
        return false;
    for (int i = 0; i < BOTS; i++)
        if (!bot_names[i].number) {
            bot_names[i].number = letter.number;
            gb_copy(bot_names[i].name, name.text, name.size);
            bot_names[i].name[name.size] = 0;
            return true;
        }
    return false;
}

static inline void remove_bot(uint32_t number)
{
    for (int i = 0; i < BOTS; i++)
        if (bot_names[i].number == number)
            bot_names[i].number = 0;
}

#endif

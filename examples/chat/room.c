// A chat room: people are connections (a browser tab, a terminal), bots are programs of the same principal. Lines in, lines
// out; README.md has the protocol. One loop, nothing blocks on one person: everybody has a queue, and who does not read
// misses lines and is told how many.
#define GB_BUFFER (2 << 20) // all that may arrive: a packet of 24 bytes for each byte of credit of everybody
#include "gatebus_peers.h"
#include "room.h"

static gb_bus bus;
static gb_group bots;
static int origin;
static bool accepting;

// ------------------------------------------------------------------------------------------------- what people see

// Puts a line into a person's queue, or counts it as missed.
static void show(person *to, const char *line, size_t size)
{
    if (!to->here || to->leaving)
        return;
    if (to->queued + size + 1 > QUEUE) {
        to->missed++;
        return;
    }
    gb_copy(to->queue + to->queued, line, size);
    to->queue[to->queued + size] = '\n';
    to->queued += size + 1;
}

static void remember(const char *line, size_t size)
{
    history_line *last = &history[(first + kept) % HISTORY];
    gb_copy(last->text, line, size);
    last->size = size;
    if (kept < HISTORY)
        kept++;
    else
        first = (first + 1) % HISTORY;
}

// To everybody, and to the bots.
static void announce(text line)
{
    for (int i = 0; i < PEOPLE; i++)
        show(&people[i], line.at, line.size);
    if (bots.code > 0)
        gb_group_tell(&bus, &bots, GB_EVERYBODY, line.at, line.size);
}

static void say(const char *name, const char *said, size_t size)
{
    text line = start();
    put(&line, "<");
    put(&line, name);
    put(&line, "> ");
    put_bytes(&line, said, size);
    remember(line.at, line.size);
    announce(line);
}

static void tell(person *to, const char *kind, const char *said)
{
    text line = start();
    put(&line, kind);
    put(&line, said);
    show(to, line.at, line.size);
}

static void announce_name(const char *kind, const char *name)
{
    text line = start();
    put(&line, kind);
    put(&line, name);
    announce(line);
}

static void tell_who(person *to)
{
    text line = start();
    put(&line, "?");
    for (int i = 0; i < PEOPLE + BOTS; i++)
        if (i < PEOPLE ? people[i].here && !people[i].leaving : bot_names[i - PEOPLE].number != 0) {
            put(&line, " ");
            put(&line, i < PEOPLE ? people[i].name : bot_names[i - PEOPLE].name);
        }
    show(to, line.at, line.size);
}

static void welcome(person *to)
{
    if (topic[0])
        tell(to, "# topic: ", topic);
    for (int i = 0; i < kept; i++) {
        const history_line *old = &history[(first + i) % HISTORY];
        text line = start();
        put(&line, "|");
        put_bytes(&line, old->text, old->size);
        show(to, line.at, line.size);
    }
    tell_who(to);
    tell(to, "# you are ", to->name);
}

// ---------------------------------------------------------------------------------------------------- what people do

static void rename_person(person *who, const char *name, size_t size)
{
    const char *problem = name_problem(name, size);
    if (problem) {
        tell(who, "! ", problem);
        return;
    }
    text line = start();
    put(&line, "= ");
    put(&line, who->name);
    gb_copy(who->name, name, size);
    who->name[size] = 0;
    put(&line, " ");
    put(&line, who->name);
    announce(line);
}

static void set_topic(person *who, const char *said, size_t size)
{
    size = cut(said, size, sizeof topic - 1);
    gb_copy(topic, said, size);
    topic[size] = 0;
    text line = start();
    put(&line, "# ");
    put(&line, who->name);
    put(&line, " set the topic: ");
    put(&line, topic);
    announce(line);
}

static void leave(person *who)
{
    if (who->leaving)
        return;
    who->leaving = true; // what is queued still goes
    announce_name("- ", who->name);
}

static void command(person *who, const char *line, size_t size)
{
    size_t skip;
    if ((skip = begins(line, size, "/name ")))
        rename_person(who, line + skip, size - skip);
    else if ((skip = begins(line, size, "/topic ")))
        set_topic(who, line + skip, size - skip);
    else if (size == 4 && begins(line, size, "/who"))
        tell_who(who);
    else if (size == 6 && begins(line, size, "/leave"))
        leave(who);
    else
        tell(who, "! ", "there is /name NAME, /topic TEXT, /who and /leave");
}

static void handle_line(person *who, char *line, size_t size)
{
    size = clean(line, cut(line, size, LINE));
    if (size == 0)
        return;
    if (!may_speak(who))
        tell(who, "! ", "slower, please: that was not said");
    else if (line[0] == '/')
        command(who, line, size);
    else
        say(who->name, line, size);
}

// Bytes of one person: whole lines are handled, the rest waits. A line that is too long is cut.
static void hear(person *who, const char *data, size_t size)
{
    for (size_t i = 0; i < size && !who->leaving; i++) {
        if (data[i] == '\n') {
            handle_line(who, who->line, who->length);
            who->length = 0;
        } else if (who->length < sizeof who->line) {
            who->line[who->length++] = data[i];
        }
    }
}

// ------------------------------------------------------------------------------------------------------ connections

static void ask_for_connection(void)
{
    gb_packet call = {sizeof call, (int16_t)origin, GB_CALL, 0};
    if (accepting || !free_seat())
        return;
    accepting = true;
    gb_send(&bus, call, NULL, 0, NULL, 0);
}

static void enter(int32_t id)
{
    person *who = free_seat();
    seat(who);
    gb_open(&bus, origin, id, &who->stream);
    gb_ask(&bus, &who->stream, CREDIT);
    announce_name("+ ", who->name);
    welcome(who);
}

static void handle_data(const gb_data *data)
{
    person *who = person_of(data->stream);
    size_t size = data->packet.size - sizeof *data;
    if (!who)
        return;
    if (size == 0) {
        who->stream.input_ended = true;
        leave(who);
        return;
    }
    who->stream.asked -= (uint32_t)size;
    who->owed += (uint32_t)size;
    hear(who, (const char *)(data + 1), size);
}

static void handle_bot(gb_letter letter)
{
    if (letter.kind == GB_JOINED && add_bot(letter))
        announce_name("+ ", bot_called(letter.number));
    if (letter.kind == GB_LEFT && bot_called(letter.number)) {
        announce_name("- ", bot_called(letter.number));
        remove_bot(letter.number);
    }
    if (letter.kind == GB_DIRECT && bot_called(letter.number)) {
        static char line[LINE];
        size_t size = cut((const char *)letter.content, letter.size, LINE);
        gb_copy(line, letter.content, size);
        size = clean(line, size);
        if (size > 0)
            say(bot_called(letter.number), line, size);
    }
}

static void handle_packet(gb_packet *packet)
{
    int domain = packet->domain & GB_DOMAIN_MASK;
    if (packet->code == origin && domain == GB_CALL) {
        accepting = false;
        enter(*(int32_t *)(void *)gb_content(packet));
    } else if (packet->code == origin && domain == GB_DATA) {
        handle_data((gb_data *)(void *)packet);
    } else if (packet->code == bots.code && domain == GB_INFO) {
        handle_bot(gb_group_read(packet));
    }
}

// Sends what credit allows; ends what is to end; forgets who is gone.
static void serve(person *who)
{
    if (who->missed && who->queued < QUEUE / 2) {
        text line = start();
        put(&line, "# you missed ");
        put_number(&line, who->missed);
        put(&line, " lines");
        who->missed = 0;
        show(who, line.at, line.size);
    }
    size_t size = who->queued < who->stream.may_send ? who->queued : who->stream.may_send;
    if (who->stream.no_reader) {
        who->queued = size = 0;
        leave(who);
    }
    if (size > 0) {
        gb_write(&bus, &who->stream, who->queue, size); // within its credit: does not wait for the person
        who->queued -= size;
        gb_copy(who->queue, who->queue + size, who->queued);
    }
    if (who->leaving && who->queued == 0) {
        gb_end(&bus, &who->stream);
        if (!who->stream.not_reading)
            gb_ask(&bus, &who->stream, 0);
    } else if (who->owed >= CREDIT / 2 && !who->leaving) {
        gb_ask(&bus, &who->stream, (int32_t)who->owed);
        who->owed = 0;
    }
    if (who->stream.output_ended && who->stream.input_ended && who->stream.no_reader)
        forget(&bus, who);
}

int main(void)
{
    origin = gb_discover(&bus, "origin");
    int group = gb_discover(&bus, "group");
    if (origin < 0)
        return 1;
    if (group >= 0 && gb_group_join(&bus, group, "chat", "room", "a chat room", GB_WATCH, &bots) != 0)
        bots.code = 0;
    for (;;) {
        for (gb_packet *packet; (packet = gb_at(&bus, 0));) {
            handle_packet(packet);
            gb_remove(&bus, packet);
        }
        for (int i = 0; i < PEOPLE; i++)
            if (people[i].here)
                serve(&people[i]);
        ask_for_connection();
        if (!gb_at(&bus, 0))
            gb_step(&bus, NULL, 0, -1);
    }
}

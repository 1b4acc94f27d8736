// What tests/data/snapshots-1/wasi.gbsnap was when it was stopped: it keeps a diary of its input in a file, sleeps where an 's' is
// written, and when its input ends it reads out what it has written, from both sides of the stop.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    FILE *diary = fopen("/diary", "w+");
    if (!diary)
        return 1;
    fprintf(diary, "%s:", argc > 1 ? argv[1] : "nobody");
    char c;
    while (read(0, &c, 1) == 1) {
        if (c == 's') {
            printf("asleep\n");
            fflush(stdout);
            sleep(2);
        } else {
            fputc(c, diary);
        }
    }
    char text[256];
    rewind(diary);
    size_t size = fread(text, 1, sizeof text, diary);
    fwrite(text, 1, size, stdout);
    return 0;
}

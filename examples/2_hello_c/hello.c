// An ordinary C program: arguments, environment, standard input and output, files, an exit code.
#include <stdio.h>
#include <stdlib.h>

static int count_lines(FILE *in)
{
    int lines = 0;
    for (int c; (c = getc(in)) != EOF;)
        lines += c == '\n';
    return lines;
}

int main(int argc, char **argv)
{
    const char *language = getenv("LANGUAGE");
    printf("hello, %s\n", argc > 1 ? argv[1] : "world");
    printf("language: %s\n", language ? language : "not set");
    printf("lines on standard input: %d\n", count_lines(stdin));

    // The program has a file system of its own. It is empty unless --dir fills it, and nothing in it is the host's.
    FILE *file = fopen("/note.txt", "w+");
    if (!file)
        return EXIT_FAILURE;
    fprintf(file, "one\ntwo\nthree\n");
    rewind(file);
    printf("lines in its own file: %d\n", count_lines(file));
    printf("the host's password file: %s\n", fopen("/etc/passwd", "r") ? "readable!" : "does not exist here");
    return 7;
}

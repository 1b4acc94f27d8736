// Shows what it was given: arguments, environment, standard input. Exits with the number in the variable EXIT.
#include "check.h"
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        printf("argument %d: <%s>\n", i, argv[i]);
    for (char **variable = environ; *variable; variable++)
        printf("variable: <%s>\n", *variable);
    long total = 0;
    char buffer[1000];
    for (ssize_t size; (size = read(0, buffer, sizeof buffer)) != 0; total += size)
        CHECK(size > 0);
    CHECK(read(0, buffer, 1) == 0); // the end stays the end
    printf("input: %ld bytes\n", total);
    fprintf(stderr, "to standard error\n");
    const char *code = getenv("EXIT");
    return code ? atoi(code) : 0;
}

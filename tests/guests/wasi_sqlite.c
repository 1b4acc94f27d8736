// A shell for SQLite: runs the statements on standard input in the database file that is named, prints rows with bars.
// Built with SQLite's own sources by the Makefile.
#include "sqlite3.h"
#include <stdio.h>
#include <stdlib.h>

static int print_row(void *unused, int columns, char **values, char **names)
{
    for (int i = 0; i < columns; i++)
        printf("%s%s", i ? "|" : "", values[i] ? values[i] : "NULL");
    putchar('\n');
    return 0;
}

static char *read_all(FILE *in)
{
    size_t size = 0, capacity = 1 << 16;
    char *all = malloc(capacity);
    for (size_t part; all && (part = fread(all + size, 1, capacity - size - 1, in)) > 0;) {
        size += part;
        if (capacity - size == 1)
            all = realloc(all, capacity *= 2);
    }
    if (all)
        all[size] = 0;
    return all;
}

int main(int argc, char **argv)
{
    sqlite3 *database;
    char *problem = NULL, *statements = read_all(stdin);
    if (argc != 2 || !statements || sqlite3_open(argv[1], &database) != SQLITE_OK)
        return 2;
    if (sqlite3_exec(database, statements, print_row, NULL, &problem) != SQLITE_OK) {
        fprintf(stderr, "%s\n", problem);
        return 1;
    }
    return sqlite3_close(database) == SQLITE_OK ? 0 : 3;
}

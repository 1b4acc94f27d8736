// A shell for SQLite: runs the statements on standard input in the database file that is named, prints rows with bars.
// Built with SQLite's own sources by the Makefile. Two functions more, for those who stop it: nap(milliseconds) and descend(levels).
#include "sqlite3.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int print_row(void *unused, int columns, char **values, char **names)
{
    for (int i = 0; i < columns; i++)
        printf("%s%s", i ? "|" : "", values[i] ? values[i] : "NULL");
    putchar('\n');
    return 0;
}

static sqlite3_int64 milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

// SQLite's own sleep, as of a database that is locked. Gives how long it was.
static void nap(sqlite3_context *context, int count, sqlite3_value **values)
{
    sqlite3_int64 began = milliseconds();
    sqlite3_sleep(sqlite3_value_int(values[0]));
    sqlite3_result_int64(context, milliseconds() - began);
}

static int keep_number(void *number, int columns, char **values, char **names)
{
    *(int *)number = atoi(values[0]);
    return 0;
}

// A statement inside of a statement inside of a statement. Every level says so on the way down and on the way up.
static void descend(sqlite3_context *context, int count, sqlite3_value **values)
{
    int level = sqlite3_value_int(values[0]), below = 1;
    printf("down %d\n", level);
    if (level) {
        char *statement = sqlite3_mprintf("select descend(%d) * 17 + %d", level - 1, level);
        if (sqlite3_exec(sqlite3_context_db_handle(context), statement, keep_number, &below, NULL) != SQLITE_OK)
            sqlite3_result_error_code(context, SQLITE_ERROR);
        sqlite3_free(statement);
    }
    printf("up %d %d\n", level, below);
    sqlite3_result_int(context, below % 1000003);
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
    if (sqlite3_create_function(database, "nap", 1, SQLITE_UTF8, NULL, nap, NULL, NULL) != SQLITE_OK
        || sqlite3_create_function(database, "descend", 1, SQLITE_UTF8, NULL, descend, NULL, NULL) != SQLITE_OK)
        return 2;
    if (sqlite3_exec(database, statements, print_row, NULL, &problem) != SQLITE_OK) {
        fprintf(stderr, "%s\n", problem);
        return 1;
    }
    return sqlite3_close(database) == SQLITE_OK ? 0 : 3;
}

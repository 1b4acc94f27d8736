// A database at work: a fixed batch of SQL on a database in memory. Prints one line that follows from all of it.
#include "sqlite3.h"
#include <stdio.h>

static const char BATCH[] =
    "create table item(id integer primary key, kind integer, price real, name text);"
    "begin;"
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < 30000)"
    " insert into item select i, i * 7919 % 97, (i * 31 % 1000) / 8.0, 'item ' || (i * 2654435761 % 100003) from n;"
    "commit;"
    "create index by_kind on item(kind, price);"
    "create index by_name on item(name);"
    "update item set price = price * 1.25 where kind % 3 = 0;"
    "delete from item where name like '%77%' and id % 2 = 1;"
    "create table total as select kind, count(*) as many, sum(price) as worth, max(name) as last from item group by kind;"
    "insert into total select a.kind, count(*), sum(a.price - b.price), min(b.name) from item a join item b"
    " on b.kind = a.kind + 1 and b.price = a.price group by a.kind;";
static const char RESULT[] =
    "select count(*), sum(many), printf('%.3f', sum(worth)), max(last),"
    " (select group_concat(name, ',') from (select name from item where kind = 5 order by price desc, name limit 3)) from total";

static int print_row(void *unused, int columns, char **values, char **names)
{
    for (int i = 0; i < columns; i++)
        printf("%s%s", i ? "|" : "", values[i] ? values[i] : "NULL");
    putchar('\n');
    return 0;
}

int main(void)
{
    sqlite3 *database;
    char *problem = NULL;
    if (sqlite3_open(":memory:", &database) != SQLITE_OK)
        return 2;
    if (sqlite3_exec(database, BATCH, NULL, NULL, &problem) != SQLITE_OK
        || sqlite3_exec(database, RESULT, print_row, NULL, &problem) != SQLITE_OK) {
        fprintf(stderr, "%s\n", problem);
        return 1;
    }
    return sqlite3_close(database) == SQLITE_OK ? 0 : 3;
}

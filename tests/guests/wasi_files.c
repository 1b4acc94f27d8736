// The private file system through POSIX calls: files, directories, links, times, and the errors of each.
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void expect_file(const char *path, const char *text)
{
    char content[256] = "";
    FILE *file = fopen(path, "r");
    CHECK(file);
    CHECK(fread(content, 1, sizeof content - 1, file) == strlen(text) && strcmp(content, text) == 0 && fclose(file) == 0);
}

static long size_of(const char *path)
{
    struct stat facts;
    CHECK(stat(path, &facts) == 0);
    return (long)facts.st_size;
}

static void reads_and_writes(void)
{
    write_file("/a", "one");
    expect_file("/a", "one");
    expect_file("a", "one"); // the working directory is the root
    FILE *file = fopen("/a", "a");
    CHECK(file && fputs(" two", file) >= 0 && fclose(file) == 0);
    expect_file("/a", "one two");
    write_file("/a", "");
    CHECK(size_of("/a") == 0);
}

static void seeks_over_holes_and_truncates(void)
{
    int fd = open("/seek", O_RDWR | O_CREAT | O_EXCL, 0644);
    char byte = 'x';
    CHECK(fd >= 0 && lseek(fd, 1000, SEEK_SET) == 1000 && write(fd, "end", 3) == 3);
    CHECK(lseek(fd, 0, SEEK_CUR) == 1003 && lseek(fd, -3, SEEK_END) == 1000 && lseek(fd, -1000, SEEK_CUR) == 0);
    CHECK(read(fd, &byte, 1) == 1 && byte == 0);
    CHECK(pread(fd, &byte, 1, 1002) == 1 && byte == 'd' && lseek(fd, 0, SEEK_CUR) == 1);
    CHECK(pwrite(fd, "E", 1, 1000) == 1 && pread(fd, &byte, 1, 1000) == 1 && byte == 'E');
    CHECK(pread(fd, &byte, 1, 5000) == 0);
    CHECK(ftruncate(fd, 10) == 0 && size_of("/seek") == 10);
    CHECK(ftruncate(fd, 20) == 0 && size_of("/seek") == 20);
    FAILS(EINVAL, lseek(fd, -1, SEEK_SET));
    FAILS(EEXIST, open("/seek", O_CREAT | O_EXCL | O_RDWR, 0644));
    CHECK(close(fd) == 0);
    FAILS(EBADF, close(fd));
}

static void keeps_directories(void)
{
    CHECK(mkdir("/dir", 0755) == 0 && mkdir("/dir/sub", 0755) == 0);
    FAILS(EEXIST, mkdir("/dir", 0755));
    FAILS(ENOENT, mkdir("/none/sub", 0755));
    FAILS(ENOTEMPTY, rmdir("/dir"));
    write_file("/dir/file", "in a directory");
    FAILS(ENOTDIR, mkdir("/dir/file/sub", 0755));
    FAILS(ENOTDIR, rmdir("/dir/file"));
    FAILS(EISDIR, open("/dir", O_WRONLY));
    FAILS(ENOTDIR, open("/dir/file", O_RDONLY | O_DIRECTORY));
    FAILS(ENOENT, open("/dir/none", O_RDONLY));
    expect_file("/dir/sub/../file", "in a directory");
    expect_file("/dir/./file", "in a directory");
}

static void lists_many_entries_exactly_once(void)
{
    static bool seen[300];
    char path[40];
    int count = 0;
    CHECK(mkdir("/many", 0755) == 0);
    for (int i = 0; i < 300; i++) {
        sprintf(path, "/many/a-rather-long-name-%03d", i);
        write_file(path, "");
    }
    DIR *directory = opendir("/many");
    CHECK(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        int number = atoi(entry->d_name + strlen("a-rather-long-name-"));
        CHECK(number >= 0 && number < 300 && !seen[number] && entry->d_type == DT_REG);
        seen[number] = true;
        count++;
    }
    CHECK(count == 300 && closedir(directory) == 0);
}

static void renames(void)
{
    write_file("/from", "moved");
    write_file("/to", "replaced");
    CHECK(rename("/from", "/to") == 0);
    expect_file("/to", "moved");
    FAILS(ENOENT, rename("/from", "/to"));
    CHECK(mkdir("/tree", 0755) == 0 && mkdir("/tree/inner", 0755) == 0);
    FAILS(EINVAL, rename("/tree", "/tree/inner/tree"));
    FAILS(ENOTEMPTY, rename("/dir", "/tree"));
    CHECK(rename("/tree", "/moved") == 0 && rmdir("/moved/inner") == 0 && rmdir("/moved") == 0);
}

static void links(void)
{
    struct stat facts;
    char target[16];
    write_file("/original", "shared");
    CHECK(link("/original", "/second") == 0 && stat("/second", &facts) == 0 && facts.st_nlink == 2);
    FAILS(EEXIST, link("/original", "/second"));
    CHECK(unlink("/original") == 0);
    expect_file("/second", "shared");
    CHECK(symlink("second", "/soft") == 0 && readlink("/soft", target, sizeof target) == 6 && memcmp(target, "second", 6) == 0);
    expect_file("/soft", "shared");
    CHECK(lstat("/soft", &facts) == 0 && S_ISLNK(facts.st_mode));
    CHECK(symlink("loop", "/loop") == 0);
    FAILS(ELOOP, open("/loop", O_RDONLY));
    FAILS(EINVAL, readlink("/second", target, sizeof target));
}

static void keeps_a_file_that_is_open_and_removed(void)
{
    char text[5] = "";
    write_file("/gone", "still");
    int fd = open("/gone", O_RDONLY);
    CHECK(fd >= 0 && unlink("/gone") == 0);
    FAILS(ENOENT, open("/gone", O_RDONLY));
    CHECK(read(fd, text, 5) == 5 && memcmp(text, "still", 5) == 0 && close(fd) == 0);
    FAILS(ENOENT, unlink("/gone"));
}

static void keeps_times(void)
{
    struct stat facts;
    const struct timespec times[2] = {{1000, 5}, {2000, 7}};
    write_file("/times", "x");
    CHECK(utimensat(AT_FDCWD, "/times", times, 0) == 0 && stat("/times", &facts) == 0);
    CHECK(facts.st_atim.tv_sec == 1000 && facts.st_mtim.tv_sec == 2000 && facts.st_mtim.tv_nsec == 7);
    write_file("/times", "y");
    CHECK(stat("/times", &facts) == 0 && facts.st_mtim.tv_sec > 1500000000);
}

// Whatever a path says, it stays inside.
static void has_no_outside(void)
{
    CHECK(open("/etc/passwd", O_RDONLY) < 0);
    CHECK(open("/proc/self/maps", O_RDONLY) < 0);
    CHECK(open("/../../../etc/passwd", O_RDONLY) < 0);
    CHECK(symlink("/etc/passwd", "/escape") < 0 || open("/escape", O_RDONLY) < 0);
    CHECK(symlink("../../../../etc/passwd", "/climb") < 0 || open("/climb", O_RDONLY) < 0);
}

static void respects_how_a_file_was_opened(void)
{
    int reader = open("/second", O_RDONLY), writer = open("/second", O_WRONLY);
    char byte;
    CHECK(reader >= 0 && writer >= 0 && write(reader, "x", 1) < 0 && read(writer, &byte, 1) < 0);
    CHECK(close(reader) == 0 && close(writer) == 0);
}

int main(void)
{
    reads_and_writes();
    seeks_over_holes_and_truncates();
    keeps_directories();
    lists_many_entries_exactly_once();
    renames();
    links();
    keeps_a_file_that_is_open_and_removed();
    keeps_times();
    respects_how_a_file_was_opened();
    has_no_outside();
    return passed();
}

// The functions on paths, under Gate's rules: there is no directory to begin with.
#include "gate.h"

static char bytes[64];
static size_t count;
static fd_t opened;

TEST(path_create_directory, CHECK_STUB(path_create_directory(fd, "a", 1));)
TEST(path_filestat_get, CHECK_STUB(path_filestat_get(fd, 0, "a", 1, bytes));)
TEST(path_filestat_set_times, CHECK_STUB(path_filestat_set_times(fd, 0, "a", 1, 1, 1, 5));)
TEST(path_open, CHECK_STUB(path_open(fd, 0, "a", 1, 0, 2, 0, 0, &opened));)
TEST(path_readlink, CHECK_STUB(path_readlink(fd, "a", 1, bytes, sizeof bytes, &count));)
TEST(path_remove_directory, CHECK_STUB(path_remove_directory(fd, "a", 1));)
TEST(path_symlink, CHECK_STUB(path_symlink("a", 1, fd, "b", 1));)
TEST(path_unlink_file, CHECK_STUB(path_unlink_file(fd, "a", 1));)

TEST(path_link,
    CHECK_STUB(path_link(fd, 0, "a", 1, 1, "b", 1));
    CHECK_STUB(path_link(1, 0, "a", 1, fd, "b", 1));
)

TEST(path_rename,
    CHECK_STUB(path_rename(fd, "a", 1, 1, "b", 1));
    CHECK_STUB(path_rename(1, "a", 1, fd, "b", 1));
)

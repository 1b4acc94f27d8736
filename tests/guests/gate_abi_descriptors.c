// The functions on descriptors, under Gate's rules: 0 to 2 and 4 exist, and there is no file system behind them.
#include "gate.h"

static char bytes[64];
static uint64_t number;
static size_t count;
static const gb_iovec into = {bytes, sizeof bytes};
static const gb_const_iovec from = {"x", 1};

TEST(fd, CHECK(gb_fd() == GATE_FD);)
TEST(fd_advise, CHECK_STUB(fd_advise(fd, 0, 1, 0));)
TEST(fd_allocate, CHECK_STUB(fd_allocate(fd, 0, 1));)
TEST(datasync, CHECK_STUB(fd_datasync(fd));)
TEST(fd_fdstat_set_flags, CHECK_STUB(fd_fdstat_set_flags(fd, 4));)
TEST(fd_filestat_get, CHECK_STUB(fd_filestat_get(fd, bytes));)
TEST(fd_filestat_set_size, CHECK_STUB(fd_filestat_set_size(fd, 1));)
TEST(fd_filestat_set_times, CHECK_STUB(fd_filestat_set_times(fd, 1, 1, 5));)
TEST(fd_pread, CHECK_STUB(fd_pread(fd, &into, 1, 0, &count));)
TEST(fd_prestat_get, CHECK_STUB(fd_prestat_get(fd, bytes));)
TEST(fd_pwrite, CHECK_STUB(fd_pwrite(fd, &from, 1, 0, &count));)
TEST(fd_readdir, CHECK_STUB(fd_readdir(fd, bytes, sizeof bytes, 0, &count));)
TEST(fd_seek, CHECK_STUB(fd_seek(fd, 0, 0, &number));)
TEST(fd_sync, CHECK_STUB(fd_sync(fd));)
TEST(fd_tell, CHECK_STUB(fd_tell(fd, &number));)
TEST(sock_shutdown, CHECK_STUB(sock_shutdown(fd, 3));)

TEST(fd_close,
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
        CHECK(fd_close(missing[i]) == BADF);
)

TEST(fd_prestat_dir_name,
    for (size_t i = 0; i < sizeof there / sizeof *there; i++) {
        CHECK(fd_prestat_dir_name(there[i], bytes, sizeof bytes) == INVAL);
        CHECK(fd_prestat_dir_name(there[i], NULL, 0) == INVAL);
        CHECK(fd_prestat_dir_name(there[i], NULL, 1) == FAULT);
    }
    CHECK(fd_prestat_dir_name(3, bytes, sizeof bytes) == BADF);
)

struct fdstat { uint8_t type; uint16_t flags; rights_t base, inheriting; };

TEST(fd_fdstat_get,
    static const struct { fd_t fd; uint16_t flags; rights_t base; } expected[] = {
        {0, 0, 0}, {1, 0, 0x40}, {2, 0, 0x40}, {GATE_FD, 4, 0x42},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct fdstat stat = {0xff, 0xffff, ~0ull, ~0ull};
        CHECK(fd_fdstat_get(expected[i].fd, &stat) == OK);
        CHECK(stat.type == 0 && stat.flags == expected[i].flags);
        CHECK(stat.base == expected[i].base && stat.inheriting == 0);
    }
    CHECK(fd_fdstat_get(3, bytes) == BADF && fd_fdstat_get(5, bytes) == BADF);
)

TEST(fd_fdstat_set_rights,
    CHECK(fd_fdstat_set_rights(0, 0, 0) == OK && fd_fdstat_set_rights(0, 2, 0) == NOTCAPABLE);
    for (fd_t fd = 1; fd <= 2; fd++) {
        CHECK(fd_fdstat_set_rights(fd, 0x40, 0) == OK);
        CHECK(fd_fdstat_set_rights(fd, 0x42, 0) == NOTCAPABLE);
        CHECK(fd_fdstat_set_rights(fd, 0x40, 0x40) == NOTCAPABLE);
    }
    CHECK(fd_fdstat_set_rights(GATE_FD, 0x42, 0) == OK);
    CHECK(fd_fdstat_set_rights(GATE_FD, 0x43, 0) == NOTCAPABLE);
    CHECK(fd_fdstat_set_rights(GATE_FD, 0x42, 1) == NOTCAPABLE);
    CHECK(fd_fdstat_set_rights(3, 0, 0) == BADF);
)

TEST(fd_renumber,
    for (size_t i = 0; i < sizeof there / sizeof *there; i++) {
        CHECK(fd_renumber(there[i], there[i]) == OK);
        CHECK(fd_renumber(there[i], 3) == BADF && fd_renumber(3, there[i]) == BADF);
    }
    CHECK(fd_renumber(3, 3) == BADF);
)

TEST(fd_read,
    for (fd_t fd = 0; fd <= 2; fd++)
        CHECK(fd_read(fd, &into, 1, &count) == PERM);
    CHECK(fd_read(3, &into, 1, &count) == BADF);
    CHECK(fd_read(GATE_FD, &into, 1, &count) == AGAIN);
)

TEST(fd_write,
    CHECK(fd_write(0, &from, 1, &count) == PERM);
    CHECK(fd_write(3, &from, 1, &count) == BADF && fd_write(5, &from, 1, &count) == BADF);
)

// Two pieces of one line: "PASS" is the log itself.
static void write_in_pieces(fd_t fd)
{
    const gb_const_iovec pieces[] = {{"PA", 2}, {NULL, 0}, {"SS\n", 3}};
    CHECK(fd_write(fd, pieces, 3, &count) == OK);
    CHECK(count == 5);
}

ENTRY(test_fd_write_stdout) { write_in_pieces(1); }
ENTRY(test_fd_write_stderr) { write_in_pieces(2); }

TEST(sock_recv,
    uint16_t flags;
    CHECK(sock_recv(GATE_FD, &into, 1, 0, &count, &flags) == NOTSOCK);
    for (fd_t fd = 0; fd <= 2; fd++)
        CHECK(sock_recv(fd, &into, 1, 0, &count, &flags) == PERM);
    CHECK(sock_recv(3, &into, 1, 0, &count, &flags) == BADF);
)

TEST(sock_send,
    CHECK(sock_send(0, &from, 1, 0, &count) == PERM);
    for (fd_t fd = 1; fd <= 2; fd++)
        CHECK(sock_send(fd, &from, 1, 0, &count) == NOTSOCK);
    CHECK(sock_send(GATE_FD, &from, 1, 0, &count) == NOTSOCK && sock_send(3, &from, 1, 0, &count) == BADF);
)

// What Gate's runtime cannot do (its "deficiencies") ends the program.
TRAP(fd_close_stdin, fd_close(0))
TRAP(fd_close_stdout, fd_close(1))
TRAP(fd_close_stderr, fd_close(2))
TRAP(fd_close_gate, fd_close(GATE_FD))
TRAP(fd_fdstat_set_rights_stdout_drop, fd_fdstat_set_rights(1, 0, 0))
TRAP(fd_fdstat_set_rights_stderr_drop, fd_fdstat_set_rights(2, 0, 0))
TRAP(fd_fdstat_set_rights_gate_drop_r, fd_fdstat_set_rights(GATE_FD, 0x40, 0))
TRAP(fd_fdstat_set_rights_gate_drop_w, fd_fdstat_set_rights(GATE_FD, 0x02, 0))
TRAP(fd_fdstat_set_rights_gate_drop_rw, fd_fdstat_set_rights(GATE_FD, 0, 0))
TRAP(fd_renumber_stdin, fd_renumber(0, 1))
TRAP(fd_renumber_stdout, fd_renumber(1, 2))
TRAP(fd_renumber_stderr, fd_renumber(2, GATE_FD))
TRAP(fd_renumber_gate, fd_renumber(GATE_FD, 0))

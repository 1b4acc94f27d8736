// Loaded before libc (LD_PRELOAD) into a process whose disk is recorded: every change of a file or folder below
// RECORDED_ROOT, every fsync, and every word that it says (descriptor 1), in their order, into RECORDED_LOG.
//
// One entry: op, inode, offset or size, lengths of path, second path and data; then these. tests/support/forgetfuldisk.py
// reads it. One thread at a time does its call and writes its entry, so that the order is the true one.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct entry {
	uint64_t op, inode, at;
	uint32_t path, second, data, zero;
};

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static int record = -1;

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void tell(char op, uint64_t inode, uint64_t at, const char *path, const char *second, const void *data,
                 size_t size) {
	struct entry head = {(uint64_t)op, inode, at, path ? strlen(path) : 0, second ? strlen(second) : 0, size, 0};
	struct iovec parts[4] = {
	    {&head, sizeof head}, {(void *)path, head.path}, {(void *)second, head.second}, {(void *)data, size}};
	__typeof__(&writev) real = (__typeof__(&writev))dlsym(RTLD_NEXT, "writev");
	if (record >= 0 && real(record, parts, 4) < 0)
		abort();
}

static int inside(const char *path) { return root && !strncmp(path, root, strlen(root)); }

// The inode of a descriptor below the root; 0: of another.
static uint64_t known(int fd) {
	char name[64], path[PATH_MAX];
	struct stat about;
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	ssize_t size = readlink(name, path, sizeof path - 1);
	if (size < 0 || fstat(fd, &about))
		return 0;
	path[size] = 0;
	return inside(path) ? about.st_ino : 0;
}

static uint64_t inode_of(const char *path) {
	struct stat about;
	return lstat(path, &about) ? 0 : about.st_ino;
}

__attribute__((constructor)) static void begin(void) {
	const char *log = getenv("RECORDED_LOG");
	root = getenv("RECORDED_ROOT");
	if (log && root) {
		record = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		tell('M', inode_of(root), 0, root, NULL, NULL, 0);
	}
}

#define OPENS(name)                                                                                                    \
	int name(const char *path, int flags, ...) {                                                                       \
		va_list rest;                                                                                                  \
		va_start(rest, flags);                                                                                         \
		mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                        \
		va_end(rest);                                                                                                  \
		REAL(name);                                                                                                    \
		if (!inside(path))                                                                                             \
			return real(path, flags, mode);                                                                            \
		pthread_mutex_lock(&turn);                                                                                     \
		uint64_t before = inode_of(path);                                                                              \
		int fd = real(path, flags, mode);                                                                              \
		if (fd >= 0 && !before && inode_of(path))                                                                      \
			tell('C', inode_of(path), 0, path, NULL, NULL, 0);                                                         \
		else if (fd >= 0 && flags & O_TRUNC)                                                                           \
			tell('T', before, 0, NULL, NULL, NULL, 0);                                                                 \
		pthread_mutex_unlock(&turn);                                                                                   \
		return fd;                                                                                                     \
	}
OPENS(open)
OPENS(open64)

ssize_t write(int fd, const void *data, size_t size) {
	REAL(write);
	pthread_mutex_lock(&turn);
	uint64_t inode = known(fd);
	off_t at = inode ? lseek(fd, 0, SEEK_CUR) : 0;
	ssize_t done = real(fd, data, size);
	if (done > 0 && fd == 1)
		tell('A', 0, 0, NULL, NULL, data, done);
	else if (done > 0 && inode)
		tell('W', inode, at, NULL, NULL, data, done);
	pthread_mutex_unlock(&turn);
	return done;
}

#define WRITES(name, offset_type)                                                                                      \
	ssize_t name(int fd, const void *data, size_t size, offset_type at) {                                              \
		REAL(name);                                                                                                    \
		pthread_mutex_lock(&turn);                                                                                     \
		ssize_t done = real(fd, data, size, at);                                                                       \
		uint64_t inode = known(fd);                                                                                    \
		if (done > 0 && inode)                                                                                         \
			tell('W', inode, at, NULL, NULL, data, done);                                                              \
		pthread_mutex_unlock(&turn);                                                                                   \
		return done;                                                                                                   \
	}
WRITES(pwrite, off_t)
WRITES(pwrite64, off64_t)

#define CUTS(name, offset_type)                                                                                        \
	int name(int fd, offset_type size) {                                                                               \
		REAL(name);                                                                                                    \
		pthread_mutex_lock(&turn);                                                                                     \
		int failed = real(fd, size);                                                                                   \
		uint64_t inode = known(fd);                                                                                    \
		if (!failed && inode)                                                                                          \
			tell('T', inode, size, NULL, NULL, NULL, 0);                                                               \
		pthread_mutex_unlock(&turn);                                                                                   \
		return failed;                                                                                                 \
	}
CUTS(ftruncate, off_t)
CUTS(ftruncate64, off64_t)

#define SYNCS(name)                                                                                                    \
	int name(int fd) {                                                                                                 \
		REAL(name);                                                                                                    \
		pthread_mutex_lock(&turn);                                                                                     \
		int failed = real(fd);                                                                                         \
		uint64_t inode = known(fd);                                                                                    \
		if (!failed && inode)                                                                                          \
			tell('S', inode, 0, NULL, NULL, NULL, 0);                                                                  \
		pthread_mutex_unlock(&turn);                                                                                   \
		return failed;                                                                                                 \
	}
SYNCS(fsync)
SYNCS(fdatasync)

#define MOVES(name, op)                                                                                                \
	int name(const char *from, const char *to) {                                                                       \
		REAL(name);                                                                                                    \
		pthread_mutex_lock(&turn);                                                                                     \
		int failed = real(from, to);                                                                                   \
		if (!failed && inside(to))                                                                                     \
			tell(op, inode_of(to), 0, from, to, NULL, 0);                                                              \
		pthread_mutex_unlock(&turn);                                                                                   \
		return failed;                                                                                                 \
	}
MOVES(rename, 'R')
MOVES(link, 'L')

int unlink(const char *path) {
	REAL(unlink);
	pthread_mutex_lock(&turn);
	uint64_t inode = inode_of(path);
	int failed = real(path);
	if (!failed && inside(path))
		tell('U', inode, 0, path, NULL, NULL, 0);
	pthread_mutex_unlock(&turn);
	return failed;
}

int mkdir(const char *path, mode_t mode) {
	REAL(mkdir);
	pthread_mutex_lock(&turn);
	int failed = real(path, mode);
	if (!failed && inside(path))
		tell('M', inode_of(path), 0, path, NULL, NULL, 0);
	pthread_mutex_unlock(&turn);
	return failed;
}

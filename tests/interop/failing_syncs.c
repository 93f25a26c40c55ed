/*
 * Loaded before the C library (LD_PRELOAD), this makes one sync of a process fail.
 *
 * The file that FAILING_SYNCS names holds one signed 64-bit number: how many syncs are still to
 * succeed before one fails with EIO. A negative number, which it is again after that, fails none:
 * whoever tries a second time will succeed, as with a real disk that has dropped the pages.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

static _Atomic int64_t *remaining;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAILING_SYNCS");
    int fd = path ? open(path, O_RDWR) : -1;
    if (fd < 0) abort();
    remaining = mmap(NULL, sizeof *remaining, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (remaining == MAP_FAILED) abort();
    close(fd);
}

static int fails(void) {
    if (*remaining < 0 || (*remaining)-- != 0) return 0;
    errno = EIO;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int fd) { return fails() ? -1 : REAL(fsync)(fd); }

int fdatasync(int fd) { return fails() ? -1 : REAL(fdatasync)(fd); }

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
    if ((flags & (RWF_DSYNC | RWF_SYNC)) && fails()) return -1;
    return REAL(pwritev2)(fd, parts, count, offset, flags);
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags) {
    if ((flags & (RWF_DSYNC | RWF_SYNC)) && fails()) return -1;
    return REAL(pwritev64v2)(fd, parts, count, offset, flags);
}

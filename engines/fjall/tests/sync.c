/* Stands before the C library's syncs (LD_PRELOAD) and counts, in a file, those of journals that have succeeded. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static unsigned long count;

static int counted(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int result = real(fd);
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path);
    if (result == 0 && length > 4 && memcmp(path + length - 4, ".jnl", 4) == 0) {
        pthread_mutex_lock(&one);
        char text[32];
        int digits = snprintf(text, sizeof text, "%020lu", ++count);
        int out = open(getenv("STOREWIDE_TEST_SYNC_COUNT"), O_WRONLY | O_CREAT, 0600);
        if (out < 0 || pwrite(out, text, digits, 0) != digits) abort();
        close(out);
        pthread_mutex_unlock(&one);
    }
    return result;
}

int fsync(int fd) { return counted("fsync", fd); }
int fdatasync(int fd) { return counted("fdatasync", fd); }

/* One picture behind a process-shared mutex and condition variable: copied in, copied out. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct box {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t number;
    size_t bytes;
    _Alignas(4096) unsigned char pixels[];
};

static struct box *map(int fd, size_t bytes) {
    void *memory = mmap(NULL, sizeof(struct box) + bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    close(fd);
    return memory == MAP_FAILED ? NULL : memory;
}

struct box *mutex_create(const char *path, size_t bytes) {
    int fd = open(path, O_CREAT | O_EXCL | O_RDWR, 0600);
    if (fd == -1) return NULL;
    if (ftruncate(fd, (off_t)(sizeof(struct box) + bytes)) != 0) return NULL;
    struct box *box = map(fd, bytes);
    if (box == NULL) return NULL;
    pthread_mutexattr_t mutex;
    pthread_mutexattr_init(&mutex);
    pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&box->mutex, &mutex);
    pthread_condattr_t changed;
    pthread_condattr_init(&changed);
    pthread_condattr_setpshared(&changed, PTHREAD_PROCESS_SHARED);
    pthread_condattr_setclock(&changed, CLOCK_MONOTONIC);
    pthread_cond_init(&box->changed, &changed);
    box->bytes = bytes;
    return box;
}

struct box *mutex_open(const char *path, size_t bytes) {
    int fd = open(path, O_RDWR);
    return fd == -1 ? NULL : map(fd, bytes);
}

void mutex_write(struct box *box, const unsigned char *picture) {
    pthread_mutex_lock(&box->mutex);
    memcpy(box->pixels, picture, box->bytes);
    ++box->number;
    pthread_mutex_unlock(&box->mutex);
    pthread_cond_broadcast(&box->changed);
}

/* Copies a picture newer than *last; waits for one that long. Returns whether there was one. */
int mutex_read(struct box *box, unsigned char *picture, uint64_t *last, long wait_ns) {
    if (wait_ns == 0 && __atomic_load_n(&box->number, __ATOMIC_RELAXED) == *last) return 0;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += wait_ns;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&box->mutex);
    int waited = 0;
    while (box->number == *last && waited == 0) waited = pthread_cond_timedwait(&box->changed, &box->mutex, &until);
    const int newer = box->number != *last;
    if (newer) {
        memcpy(picture, box->pixels, box->bytes);
        *last = box->number;
    }
    pthread_mutex_unlock(&box->mutex);
    return newer;
}

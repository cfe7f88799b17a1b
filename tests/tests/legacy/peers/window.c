/* A mapped file as people have it: the whole file, read and written. usage: window FILE|SHM-NAME */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char *map;
static off_t size;

static int open_whole(const char *name) {
    struct stat st;
    /* a shm object's name has its one slash at the start */
    int fd = strchr(name + 1, '/') ? open(name, O_RDWR) : shm_open(name, O_RDWR | O_CREAT, 0666);
    if (fd < 0) { perror("Error opening file"); return 1; }
    if (fstat(fd, &st) != 0) { perror("Error getting the file size"); return 1; }
    if (st.st_size == 0 && ftruncate(fd, 1024) == 0) st.st_size = 1024;
    size = st.st_size;
    map = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) { perror("Error mmapping the file"); return 1; }
    return close(fd);
}

int main(int argc, char **argv) {
    char line[4096];
    if (argc < 2 || open_whole(argv[1]) != 0) return 1;
    printf("ok size=%lld\n", (long long)size);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        long at = 0, value = 0;
        if (!strncmp(line, "quit", 4)) return 0;
        if (sscanf(line, "put %ld %ld", &at, &value) == 2 && at < size) {
            map[at] = (char)value;
            puts("ok");
        } else if (sscanf(line, "sum %ld %ld", &at, &value) == 2 && at + value <= size) {
            unsigned long sum = 0;
            for (long i = 0; i < value; i++) sum = sum * 31 + (unsigned char)map[at + i];
            printf("ok sum=%lu\n", sum);
        } else {
            puts("what?");
        }
        fflush(stdout);
    }
    return 0;
}

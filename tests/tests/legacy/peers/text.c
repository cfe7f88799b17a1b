/* A message in a shared-memory object, as people have it: create or open, strcpy, print. usage: text NAME */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    const char *name = argv[1];
    char line[2048], *map = NULL;
    puts("ok ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (!strcmp(line, "quit")) return 0;
        if (!strcmp(line, "create")) { /* exactly one creator; else open and do not resize */
            int fd = shm_open(name, O_CREAT | O_RDWR | O_EXCL, 0777);
            if (fd >= 0) {
                if (ftruncate(fd, 1024)) return 1;
                puts("ok create=1");
            } else if (errno == EEXIST && (fd = shm_open(name, O_RDWR, 0777)) >= 0) {
                puts("ok create=0");
            } else {
                puts("error open shm object");
                return 0;
            }
            map = mmap(NULL, 1024, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            close(fd);
            if (map == MAP_FAILED) return 1;
        } else if (!strcmp(line, "unsized")) { /* between shm_open and ftruncate */
            shm_open(name, O_CREAT | O_RDWR | O_EXCL, 0777);
            puts("ok");
        } else if (!strcmp(line, "unlink")) {
            puts(shm_unlink(name) ? "error unlink" : "ok");
        } else if (!strncmp(line, "set ", 4) && map) {
            strcpy(map, line + 4);
            puts("ok");
        } else if (!strcmp(line, "fill") && map) { /* no NUL anywhere */
            memset(map, 'A', 1024);
            puts("ok");
        } else if (!strcmp(line, "get") && map) {
            printf("ok %.1024s\n", map);
        } else {
            puts("what?");
        }
        fflush(stdout);
    }
    return 0;
}

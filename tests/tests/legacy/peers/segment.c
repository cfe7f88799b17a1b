/* A System V segment as people have it: shmget, shmat, plain access. usage: segment KEY BYTES */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>

int main(int argc, char **argv) {
    char line[256];
    if (argc < 3) return 2;
    int id = shmget((key_t)strtoul(argv[1], NULL, 0), strtoul(argv[2], NULL, 0), IPC_CREAT | 0600);
    char *memory = id < 0 ? (char *)-1 : shmat(id, NULL, 0);
    if (memory == (char *)-1) {
        perror("shmget or shmat");
        return 1;
    }
    puts("ok ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (!strcmp(line, "quit")) return 0;
        if (!strncmp(line, "set ", 4)) strcpy(memory, line + 4);
        printf("ok %s\n", memory);
        fflush(stdout);
    }
    return 0;
}

/* A program that loads libcamlane by itself and closes it again: with its ends closed, and with a lane open whose threads run.
 *
 * unload LIBRARY LANE often N    loads, makes and reads a lane, closes all and the library, N times
 * unload LIBRARY LANE open       closes the library while a lane is open, says so, and publishes for each line that it reads
 */
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <camlane.h>

#define TYPE(name) __typeof__(&name)
static struct {
    TYPE(camlane_producer_create) create;
    TYPE(camlane_producer_loan) loan;
    TYPE(camlane_producer_publish) publish;
    TYPE(camlane_producer_close) end;
    TYPE(camlane_consumer_open) open;
    TYPE(camlane_consumer_next) next;
    TYPE(camlane_consumer_fd) fd;
    TYPE(camlane_frame_release) release;
    TYPE(camlane_consumer_close) close;
    TYPE(camlane_layout_rows) rows;
} api;

static void need(int fine, const char *what) {
    if (!fine) {
        printf("error %s: %s\n", what, dlerror());
        exit(1);
    }
}

static void look_up(void *library, const char *name, void *into) {
    void *found = dlsym(library, name); /* POSIX: it may be stored through a pointer to any pointer type */
    need(found != NULL, name);
    memcpy(into, &found, sizeof found);
}

static void *load(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    need(library != NULL, "dlopen");
    look_up(library, "camlane_producer_create", &api.create);
    look_up(library, "camlane_producer_loan", &api.loan);
    look_up(library, "camlane_producer_publish", &api.publish);
    look_up(library, "camlane_producer_close", &api.end);
    look_up(library, "camlane_consumer_open", &api.open);
    look_up(library, "camlane_consumer_next", &api.next);
    look_up(library, "camlane_consumer_fd", &api.fd);
    look_up(library, "camlane_frame_release", &api.release);
    look_up(library, "camlane_consumer_close", &api.close);
    look_up(library, "camlane_layout_rows", &api.rows);
    return library;
}

static int count(const char *folder) {
    int entries = 0;
    DIR *dir = opendir(folder);
    while (dir != NULL && readdir(dir) != NULL)
        entries++;
    if (dir != NULL)
        closedir(dir);
    return entries;
}

static void shoot(camlane_producer *producer, const camlane_meta *meta) {
    camlane_loan loan;
    need(api.loan(producer, &loan) == 0, "loan");
    need(api.publish(producer, &loan, meta, NULL, NULL) == 0, "publish");
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    int often = strcmp(argv[3], "often") == 0;
    int turns = often && argc > 4 ? atoi(argv[4]) : 1;
    for (int turn = 1; turn <= turns; turn++) {
        void *library = load(argv[1]);
        camlane_lane_options options = {.struct_size = sizeof options};
        camlane_meta meta = {.struct_size = sizeof meta};
        camlane_producer *producer;
        camlane_consumer *consumer;
        camlane_frame frame = {0};
        need(api.rows(CAMLANE_GRAY8, 64, 64, 1, &options.layout) == 0, "layout");
        meta.layout = options.layout;
        need(api.create(argv[2], &options, &producer) == 0, "create");
        need(api.open(argv[2], NULL, &consumer) == 0, "open");
        need(api.fd(consumer) >= 0, "descriptor"); /* starts the second thread */
        shoot(producer, &meta);
        need(api.next(consumer, 20000, &frame) == 0 && frame.number == 1, "next");
        if (!often) {
            char line[64];
            need(dlclose(library) == 0, "dlclose");
            printf("ok threads=%d\n", count("/proc/self/task") - 2);
            for (int number = 2; fgets(line, sizeof line, stdin) != NULL && strncmp(line, "quit", 4); number++) {
                shoot(producer, &meta); /* the threads still run: so the code is still there */
                printf("ok number=%d\n", number);
            }
            return 0; /* and everything is left open */
        }
        api.release(&frame);
        api.close(consumer);
        api.end(producer);
        need(dlclose(library) == 0, "dlclose");
        if (turn == 10 || turn == turns)
            printf("ok turn=%d threads=%d descriptors=%d\n", turn, count("/proc/self/task") - 2,
                   count("/proc/self/fd") - 3);
    }
    return 0;
}

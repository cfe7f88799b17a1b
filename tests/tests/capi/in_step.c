/* Lanes in step, and sealed lanes' policies. Arguments: two names that are free, the path of a socket that is free. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <camlane.h>

static int wrong;

static void expect_at(int line, const char *what, long found, long expected) {
    if (found != expected) {
        wrong = 1;
        printf("line %d: %s is %ld, not %ld (%s)\n", line, what, found, expected, camlane_last_error());
    }
}
#define EXPECT(call, expected) expect_at(__LINE__, #call, (long)(call), (expected))

static void publish(camlane_producer *producer, uint64_t capture_ns, uint32_t clock) {
    camlane_loan loan;
    camlane_meta meta = {.struct_size = sizeof meta};
    EXPECT(camlane_layout_rows(CAMLANE_GRAY8, 4, 4, 1, &meta.layout), 0);
    meta.capture_ns = capture_ns;
    meta.clock = clock;
    EXPECT(camlane_producer_loan(producer, &loan), 0);
    EXPECT(camlane_producer_publish(producer, &loan, &meta, NULL, NULL), 0);
}

static void in_step(const char *const *names) {
    camlane_producer *left, *right;
    camlane_synchronizer *lanes;
    camlane_frame frames[2];
    camlane_sync_totals totals;
    camlane_lane_options options = {.struct_size = sizeof options};
    EXPECT(camlane_layout_rows(CAMLANE_GRAY8, 4, 4, 1, &options.layout), 0);
    options.pins = 4;
    EXPECT(camlane_synchronizer_open(names, 2, 1000000, &lanes), -ENOENT);
    EXPECT(camlane_synchronizer_open(names, 1, 1000000, &lanes), -ENOENT);
    EXPECT(camlane_synchronizer_open(NULL, 2, 0, &lanes), -EINVAL);
    EXPECT(camlane_producer_create(names[0], &options, &left), 0);
    EXPECT(camlane_producer_create(names[1], &options, &right), 0);
    EXPECT(camlane_synchronizer_open(names, 1, 1000000, &lanes), -EINVAL);
    EXPECT(camlane_synchronizer_open(names, 2, 1000000, &lanes), 0);
    EXPECT(camlane_synchronizer_next(lanes, 0, frames, 1), -EINVAL);
    EXPECT(camlane_synchronizer_next(lanes, 0, frames, 2), -ETIMEDOUT);
    EXPECT(frames[0].handle == NULL && frames[1].handle == NULL, 1);
    EXPECT(strstr(camlane_last_error(), "lane '") == NULL, 1);
    EXPECT(camlane_producer_pause(right, CAMLANE_PAUSE_UNPLUGGED, ENODEV), 0);
    EXPECT(camlane_synchronizer_next(lanes, 0, frames, 2), -ETIMEDOUT);
    EXPECT(strstr(camlane_last_error(), names[1]) != NULL && strstr(camlane_last_error(), "unplugged (ENODEV") != NULL, 1);
    EXPECT(strstr(camlane_last_error(), names[0]) == NULL, 1);
    EXPECT(camlane_producer_resume(right), 0);

    publish(left, 1000000000, CAMLANE_CLOCK_MONOTONIC);
    publish(left, 2000000000, CAMLANE_CLOCK_MONOTONIC);
    publish(right, 2000500000, CAMLANE_CLOCK_MONOTONIC);
    EXPECT(camlane_synchronizer_next(lanes, 20000, frames, 2), 0);
    EXPECT(frames[0].number, 2);
    EXPECT(frames[1].meta.capture_ns == 2000500000u && frames[1].data != NULL, 1);
    camlane_frame_release(&frames[0]);
    camlane_frame_release(&frames[1]);
    EXPECT(camlane_synchronizer_totals(lanes, 0, &totals), 0);
    EXPECT(totals.paired == 1 && totals.unpaired == 1 && totals.reader.delivered == 2, 1);
    EXPECT(camlane_synchronizer_totals(lanes, 2, &totals), -EINVAL);

    publish(right, 3000000000, CAMLANE_CLOCK_REALTIME);
    EXPECT(camlane_synchronizer_next(lanes, 20000, frames, 2), -EDOM);
    camlane_producer_close(right);
    EXPECT(camlane_synchronizer_next(lanes, 20000, frames, 2), -EPIPE);
    EXPECT(strstr(camlane_last_error(), names[1]) != NULL, 1);
    camlane_synchronizer_close(lanes);
    camlane_synchronizer_close(NULL);
    camlane_producer_close(left);
}

static unsigned mode_of(const char *path) {
    struct stat found;
    return stat(path, &found) == 0 ? (unsigned)found.st_mode & 0777u : 0;
}

/* A named user, or everybody, has to reach the socket; the policy decides who may come in. */
static void sealed(const char *path) {
    char name[256];
    camlane_producer *producer;
    camlane_consumer *first, *second;
    camlane_lane_options options = {.struct_size = sizeof options};
    camlane_consumer_options trusting = {.struct_size = sizeof trusting};
    const uint32_t users[] = {4242};
    snprintf(name, sizeof name, "sealed:%s", path);
    EXPECT(camlane_layout_rows(CAMLANE_GRAY8, 4, 4, 1, &options.layout), 0);
    EXPECT(camlane_producer_create(name, &options, &producer), 0);
    EXPECT(mode_of(path), 0600);
    camlane_producer_close(producer);

    options.users = users;
    options.user_count = 1;
    options.seats_per_user = 1;
    EXPECT(camlane_producer_create(name, &options, &producer), 0);
    EXPECT(mode_of(path), 0666);
    trusting.flags = CAMLANE_CONSUMER_TRUST_USER;
    trusting.trusted_user = 4242;
    EXPECT(camlane_consumer_open(name, &trusting, &first), 0);
    EXPECT(camlane_consumer_open(name, NULL, &second) < 0, 1); /* one seat for each user */
    camlane_consumer_close(first);
    camlane_producer_close(producer);

    options.users = NULL;
    EXPECT(camlane_producer_create(name, &options, &producer), -EINVAL); /* a count without users */
    options.user_count = 0;
    options.flags = CAMLANE_LANE_OBSERVERS;
    EXPECT(camlane_producer_create(name, &options, &producer), 0);
    EXPECT(mode_of(path), 0666);
    camlane_producer_close(producer);
}

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    const char *const names[] = {argv[1], argv[2]};
    in_step(names);
    sealed(argv[3]);
    return wrong;
}

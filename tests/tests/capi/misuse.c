/* Everything that a C program can do wrong and be told about. The first argument is a lane's name that is free. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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

static void *wait_for_ever(void *consumer) {
    camlane_frame frame;
    int result;
    do /* the other thread may have the handle at the first try */
        result = camlane_consumer_next(consumer, -1, &frame);
    while (result == -EBUSY);
    camlane_frame_release(&frame);
    return (void *)(intptr_t)result;
}

/* A message belongs to the thread in which the failure was. */
static void *fail_elsewhere(void *info) {
    EXPECT(strlen(camlane_last_error()), 0);
    EXPECT(camlane_lane_describe("elsewhere-there-is-none", info), -ENOENT);
    EXPECT(strstr(camlane_last_error(), "elsewhere") != NULL, 1);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    const char *name = argv[1];
    camlane_producer *producer, *second;
    camlane_consumer *consumer, *none[1] = {NULL};
    camlane_observer *observer;
    camlane_loan loan, loans[4];
    camlane_frame frame = {0}, frames[3];
    camlane_layout layout, odd;
    uint32_t format;
    size_t count;

    /* NULL is told, and nothing is torn down by it. */
    EXPECT(camlane_producer_create(NULL, NULL, &producer), -EINVAL);
    EXPECT(camlane_producer_create(name, NULL, NULL), -EINVAL);
    EXPECT(camlane_producer_loan(NULL, &loan), -EINVAL);
    EXPECT(camlane_producer_publish(NULL, NULL, NULL, NULL, NULL), -EINVAL);
    EXPECT(camlane_consumer_open(name, NULL, NULL), -EINVAL);
    EXPECT(camlane_consumer_next(NULL, 0, &frame), -EINVAL);
    EXPECT(frame.handle == NULL, 1);
    EXPECT(camlane_consumer_wait_any(none, 1, 0, NULL, &frame), -EINVAL);
    EXPECT(camlane_consumer_wait_any(NULL, 0, 0, NULL, &frame), -EINVAL);
    EXPECT(camlane_consumer_fd(NULL), -EINVAL);
    EXPECT(camlane_observer_copy(NULL, NULL, 8, NULL, 0, NULL), -EINVAL);
    EXPECT(camlane_stream_write(NULL, NULL, 0, 0, &count), -EINVAL);
    EXPECT(camlane_lanes_count(NULL), 0);
    EXPECT(camlane_frame_details(&frame, NULL), -EINVAL);
    EXPECT(camlane_layout_rows(CAMLANE_GRAY8, 8, 8, 1, NULL), -EINVAL);
    camlane_producer_close(NULL);
    camlane_consumer_close(NULL);
    camlane_observer_close(NULL);
    camlane_lanes_close(NULL);
    camlane_stream_end(NULL);
    camlane_stream_close(NULL);
    camlane_loan_return(NULL);
    camlane_frame_release(NULL);
    camlane_frame_release(&frame);
    EXPECT(strlen(camlane_last_error()) > 0, 1);

    /* Formats and layouts. */
    EXPECT(camlane_format_named("yuyv422", &format), 0);
    EXPECT(format, CAMLANE_YUYV);
    EXPECT(camlane_format_named("nothing", &format), -ENOENT);
    EXPECT(camlane_format_of_v4l2(0x56595559, &format), 0);
    EXPECT(format, CAMLANE_YUYV);
    EXPECT(camlane_layout_rows(CAMLANE_JPEG, 8, 8, 1, &layout), -EINVAL);
    EXPECT(camlane_layout_rows(CAMLANE_GRAY8, 64, 4, 1, &layout), 0);
    EXPECT(camlane_layout_check(&layout, 255), -EINVAL);
    EXPECT(camlane_layout_check(&layout, 256), 0);
    odd = layout;
    odd.plane_count = 5;
    EXPECT(camlane_layout_check(&odd, 256), -EINVAL);

    /* Options. */
    camlane_lane_options options = {.struct_size = sizeof options, .seats = 1, .loans = 1, .user_bytes = 64};
    EXPECT(camlane_producer_create(name, &options, &producer), -EINVAL); /* neither layout nor slot_size */
    options.layout = layout;
    options.sharing = 9;
    EXPECT(camlane_producer_create(name, &options, &producer), -EINVAL);
    options.sharing = CAMLANE_SHARING_OWNER;
    options.frame_id = "\xff";
    EXPECT(camlane_producer_create(name, &options, &producer), -EINVAL);
    options.frame_id = NULL;
    EXPECT(camlane_producer_create("a/b", &options, &producer), -EINVAL);
    options.struct_size = 4;
    EXPECT(camlane_producer_create(name, &options, &producer), -EINVAL);
    options.struct_size = sizeof options;
    EXPECT(camlane_consumer_open(name, NULL, &consumer), -ENOENT);
    EXPECT(strstr(camlane_last_error(), name) != NULL, 1);
    uint64_t bytes = 0, published = 0;
    uint32_t dropped = 0;
    EXPECT(camlane_lane_footprint(&options, &bytes), 0);
    EXPECT(bytes > 7 * 256, 1);
    EXPECT(camlane_producer_create(name, &options, &producer), 0);
    EXPECT(camlane_producer_count_dropped(producer, 5), 0);
    EXPECT(camlane_producer_counts(producer, &published, &dropped), 0);
    EXPECT(published == 0 && dropped == 5, 1);
    EXPECT(camlane_producer_create(name, &options, &second), -EBUSY);
    EXPECT(second == NULL, 1);
    EXPECT(camlane_lane_remove(name, 0), -EBUSY);

    /* Loans. A lane of 1 seat, 2 pins, history 4 and 1 loan has 7 slots. */
    for (int i = 0; i < 4; i++)
        EXPECT(camlane_producer_loan(producer, &loans[i]), 0);
    camlane_meta meta = {.struct_size = sizeof meta, .layout = layout};
    meta.layout.bytes = meta.layout.planes[0].bytes = 1u << 20;
    EXPECT(camlane_producer_publish(producer, &loans[0], &meta, NULL, NULL), -EMSGSIZE);
    EXPECT(loans[0].handle == NULL && loans[0].data == NULL, 1); /* finished all the same */
    meta.layout = layout;
    EXPECT(camlane_producer_publish(producer, &loans[0], &meta, NULL, NULL), -EINVAL);
    meta.user_len = 65;
    EXPECT(camlane_producer_publish(producer, &loans[1], &meta, NULL, NULL), -EMSGSIZE);
    meta.user_len = 0;
    meta.clock = 256;
    EXPECT(camlane_producer_publish(producer, &loans[2], &meta, NULL, NULL), -EINVAL);
    meta.clock = CAMLANE_CLOCK_TAI;
    camlane_loan_return(&loans[3]);
    camlane_loan_return(&loans[3]);

    /* Frames: a seat may hold two. */
    EXPECT(camlane_consumer_open(name, NULL, &consumer), 0);
    EXPECT(camlane_consumer_try_next(consumer, &frame), -EAGAIN);
    EXPECT(camlane_consumer_next(consumer, 1, &frame), -ETIMEDOUT);
    camlane_frame_release(&frame);
    for (int i = 0; i < 3; i++) {
        EXPECT(camlane_producer_loan(producer, &loan), 0);
        EXPECT(camlane_producer_publish(producer, &loan, &meta, NULL, NULL), 0);
        EXPECT(camlane_consumer_next(consumer, 1000, &frames[i]), i < 2 ? 0 : -EDQUOT);
    }
    camlane_details details = {.struct_size = sizeof details};
    EXPECT(camlane_frame_details(&frames[0], &details), -ENODATA);
    camlane_frame_release(&frames[0]);
    camlane_frame_release(&frames[0]);
    EXPECT(camlane_frame_details(&frames[0], &details), -EINVAL);
    EXPECT(camlane_consumer_next(consumer, 1000, &frames[2]), 0);
    camlane_consumer *third;
    EXPECT(camlane_consumer_open(name, NULL, &third), -EUSERS);
    uint8_t little[8];
    camlane_observed seen;
    EXPECT(camlane_observer_open(name, &observer), 0);
    EXPECT(camlane_observer_copy(observer, little, sizeof little, NULL, 0, &seen), -EMSGSIZE);
    EXPECT(camlane_observer_peek(observer, &seen), 0);
    EXPECT(seen.number, 3);
    EXPECT(seen.meta.clock, CAMLANE_CLOCK_TAI);
    EXPECT(camlane_observer_wait(observer, 1), 0);
    camlane_observer_close(observer);
    camlane_stream_reader *reader;
    EXPECT(camlane_stream_open(name, NULL, &reader), -EPROTOTYPE);

    /* A handle inherited through fork does nothing, and closing it harms nobody. */
    pid_t child = fork();
    if (child == 0) {
        wrong = 0;
        EXPECT(camlane_consumer_next(consumer, 0, &frame), -ECHILD);
        EXPECT(camlane_producer_loan(producer, &loan), -ECHILD);
        camlane_frame_release(&frames[1]);
        camlane_consumer_close(consumer);
        camlane_producer_close(producer);
        fflush(stdout);
        _exit(wrong);
    }
    int status = 0;
    EXPECT(waitpid(child, &status, 0) == child && status == 0, 1);

    /* Two threads with one handle: the second is told. */
    camlane_totals totals;
    pthread_t waiting;
    pthread_create(&waiting, NULL, wait_for_ever, consumer);
    camlane_lane_info info = {.struct_size = sizeof info};
    int result;
    do
        result = camlane_consumer_totals(consumer, &totals);
    while (result == 0);
    EXPECT(result, -EBUSY);
    pthread_t elsewhere;
    EXPECT(camlane_lane_describe("no/name", &info), -EINVAL);
    pthread_create(&elsewhere, NULL, fail_elsewhere, &info);
    pthread_join(elsewhere, NULL);
    EXPECT(strstr(camlane_last_error(), "no/name") != NULL, 1);
    camlane_frame_release(&frames[1]);
    camlane_frame_release(&frames[2]);
    EXPECT(camlane_producer_loan(producer, &loan), 0);
    EXPECT(camlane_producer_publish(producer, &loan, &meta, NULL, NULL), 0);
    void *answer = NULL;
    pthread_join(waiting, &answer);
    EXPECT((intptr_t)answer, 0);

    EXPECT(camlane_consumer_describe(consumer, &info), 0);
    EXPECT(strcmp(info.name, name) == 0 && info.slots == 7 && info.pins == 2, 1);
    EXPECT(camlane_consumer_totals(consumer, &totals), 0);
    EXPECT(totals.delivered, 4);

    /* The end: what was published is read, then it is said once, and a frame outlives both. */
    EXPECT(camlane_producer_loan(producer, &loan), 0);
    memset(loan.data, 77, loan.len);
    EXPECT(camlane_producer_publish(producer, &loan, &meta, NULL, NULL), 0);
    camlane_producer_close(producer);
    EXPECT(camlane_consumer_next(consumer, 1000, &frame), 0);
    EXPECT(camlane_consumer_next(consumer, 1000, &frames[0]), -EPIPE);
    EXPECT(camlane_consumer_next(consumer, 1, &frames[0]), -EPIPE);
    camlane_consumer_close(consumer);
    EXPECT(frame.data[0] == 77 && frame.data[255] == 77, 1);
    camlane_frame_release(&frame);
    EXPECT(camlane_lane_describe(name, &info), -ENOENT);

    EXPECT(strcmp(camlane_strerror(-EBUSY), camlane_strerror(EBUSY)), 0);
    EXPECT(strlen(camlane_strerror(-ENOTTY)) > 0, 1);
    EXPECT(camlane_abi_version() >= CAMLANE_ABI_VERSION, 1);
    puts(wrong ? "wrong" : "all as the header says");
    return wrong;
}

/* The other process, in C: does as it is told line by line, and answers each line with "ok ..." or "error NUMBER TEXT".
 * Byte i of frame n is 16 n + i, as in the golden files; its user metadata is n in 8 bytes. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <camlane.h>

static camlane_producer *producer;
static camlane_consumer *consumer;
static camlane_observer *observer;
static camlane_stream_writer *writer;
static camlane_stream_reader *reader;
static camlane_layout layout;
static camlane_frame held[8];
static size_t holding;

static int fail(int result) {
    printf("error %d %s\n", result, camlane_last_error());
    return result;
}

static int shoot(void) {
    camlane_loan loan;
    int result = camlane_producer_loan(producer, &loan);
    if (result < 0)
        return fail(result);
    uint64_t number, next;
    camlane_producer_counts(producer, &next, NULL);
    next++;
    for (uint32_t i = 0; i < layout.bytes; i++)
        loan.data[i] = (uint8_t)(16 * next + i);
    memcpy(loan.user, &next, sizeof next);
    camlane_meta meta = {.struct_size = sizeof meta, .layout = layout, .user_len = sizeof next};
    meta.source_sequence = (uint32_t)next;
    meta.clock = CAMLANE_CLOCK_MONOTONIC;
    meta.reference = CAMLANE_REFERENCE_SYNTHETIC;
    meta.capture_ns = camlane_now_ns();
    camlane_details details = {.struct_size = sizeof details, .valid = CAMLANE_DETAIL_EXPOSURE, .exposure_ns = 8000000};
    result = camlane_producer_publish(producer, &loan, &meta, &details, &number);
    if (result < 0)
        return fail(result);
    return printf("ok number=%" PRIu64 "\n", number);
}

static int report(const camlane_frame *frame) {
    size_t wrong = 0;
    for (size_t i = 0; i < frame->len; i++)
        wrong += frame->data[i] != (uint8_t)(16 * frame->number + i);
    uint64_t user = 0;
    if (frame->user_len == sizeof user)
        memcpy(&user, frame->user, sizeof user);
    camlane_details details = {.struct_size = sizeof details};
    int stated = camlane_frame_details(frame, &details) == 0;
    return printf("ok number=%" PRIu64 " missed=%" PRIu64 " bytes=%zu wrong=%zu user=%" PRIu64 " change=%" PRIu32
                  " exposure=%" PRIu64 " format=%s planes=%" PRIu32 "\n",
                  frame->number, frame->missed, frame->len, wrong, user, frame->change,
                  stated ? details.exposure_ns : 0, camlane_format_name(frame->meta.layout.format),
                  frame->meta.layout.plane_count);
}

static int take(int timeout_ms, int keep) {
    camlane_frame frame;
    int result = camlane_consumer_next(consumer, timeout_ms, &frame);
    if (result < 0)
        return fail(result);
    report(&frame);
    if (keep && holding < sizeof held / sizeof *held)
        held[holding++] = frame;
    else
        camlane_frame_release(&frame);
    return 0;
}

/* Sleeps in poll until the descriptor is readable, then takes a frame without waiting. */
static int poll_and_take(int timeout_ms) {
    struct pollfd entry = {.fd = camlane_consumer_fd(consumer), .events = POLLIN};
    if (entry.fd < 0)
        return fail(entry.fd);
    for (;;) {
        camlane_frame frame;
        int result = camlane_consumer_next(consumer, 0, &frame);
        if (result == 0) {
            report(&frame);
            camlane_frame_release(&frame);
            return 0;
        }
        if (result != -110 /* ETIMEDOUT */)
            return fail(result);
        if (poll(&entry, 1, timeout_ms) == 0)
            return printf("error 0 poll timed out\n");
    }
}

static int obey(const char *order, const char *name, int number) {
    int result = 0;
    if (strcmp(order, "create") == 0) {
        camlane_lane_options options = {.struct_size = sizeof options, .seats = 4, .frame_id = "c_optical"};
        result = camlane_layout_rows(CAMLANE_NV12, (uint32_t)number, 6, 1, &layout);
        options.layout = layout;
        result = result < 0 ? result : camlane_producer_create(name, &options, &producer);
    } else if (strcmp(order, "shoot") == 0) {
        return shoot();
    } else if (strcmp(order, "open") == 0) {
        camlane_consumer_options options = {.struct_size = sizeof options, .read = (uint32_t)number};
        result = camlane_consumer_open(name, &options, &consumer);
    } else if (strcmp(order, "await") == 0) {
        camlane_consumer_options options = {.struct_size = sizeof options, .patience_ms = (uint32_t)number};
        result = camlane_consumer_open(name, &options, &consumer);
    } else if (strcmp(order, "next") == 0) {
        return take(number, 0);
    } else if (strcmp(order, "hold") == 0) {
        return take(number, 1);
    } else if (strcmp(order, "held") == 0) {
        return report(&held[number]);
    } else if (strcmp(order, "poll") == 0) {
        return poll_and_take(number);
    } else if (strcmp(order, "observe") == 0) {
        uint8_t pixels[4096], user[64];
        camlane_observed seen;
        result = observer ? 0 : camlane_observer_open(name, &observer);
        result = result < 0 ? result : camlane_observer_copy(observer, pixels, sizeof pixels, user, sizeof user, &seen);
        if (result == 0) {
            camlane_frame frame = {.data = pixels, .len = seen.meta.layout.bytes, .user = user, .number = seen.number};
            frame.user_len = seen.meta.user_len;
            frame.meta = seen.meta;
            return report(&frame);
        }
    } else if (strcmp(order, "write-stream") == 0) {
        camlane_stream_options options = {.struct_size = sizeof options, .capacity = 64};
        result = camlane_stream_create(name, &options, &writer);
    } else if (strcmp(order, "write") == 0) {
        size_t written;
        result = camlane_stream_write(writer, (const uint8_t *)name, strlen(name), number, &written);
        if (result == 0)
            return printf("ok written=%zu\n", written);
    } else if (strcmp(order, "read-stream") == 0) {
        result = camlane_stream_open(name, NULL, &reader);
    } else if (strcmp(order, "read") == 0) {
        char bytes[65];
        size_t len;
        result = camlane_stream_read(reader, (uint8_t *)bytes, sizeof bytes - 1, number, &len);
        if (result == 0) {
            bytes[len] = 0;
            return printf("ok text=%s\n", bytes);
        }
    } else if (strcmp(order, "lanes") == 0) {
        camlane_lanes *lanes;
        camlane_lane_info info = {.struct_size = sizeof info};
        result = camlane_lanes_open(&lanes);
        for (size_t i = 0; result == 0 && i < camlane_lanes_count(lanes); i++)
            if (camlane_lanes_get(lanes, i, &info) == 0 && strcmp(info.name, name) == 0)
                printf("ok health=%" PRIu32 " seats=%" PRIu32 " taken=%" PRIu32 " frame_id=%s\n", info.health, info.seats,
                       info.seats_in_use, info.frame_id);
        camlane_lanes_close(lanes);
        return 0;
    } else if (strcmp(order, "close") == 0) {
        for (size_t i = 0; i < holding; i++)
            camlane_frame_release(&held[i]);
        camlane_consumer_close(consumer);
        camlane_producer_close(producer);
        camlane_observer_close(observer);
        camlane_stream_close(reader);
        camlane_stream_end(writer);
        consumer = NULL, producer = NULL, observer = NULL, reader = NULL, writer = NULL, holding = 0;
    } else {
        result = -1;
    }
    return result < 0 ? fail(result) : printf("ok\n");
}

int main(void) {
    char line[512], order[32], name[256];
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin) != NULL) {
        int number = 0;
        order[0] = name[0] = 0;
        if (sscanf(line, "%31s %255s %d", order, name, &number) < 1)
            continue;
        if (strcmp(order, "quit") == 0)
            break;
        obey(order, name, number);
    }
    return 0;
}

/* A consumer in C: reads the newest frames where they lie, without a copy.
 *
 *     cc read.c -o read $(pkg-config --cflags --libs camlane) && ./read front-door
 *
 * while examples/produce.rs, or `camlane publish front-door`, runs. A second argument is the number of frames to read. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <camlane.h>

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "front-door";
    long frames = argc > 2 ? strtol(argv[2], NULL, 10) : -1;
    camlane_consumer_options options = {.struct_size = sizeof options, .patience_ms = 10000};
    camlane_consumer *lane;
    if (camlane_consumer_open(name, &options, &lane) < 0) {
        fprintf(stderr, "%s\n", camlane_last_error());
        return EXIT_FAILURE;
    }
    while (frames != 0) {
        camlane_frame frame;
        int result = camlane_consumer_next(lane, 500, &frame);
        if (result == -ETIMEDOUT || result == -EOWNERDEAD) {
            fprintf(stderr, "waiting for the producer\n");
            continue;
        }
        if (result == -EPIPE)
            break; /* it left for good; a restart is followed by itself */
        if (result < 0) {
            fprintf(stderr, "%s\n", camlane_last_error());
            return EXIT_FAILURE;
        }
        uint64_t sum = 0;
        for (size_t i = 0; i < frame.len; i++)
            sum += frame.data[i];
        const camlane_layout *picture = &frame.meta.layout;
        printf("frame %" PRIu64 ": %s %" PRIu32 "x%" PRIu32 ", mean %" PRIu64 ", missed %" PRIu64 ", %" PRIu64 " us old\n",
               frame.number, camlane_format_name(picture->format), picture->width, picture->height,
               frame.len ? sum / frame.len : 0, frame.missed, (camlane_now_ns() - frame.meta.publish_ns) / 1000);
        camlane_frame_release(&frame); /* before this its bytes do not change, whatever the producer does */
        if (frames > 0)
            frames--;
    }
    camlane_consumer_close(lane);
    return EXIT_SUCCESS;
}

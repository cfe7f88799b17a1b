/* The header-only reader, without the library: `reader golden LANE-FILE STREAM-FILE` reads the golden bytes, and then every
 * damaged version of them; `reader live LANE` reads a running lane both ways, line by line as it is told. */
#define _GNU_SOURCE /* F_OFD_SETLK */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <camlane_reader.h>

static int wrong;

static void expect_at(int line, const char *what, uint64_t found, uint64_t expected) {
    if (found != expected) {
        wrong = 1;
        printf("line %d: %s is %" PRIu64 ", not %" PRIu64 "\n", line, what, found, expected);
    }
}
#define EXPECT(what, expected) expect_at(__LINE__, #what, (uint64_t)(what), (uint64_t)(expected))

/* The file in memory of exactly its size, so that a sanitizer sees the first byte beyond. */
static uint8_t *load(const char *path, size_t *len) {
    FILE *file = fopen(path, "rb");
    uint8_t bytes[1 << 16];
    if (file == NULL)
        exit(2);
    *len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    uint8_t *copy = malloc(*len);
    memcpy(copy, bytes, *len);
    return copy;
}

/* core/FORMAT.md section 13. */
static size_t wrong_pixels(const uint8_t *pixels, size_t len, uint64_t number) {
    size_t count = 0;
    for (size_t i = 0; i < len; i++)
        count += pixels[i] != (uint8_t)(16 * number + i);
    return count;
}

static void golden_lane(uint8_t *bytes, size_t len) {
    camlane_reader reader;
    camlane_shm_info info;
    EXPECT(camlane_reader_attach(&reader, bytes, len), 0);
    EXPECT(camlane_reader_state(&reader), CAMLANE_STATE_LIVE);
    EXPECT(camlane_reader_bell(&reader), 5);
    EXPECT(camlane_reader_pause(&reader), 0);
    bytes[0x98] = CAMLANE_PAUSE_BUSY, bytes[0x9a] = 16; /* FORMAT.md section 3: EBUSY */
    EXPECT(camlane_reader_pause(&reader), 16u << 16 | CAMLANE_PAUSE_BUSY);
    bytes[0x98] = bytes[0x9a] = 0;
    EXPECT(reader.shape.slots == 15 && reader.shape.history == 4 && reader.shape.loans == 5 && reader.shape.pins == 3, 1);
    EXPECT(camlane_reader_info(&reader, &info), 0);
    EXPECT(memcmp(info.name, "golden", 7) == 0 && memcmp(info.calibration, "sha256:c0ffee", 14) == 0, 1);
    EXPECT(info.format == CAMLANE_NV12 && info.width == 8 && info.height == 4 && info.rate_numerator == 30000, 1);

    uint8_t pixels[50], user[16];
    camlane_observed seen;
    EXPECT(camlane_reader_copy(&reader, pixels, sizeof pixels, user, sizeof user, &seen), 1);
    EXPECT(seen.number, 5);
    EXPECT(wrong_pixels(pixels, seen.meta.layout.bytes, 5), 0);
    EXPECT(camlane_reader_copy(&reader, pixels, 36, NULL, 0, &seen), CAMLANE_READER_TOO_SMALL);
    EXPECT(seen.meta.layout.bytes, 37);

    /* Seat 1's owner is dead: its words are cleared, and the frames of the history come in order. */
    const size_t seats_off = (size_t)camlane_reader_wide_(reader.shape.seats_off);
    camlane_reader_seat seat;
    camlane_reader_frame frame, first, all[3];
    EXPECT(camlane_reader_sit(&reader, bytes + seats_off, len - seats_off, 2, 7, &seat), CAMLANE_READER_SEAT);
    EXPECT(camlane_reader_sit(&reader, bytes + seats_off, 192, 1, 7, &seat), CAMLANE_READER_SEAT);
    EXPECT(camlane_reader_sit(&reader, bytes + seats_off, len - seats_off, 1, 7, &seat), 0);
    EXPECT(seat.seat->pid == 7 && seat.seat->sleeping == 0, 1);
    seat.started = 1; /* as one who was there from the beginning: frame 1 was retired meanwhile */
    EXPECT(camlane_reader_next(&seat, 1, &first), 1);
    EXPECT(first.number == 2 && first.missed == 1, 1);
    EXPECT(wrong_pixels(first.data, first.meta.layout.bytes, 2), 0);
    EXPECT(first.meta.layout.format == CAMLANE_GRAY8 && first.meta.layout.width == 5 && first.meta.layout.height == 3, 1);
    EXPECT(first.meta.layout.planes[0].stride == 8 && first.meta.capture_ns == 0xabc00000002u, 1);
    EXPECT(first.meta.clock == CAMLANE_CLOCK_BOOTTIME && first.meta.source_sequence == 102 && !first.has_details, 1);

    EXPECT(camlane_reader_next(&seat, 1, &frame), 1);
    EXPECT(frame.number == 3 && frame.meta.user_len == 10 && memcmp(frame.user, "user bytes", 10) == 0, 1);
    EXPECT(frame.has_details, 1);
    const camlane_details *d = &frame.details;
    EXPECT(d->primaries == 1 && d->transfer == 13 && d->matrix == 6 && d->range == 2 && d->chroma_site == 1, 1);
    EXPECT(d->significant_bits == 8 && d->orientation == 6 && d->fourcc_namespace == 1 && d->valid == 0x3fff, 1);
    EXPECT(memcmp(&d->fourcc, "YUYV", 4), 0);
    EXPECT(d->exposure_ns == 0x100000001 && d->frame_duration_ns == 0x100000002, 1);
    EXPECT(d->analogue_gain == 0x18000 && d->digital_gain == 0x10000 && d->red_gain == 0x20000, 1);
    EXPECT(d->blue_gain == 0x14000 && d->colour_temperature_k == 5600 && d->lens_position == 0x8000, 1);
    EXPECT(d->sensor_temperature_mc == -1500 && d->trigger == 3 && d->roi_x == 10 && d->roi_y == 20, 1);
    EXPECT(d->roi_width == 600 && d->roi_height == 200 && d->binning_x == 2 && d->binning_y == 4, 1);
    EXPECT(d->black_levels[0] == 64 && d->black_levels[3] == 67 && d->upstream_lane == 77, 1);
    EXPECT(d->upstream_number == 0x100000003 && d->pts_offset_ns == -40000000, 1);
    camlane_reader_release(&seat, &frame);

    for (int i = 0; i < 2; i++)
        EXPECT(camlane_reader_next(&seat, 1, &all[i]), 1);
    EXPECT(all[0].meta.flags == (CAMLANE_FLAG_KEY | CAMLANE_FLAG_COPIED) && all[0].meta.layout.format == CAMLANE_JPEG, 1);
    EXPECT(all[1].number == 5 && all[1].meta.layout.plane_count == 2 && all[1].meta.layout.planes[1].offset == 21, 1);
    EXPECT(all[1].details.valid == (CAMLANE_DETAIL_EXPOSURE | CAMLANE_DETAIL_PTS_OFFSET), 1);
    EXPECT(camlane_reader_next(&seat, 1, &all[2]), 0);
    seat.cursor = 4;
    EXPECT(camlane_reader_next(&seat, 0, &all[2]), CAMLANE_READER_PINNED);
    camlane_reader_release(&seat, &first);
    EXPECT(camlane_reader_next(&seat, 0, &all[2]), 1);
    EXPECT(camlane_reader_stream(&seat, pixels, 1), CAMLANE_READER_KIND);
    for (int i = 0; i < 3; i++)
        camlane_reader_release(&seat, &all[i]);
    camlane_reader_stand_up(&seat);
    for (int i = 0; i < 8; i++)
        EXPECT(seat.seat->cells[i], 0);
}

static void golden_stream(uint8_t *bytes, size_t len) {
    camlane_reader reader;
    camlane_reader_seat seat;
    uint8_t text[64];
    camlane_observed seen;
    EXPECT(camlane_reader_attach(&reader, bytes, len), 0);
    EXPECT(camlane_reader_copy(&reader, text, sizeof text, NULL, 0, &seen), CAMLANE_READER_KIND);
    const size_t seats_off = (size_t)camlane_reader_wide_(reader.shape.seats_off);
    EXPECT(camlane_reader_sit(&reader, bytes + seats_off, len - seats_off, 0, 7, &seat), 0);
    EXPECT(camlane_reader_stream(&seat, text, 5), 5); /* bytes 50..90 are left, across the end of the ring */
    EXPECT(camlane_reader_stream(&seat, text + 5, sizeof text - 5), 35);
    for (uint8_t i = 0; i < 40; i++)
        EXPECT(text[i], 50 + i);
    EXPECT(camlane_reader_stream(&seat, text, sizeof text), 0);
    EXPECT(camlane_reader_writer_sleeps(&reader), 0);
}

/* Reads whatever there is, as if it were a lane; nothing may be touched outside of `bytes`. */
static int read_all(uint8_t *bytes, size_t len) {
    camlane_reader reader;
    camlane_reader_seat seat;
    camlane_reader_frame frame;
    camlane_shm_info info;
    camlane_observed seen;
    uint8_t pixels[64], user[64];
    if (camlane_reader_attach(&reader, bytes, len) != 0)
        return 0;
    camlane_reader_info(&reader, &info);
    camlane_reader_copy(&reader, pixels, sizeof pixels, user, sizeof user, &seen);
    const uint64_t seats_off = camlane_reader_wide_(reader.shape.seats_off);
    if (seats_off >= len || camlane_reader_sit(&reader, bytes + seats_off, len - seats_off, 0, 7, &seat) != 0)
        return 1;
    unsigned sum = 0;
    seat.started = 1;
    for (int i = 0; i < 8 && camlane_reader_next(&seat, 1, &frame) == 1; i++) {
        for (uint32_t at = 0; at < frame.meta.layout.bytes; at++)
            sum += frame.data[at];
        for (uint32_t plane = 0; plane < frame.meta.layout.plane_count; plane++)
            for (uint32_t at = 0; at < frame.meta.layout.planes[plane].bytes; at++)
                sum += frame.data[frame.meta.layout.planes[plane].offset + at];
        for (uint32_t at = 0; at < frame.meta.user_len; at++)
            sum += frame.user[at];
        camlane_reader_release(&seat, &frame);
    }
    camlane_reader_stream(&seat, pixels, sizeof pixels);
    return sum != 1;
}

/* Every byte in turn gets other values, with a checksum that is right again; and every shorter file is read. */
static void damaged(const uint8_t *bytes, size_t len) {
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    unsigned long accepted = 0, tried = 0;
    for (size_t at = 0; at < len; at++)
        for (size_t i = 0; i < sizeof values; i++) {
            uint8_t *copy = malloc(len);
            memcpy(copy, bytes, len);
            copy[at] = values[i];
            if (at < 0x7c) {
                const uint32_t crc = camlane_reader_crc_(copy, 0x7c);
                memcpy(copy + 0x7c, &crc, 4);
            }
            accepted += (unsigned long)read_all(copy, len);
            tried++;
            free(copy);
        }
    for (size_t shorter = 0; shorter < len; shorter += 4) {
        uint8_t *copy = malloc(shorter + 1);
        memcpy(copy, bytes, shorter);
        read_all(copy, shorter);
        free(copy);
    }
    printf("read %lu of %lu damaged files\n", accepted, tried);
}

static void *map(const char *lane, const char *part, int write, size_t *len) {
    char path[128];
    struct stat stat;
    snprintf(path, sizeof path, "/camlane.%s.%s", lane, part);
    const int fd = shm_open(path, write ? O_RDWR : O_RDONLY, 0);
    if (fd < 0 || fstat(fd, &stat) != 0)
        exit(3);
    *len = (size_t)stat.st_size;
    void *memory = mmap(NULL, *len, write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        exit(3);
    close(fd);
    return memory;
}

/* The seat is ours while this process holds its byte of the lock file (FORMAT.md section 9). */
static int take_seat(const char *lane, uint32_t seats) {
    char path[128];
    snprintf(path, sizeof path, "/camlane.%s.lock", lane);
    const int fd = shm_open(path, O_RDWR, 0);
    for (uint32_t seat = 0; seat < seats; seat++) {
        struct flock byte = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)seat + 1, .l_len = 1};
        if (fcntl(fd, F_OFD_SETLK, &byte) == 0)
            return (int)seat;
    }
    return -1;
}

static int live(const char *lane) {
    size_t len, seats_len;
    const void *data = map(lane, "data", 0, &len);
    void *seats = map(lane, "seats", 1, &seats_len);
    camlane_reader reader;
    camlane_reader_seat seat;
    camlane_reader_frame frame;
    char order[16];
    uint8_t pixels[4096], user[64];
    if (camlane_reader_attach(&reader, data, len) != 0)
        return 4;
    const int index = take_seat(lane, reader.shape.seats);
    if (index < 0 || camlane_reader_sit(&reader, seats, seats_len, (uint32_t)index, (uint32_t)getpid(), &seat) != 0)
        return 5;
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (scanf("%15s", order) == 1 && strcmp(order, "quit") != 0) {
        camlane_observed seen;
        if (strcmp(order, "copy") == 0) {
            const int result = camlane_reader_copy(&reader, pixels, sizeof pixels, user, sizeof user, &seen);
            if (result == 1)
                printf("ok number=%" PRIu64 " wrong=%zu user=%d\n", seen.number,
                       wrong_pixels(pixels, seen.meta.layout.bytes, seen.number), memcmp(user, &seen.number, 8) == 0);
            else
                printf("none result=%d\n", -result);
        } else if (strcmp(order, "held") == 0) {
            printf("ok number=%" PRIu64 " wrong=%zu\n", frame.number,
                   wrong_pixels(frame.data, frame.meta.layout.bytes, frame.number));
        } else if (strcmp(order, "release") == 0) {
            camlane_reader_release(&seat, &frame);
            printf("ok\n");
        } else if (strcmp(order, "next") == 0) {
            const int result = camlane_reader_next(&seat, 1, &frame);
            if (result == 1)
                printf("ok number=%" PRIu64 " missed=%" PRIu64 " wrong=%zu\n", frame.number, frame.missed,
                       wrong_pixels(frame.data, frame.meta.layout.bytes, frame.number));
            else
                printf("none result=%d\n", -result);
        } else if (strcmp(order, "storm") == 0) { /* copies and pins against the producer's full speed */
            unsigned long copied = 0, pinned = 0, torn = 0;
            while (camlane_reader_state(&reader) == CAMLANE_STATE_LIVE) {
                if (camlane_reader_copy(&reader, pixels, sizeof pixels, user, sizeof user, &seen) == 1) {
                    copied++;
                    torn += wrong_pixels(pixels, seen.meta.layout.bytes, seen.number) != 0;
                }
                if (camlane_reader_next(&seat, 0, &frame) == 1) {
                    pinned++;
                    torn += wrong_pixels(frame.data, frame.meta.layout.bytes, frame.number) != 0;
                    camlane_reader_release(&seat, &frame);
                }
            }
            printf("ok copied=%lu pinned=%lu torn=%lu\n", copied, pinned, torn);
        }
    }
    camlane_reader_stand_up(&seat);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "live") == 0)
        return live(argv[2]);
    if (argc != 4)
        return 2;
    for (int i = 2; i < 4; i++) {
        size_t len;
        uint8_t *bytes = load(argv[i], &len);
        damaged(bytes, len);
        i == 2 ? golden_lane(bytes, len) : golden_stream(bytes, len);
        free(bytes);
    }
    puts(wrong ? "wrong" : "as the text says");
    return wrong;
}

/* camlane_reader.h - reads a lane's bytes where they are: plain C, no library, no operating system, no allocation.
 *
 * For firmware and other programs that reach the memory of a lane but cannot link libcamlane: a second core that shares
 * RAM, an RTOS beside Linux, a tool that looks at a dump. It needs camlane.h for its types, and nothing but that file.
 * core/FORMAT.md says what the bytes mean; letters in parentheses are its steps.
 *
 *     camlane_reader reader;
 *     if (camlane_reader_attach(&reader, data, data_len) == 0)
 *         if (camlane_reader_copy(&reader, pixels, sizeof pixels, NULL, 0, &frame) == 1)
 *             use(pixels, frame.meta.layout.bytes);
 *
 * Two ways to read: camlane_reader_copy needs read permission alone, copies, and trusts nobody. camlane_reader_next
 * reads in place, needs a seat of its own, and a producer that keeps to the protocol. The caller makes sure that nobody
 * else uses the seat, and sleeps or polls by its own means: camlane_reader_bell changes with every publish.
 *
 * Functions return 1 for "here it is", 0 for success or "nothing", and a negative CAMLANE_READER_*.
 *
 * Atomic 32-bit loads and stores come from GCC's and Clang's builtins; for another compiler define all five CAMLANE_LOAD,
 * CAMLANE_STORE, CAMLANE_STORE_RELEASE, CAMLANE_ACQUIRE, CAMLANE_FENCE before the include. On a core that is not coherent
 * with its producer's, the memory must be mapped uncached. Little-endian only.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef CAMLANE_READER_H
#define CAMLANE_READER_H

#include <string.h>

#include "camlane.h"

#ifndef CAMLANE_LOAD
#define CAMLANE_LOAD(word) __atomic_load_n((word), __ATOMIC_RELAXED)
#define CAMLANE_STORE(word, value) __atomic_store_n((word), (value), __ATOMIC_RELAXED)
#define CAMLANE_STORE_RELEASE(word, value) __atomic_store_n((word), (value), __ATOMIC_RELEASE)
#define CAMLANE_ACQUIRE() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define CAMLANE_FENCE() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "camlane's shared bytes are little-endian and are used in place"
#endif

#define CAMLANE_READER_FOREIGN (-1)   /* no camlane object */
#define CAMLANE_READER_VERSION (-2)   /* another layout version */
#define CAMLANE_READER_NOT_READY (-3) /* its producer is still making it: try again */
#define CAMLANE_READER_CORRUPT (-4)   /* its words contradict each other, or it was cut */
#define CAMLANE_READER_SEAT (-5)      /* no seat of this run of this lane */
#define CAMLANE_READER_TOO_SMALL (-6) /* the frame is larger than the buffer; `observed` says how large */
#define CAMLANE_READER_BUSY (-7)      /* the producer was faster at every try: try again */
#define CAMLANE_READER_PINNED (-8)    /* the seat holds all the frames that it may */
#define CAMLANE_READER_KIND (-9)      /* frames where a byte stream is wanted, or the other way round */

/* How often a read starts again when the producer overtakes it. */
#define CAMLANE_READER_TRIES 8

/* A lane's DATA object, checked: every offset below lies inside it. */
typedef struct camlane_reader {
    const uint8_t *data;
    camlane_shm_header shape; /* a copy: what lies in the lane is not looked at again */
    size_t payload;
} camlane_reader;

/* A seat, and what its reader remembers. */
typedef struct camlane_reader_seat {
    const camlane_reader *reader;
    camlane_shm_seat *seat;
    uint64_t cursor;  /* number of the newest frame delivered */
    uint32_t held;    /* a bit for each cell that holds a frame */
    uint32_t started; /* frames before the first delivered do not count as missed */
} camlane_reader_seat;

/* A frame, read in place, until it is released. */
typedef struct camlane_reader_frame {
    const uint8_t *data; /* meta.layout.bytes of it */
    const uint8_t *user; /* meta.user_len of it */
    uint64_t number;
    uint64_t missed; /* since this seat's previous frame */
    camlane_meta meta;
    uint32_t has_details;
    uint32_t cell;
    camlane_details details;
} camlane_reader_frame;

static inline uint64_t camlane_reader_wide_(const uint32_t half[2]) {
    return (uint64_t)half[1] << 32 | half[0];
}

/* CRC-32/ISO-HDLC, bit by bit: it runs twice in a lane's life and should cost no table. */
static inline uint32_t camlane_reader_crc_(const void *bytes, size_t len) {
    const uint8_t *byte = (const uint8_t *)bytes;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < len; i++) {
        crc ^= byte[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1u)));
    }
    return ~crc;
}

static inline const uint32_t *camlane_reader_word_(const camlane_reader *reader, size_t offset) {
    return (const uint32_t *)(const void *)(reader->data + offset);
}

/* Copies whole words by atomic loads, so that the copy is defined even while a producer writes them. */
static inline void camlane_reader_fetch_(void *into, const uint32_t *words, size_t len) {
    uint8_t *to = (uint8_t *)into;
    for (; len >= 4; len -= 4, to += 4, words++) {
        const uint32_t value = CAMLANE_LOAD(words);
        memcpy(to, &value, 4);
    }
    if (len > 0) { /* strides are multiples of 4: the word that holds the last byte is inside */
        const uint32_t value = CAMLANE_LOAD(words);
        memcpy(to, &value, len);
    }
}

static inline const camlane_shm_live *camlane_reader_live_(const camlane_reader *reader) {
    return (const camlane_shm_live *)(const void *)(reader->data + sizeof(camlane_shm_header));
}

/* FORMAT.md section 2. Sums are done in 64 bits: no field can make them overflow before it is refused. */
static inline int camlane_reader_is_sound_(const camlane_shm_header *h, uint64_t len) {
    const int stream = (h->flags & CAMLANE_SHM_STREAM) != 0;
    const uint64_t total = camlane_reader_wide_(h->total_len), payload = camlane_reader_wide_(h->payload_off);
    const uint64_t seats_off = camlane_reader_wide_(h->seats_off), places = h->seat_places ? h->seat_places : 1;
    if (total > len || total > (uint64_t)INT64_MAX || total > SIZE_MAX || h->header_len < 0x240)
        return 0;
    if (stream ? h->slots != 0 || h->ring_len != 0 || h->seats != 1
               : h->slots < 1 || h->slots > 65534 || h->ring_len < h->slots || h->ring_len > 65536 ||
                     (h->ring_len & (h->ring_len - 1)) != 0 || h->history < 1 || h->loans < 1 ||
                     (uint64_t)h->history + h->loans > h->slots)
        return 0;
    if (h->seats < 1 || h->seats > 4096 || h->pins < 1 || h->pins > 8 || h->slot_size < 1)
        return 0;
    if (stream && (h->slot_size > 0x80000000u || (h->slot_size & (h->slot_size - 1)) != 0))
        return 0;
    if (h->slot_stride < h->slot_size || h->desc_stride < sizeof(camlane_shm_descriptor))
        return 0;
    if (h->seat_stride < sizeof(camlane_shm_seat) * places || (places & (places - 1)) != 0)
        return 0;
    if (((h->slot_stride | h->desc_stride | h->seat_stride | h->ring_off | h->desc_off | payload | seats_off) & 3) != 0)
        return 0;
    if (h->page == 0 || (h->page & (h->page - 1)) != 0)
        return 0;
    if (h->ring_off < h->header_len || h->desc_off < h->ring_off + 4 * (uint64_t)h->ring_len)
        return 0;
    if (payload > total || payload < h->desc_off + (uint64_t)h->slots * h->desc_stride)
        return 0;
    if ((stream ? 1 : (uint64_t)h->slots) * h->slot_stride > total - payload)
        return 0;
    return (seats_off == 0 || seats_off >= total) &&
           seats_off <= (uint64_t)INT64_MAX - (uint64_t)h->seats * h->seat_stride;
}

/* Checks a DATA object: `len` bytes at `data`, which is 4-byte aligned. Whatever they are, nothing outside is read. */
static inline int camlane_reader_attach(camlane_reader *reader, const void *data, uint64_t len) {
    reader->data = (const uint8_t *)data;
    if (len < 0x240 || ((uintptr_t)data & 3) != 0)
        return CAMLANE_READER_FOREIGN;
    const uint32_t state = CAMLANE_LOAD(&camlane_reader_live_(reader)->state);
    CAMLANE_ACQUIRE(); /* a LIVE object's header is whole */
    camlane_reader_fetch_(&reader->shape, camlane_reader_word_(reader, 0), sizeof reader->shape);
    if (memcmp(reader->shape.magic, "camlane", 8) != 0)
        return CAMLANE_READER_FOREIGN;
    if (reader->shape.layout >> 16 != CAMLANE_LAYOUT_VERSION >> 16)
        return CAMLANE_READER_VERSION;
    if (camlane_reader_crc_(&reader->shape, sizeof reader->shape - 4) != reader->shape.crc ||
        !camlane_reader_is_sound_(&reader->shape, len))
        return CAMLANE_READER_CORRUPT;
    if (state == CAMLANE_STATE_INIT)
        return CAMLANE_READER_NOT_READY;
    if (state > CAMLANE_STATE_SUPERSEDED)
        return CAMLANE_READER_CORRUPT;
    reader->payload = (size_t)camlane_reader_wide_(reader->shape.payload_off);
    return 0;
}

/* CAMLANE_STATE_*. LIVE does not mean that the producer still runs. */
static inline uint32_t camlane_reader_state(const camlane_reader *reader) {
    const uint32_t state = CAMLANE_LOAD(&camlane_reader_live_(reader)->state);
    CAMLANE_ACQUIRE(); /* what came before an end is visible after it */
    return state <= CAMLANE_STATE_SUPERSEDED ? state : CAMLANE_STATE_CLOSED;
}

/* Changes at every publish and every change of state. Read it, look, and if there was nothing wait for it to change. */
static inline uint32_t camlane_reader_bell(const camlane_reader *reader) {
    const uint32_t bell = CAMLANE_LOAD(&camlane_reader_live_(reader)->bell);
    CAMLANE_ACQUIRE();
    return bell;
}

/* Why no frames come, if the producer says so: CAMLANE_PAUSE_* in the low half, an errno in the high half; 0: nothing. */
static inline uint32_t camlane_reader_pause(const camlane_reader *reader) {
    return CAMLANE_LOAD(&camlane_reader_live_(reader)->pause);
}

/* What the lane says about itself: texts without NUL if they fill their field. */
static inline int camlane_reader_info(const camlane_reader *reader, camlane_shm_info *info) {
    camlane_reader_fetch_(info, camlane_reader_word_(reader, 0x100), sizeof *info);
    return camlane_reader_crc_(info, sizeof *info - 4) == info->crc ? 0 : CAMLANE_READER_CORRUPT;
}

static inline const camlane_shm_descriptor *camlane_reader_descriptor_(const camlane_reader *reader, uint32_t slot) {
    const size_t offset = reader->shape.desc_off + (size_t)slot * reader->shape.desc_stride;
    return (const camlane_shm_descriptor *)(const void *)(reader->data + offset);
}

static inline size_t camlane_reader_payload_(const camlane_reader *reader, uint32_t slot) {
    return reader->payload + (size_t)slot * reader->shape.slot_stride;
}

/* FORMAT.md section 6: what a descriptor claims, cut to what is there. */
static inline void camlane_reader_meta_(const camlane_reader *reader, const camlane_shm_descriptor *from,
                                        camlane_meta *meta) {
    const uint32_t room = reader->shape.desc_stride - (uint32_t)sizeof *from, planes = from->kinds >> 16 & 0xff;
    memset(meta, 0, sizeof *meta);
    meta->struct_size = sizeof *meta;
    meta->flags = from->flags;
    meta->capture_ns = camlane_reader_wide_(from->capture_ns);
    meta->publish_ns = camlane_reader_wide_(from->publish_ns);
    meta->source_sequence = from->source_sequence;
    meta->user_len = from->user_len < room ? from->user_len : room;
    meta->clock = from->kinds & 0xff;
    meta->reference = from->kinds >> 8 & 0xff;
    meta->layout.format = from->format;
    meta->layout.width = from->width;
    meta->layout.height = from->height;
    meta->layout.bytes = from->len;
    meta->layout.plane_count = planes < 4 ? planes : 4;
    memcpy(meta->layout.planes, from->planes, meta->layout.plane_count * sizeof from->planes[0]);
    for (uint32_t i = 0; i < meta->layout.plane_count; i++)
        if ((uint64_t)from->planes[i][0] + from->planes[i][3] > from->len)
            meta->layout.plane_count = 0;
}

static inline void camlane_reader_details_(const camlane_shm_descriptor *from, camlane_details *to) {
    const uint32_t *w = from->details;
    memset(to, 0, sizeof *to);
    to->struct_size = sizeof *to;
    to->valid = w[3];
    to->primaries = (uint8_t)w[0];
    to->transfer = (uint8_t)(w[0] >> 8);
    to->matrix = (uint8_t)(w[0] >> 16);
    to->range = (uint8_t)(w[0] >> 24);
    to->chroma_site = (uint8_t)w[1];
    to->significant_bits = (uint8_t)(w[1] >> 8);
    to->orientation = (uint8_t)(w[1] >> 16);
    to->fourcc_namespace = (uint8_t)(w[1] >> 24);
    to->fourcc = w[2];
    to->exposure_ns = camlane_reader_wide_(&w[4]);
    to->frame_duration_ns = camlane_reader_wide_(&w[6]);
    to->analogue_gain = w[8];
    to->digital_gain = w[9];
    to->red_gain = w[10];
    to->blue_gain = w[11];
    to->colour_temperature_k = w[12];
    to->lens_position = w[13];
    to->sensor_temperature_mc = (int32_t)w[14];
    to->trigger = w[15];
    to->roi_x = w[16];
    to->roi_y = w[17];
    to->roi_width = w[18];
    to->roi_height = w[19];
    to->binning_x = (uint16_t)(w[20] & 0xffff);
    to->binning_y = (uint16_t)(w[20] >> 16);
    memcpy(to->black_levels, &w[21], sizeof to->black_levels);
    to->upstream_lane = w[25];
    to->upstream_number = camlane_reader_wide_(&w[26]);
    to->pts_offset_ns = (int64_t)camlane_reader_wide_(&w[28]);
}

/* ---- Copying, without a seat ------------------------------------------------------------------------------------- */

static inline int camlane_reader_holds_(const uint32_t *word, uint32_t number) {
    const uint32_t value = CAMLANE_LOAD(word);
    return value >> 2 == number && ((value & 3) == 1 || (value & 3) == 2); /* READY or RETIRED */
}

/* Copies the newest frame out, and the user's metadata as far as there is room. 1: here it is; 0: no frame yet. */
static inline int camlane_reader_copy(const camlane_reader *reader, void *pixels, size_t room, void *user, size_t user_room,
                                      camlane_observed *observed) {
    if (reader->shape.slots == 0)
        return CAMLANE_READER_KIND;
    for (int attempt = 0; attempt < CAMLANE_READER_TRIES; attempt++) {
        const uint32_t latest = CAMLANE_LOAD(&camlane_reader_live_(reader)->latest);
        CAMLANE_ACQUIRE(); /* (i) */
        if (latest == 0)
            return 0;
        const uint32_t number = latest >> 2, entry = number & (reader->shape.ring_len - 1);
        const uint32_t slot = CAMLANE_LOAD(camlane_reader_word_(reader, reader->shape.ring_off) + entry);
        if (slot >= reader->shape.slots)
            return CAMLANE_READER_CORRUPT;
        const camlane_shm_descriptor *place = camlane_reader_descriptor_(reader, slot);
        const uint32_t low = CAMLANE_LOAD(&place->number[0]), high = CAMLANE_LOAD(&place->number[1]);
        CAMLANE_ACQUIRE(); /* (j) */
        if (!camlane_reader_holds_(&place->word, number))
            continue;
        CAMLANE_ACQUIRE();
        camlane_shm_descriptor copy;
        camlane_reader_fetch_(&copy, &place->word, sizeof copy);
        if (copy.len > reader->shape.slot_size)
            return CAMLANE_READER_CORRUPT;
        camlane_reader_meta_(reader, &copy, &observed->meta);
        const int fits = copy.len <= room;
        const size_t user_len = observed->meta.user_len < user_room ? observed->meta.user_len : user_room;
        if (fits)
            camlane_reader_fetch_(pixels, camlane_reader_word_(reader, camlane_reader_payload_(reader, slot)), copy.len);
        if (user_len > 0)
            camlane_reader_fetch_(user, (const uint32_t *)(const void *)(place + 1), user_len);
        CAMLANE_ACQUIRE();
        if (!camlane_reader_holds_(&place->word, number))
            continue;
        CAMLANE_ACQUIRE(); /* (k) */
        if (CAMLANE_LOAD(&place->number[0]) != low || CAMLANE_LOAD(&place->number[1]) != high)
            continue;
        observed->number = (uint64_t)high << 32 | low;
        return fits ? 1 : CAMLANE_READER_TOO_SMALL;
    }
    return CAMLANE_READER_BUSY;
}

/* ---- Reading in place, with a seat --------------------------------------------------------------------------------- */

/* Sits down in seat `index`; `seats` are `len` writable bytes from the first seat on. The reader must stay where it is. */
static inline int camlane_reader_sit(const camlane_reader *reader, void *seats, uint64_t len, uint32_t index, uint32_t pid,
                                     camlane_reader_seat *seat) {
    const uint32_t places = reader->shape.seat_places ? reader->shape.seat_places : 1;
    const uint64_t row = (uint64_t)index * reader->shape.seat_stride + (index & (places - 1)) * sizeof(camlane_shm_seat);
    if (index >= reader->shape.seats || len < sizeof(camlane_shm_seat) || row > len - sizeof(camlane_shm_seat) ||
        ((uintptr_t)seats & 3) != 0)
        return CAMLANE_READER_SEAT;
    camlane_shm_seat *words = (camlane_shm_seat *)(void *)((uint8_t *)seats + (size_t)row);
    int ours = CAMLANE_LOAD(&words->magic) == CAMLANE_SHM_SEAT_MAGIC && CAMLANE_LOAD(&words->index) == index &&
               CAMLANE_LOAD(&words->layout) >> 16 == CAMLANE_LAYOUT_VERSION >> 16;
    for (int i = 0; i < 4; i++)
        ours = ours && CAMLANE_LOAD(&words->incarnation[i]) == reader->shape.incarnation[i];
    if (!ours)
        return CAMLANE_READER_SEAT;
    if ((reader->shape.flags & CAMLANE_SHM_STREAM) == 0)
        for (int i = 0; i < 8; i++)
            CAMLANE_STORE_RELEASE(&words->cells[i], 0);
    CAMLANE_STORE(&words->sleeping, 0);
    CAMLANE_STORE(&words->cursor, 0);
    CAMLANE_STORE(&words->pid, pid);
    seat->reader = reader;
    seat->seat = words;
    seat->cursor = 0;
    seat->held = 0;
    seat->started = CAMLANE_LOAD(&camlane_reader_live_(reader)->latest) == 0;
    return 0;
}

/* Pins the frame of a short number. 1: here it is; 0: it is gone. */
static inline int camlane_reader_pin_(camlane_reader_seat *seat, uint32_t number, camlane_reader_frame *frame) {
    const camlane_reader *reader = seat->reader;
    const uint32_t ready = number << 2 | 1, slots = reader->shape.slots;
    uint32_t cell = 0, slot = CAMLANE_LOAD(&camlane_reader_live_(reader)->latest_slot);
    while (cell < reader->shape.pins && (seat->held & 1u << cell) != 0)
        cell++;
    if (cell == reader->shape.pins)
        return CAMLANE_READER_PINNED;
    if (slot >= slots || CAMLANE_LOAD(&camlane_reader_descriptor_(reader, slot)->word) != ready)
        slot = CAMLANE_LOAD(camlane_reader_word_(reader, reader->shape.ring_off) + (number & (reader->shape.ring_len - 1)));
    if (slot >= slots)
        return CAMLANE_READER_CORRUPT;
    const camlane_shm_descriptor *place = camlane_reader_descriptor_(reader, slot);
    uint32_t *pin = &seat->seat->cells[cell];
    CAMLANE_STORE_RELEASE(pin, (number & 0xffff) << 16 | (slot + 1)); /* (f) */
    CAMLANE_FENCE();                                                  /* (C) */
    if (CAMLANE_LOAD(&place->word) != ready) {
        CAMLANE_STORE_RELEASE(pin, 0);
        return 0;
    }
    CAMLANE_ACQUIRE(); /* (g) */
    camlane_shm_descriptor copy;
    camlane_reader_fetch_(&copy, &place->word, sizeof copy);
    frame->number = camlane_reader_wide_(copy.number);
    if ((frame->number & 0x3fffffff) != number || copy.len > reader->shape.slot_size) {
        CAMLANE_STORE_RELEASE(pin, 0);
        return CAMLANE_READER_CORRUPT;
    }
    seat->held |= 1u << cell;
    frame->cell = cell;
    frame->data = reader->data + camlane_reader_payload_(reader, slot);
    frame->user = (const uint8_t *)(place + 1);
    camlane_reader_meta_(reader, &copy, &frame->meta);
    frame->has_details = copy.kinds >> 24 != 0;
    camlane_reader_details_(&copy, &frame->details);
    return 1;
}

/* Gives a frame back. */
static inline void camlane_reader_release(camlane_reader_seat *seat, const camlane_reader_frame *frame) {
    CAMLANE_STORE_RELEASE(&seat->seat->cells[frame->cell], 0); /* (h) */
    seat->held &= ~(1u << frame->cell);
}

static inline int camlane_reader_deliver_(camlane_reader_seat *seat, camlane_reader_frame *frame) {
    if (seat->started && frame->number <= seat->cursor) { /* a whole lap of short numbers behind */
        camlane_reader_release(seat, frame);
        return 0;
    }
    frame->missed = seat->started ? frame->number - seat->cursor - 1 : 0;
    seat->started = 1;
    seat->cursor = frame->number;
    CAMLANE_STORE(&seat->seat->cursor, (uint32_t)frame->number);
    return 1;
}

/* The newest frame that was not delivered yet (`every` = 0), or the next in order (`every` = 1). 1: here it is; 0: nothing
 * new. */
static inline int camlane_reader_next(camlane_reader_seat *seat, int every, camlane_reader_frame *frame) {
    const uint32_t mask = 0x3fffffff, history = seat->reader->shape.history;
    if (seat->reader->shape.slots == 0)
        return CAMLANE_READER_KIND;
    for (int attempt = 0; attempt < CAMLANE_READER_TRIES; attempt++) {
        const uint32_t latest = CAMLANE_LOAD(&camlane_reader_live_(seat->reader)->latest), newest = latest >> 2;
        CAMLANE_ACQUIRE(); /* (i) */
        if (latest == 0)
            return 0;
        /* Differences run forward only; before the first frame everything is new. */
        const uint32_t behind = seat->cursor == 0 ? mask : (newest - (uint32_t)seat->cursor) & mask;
        if (behind == 0)
            return 0;
        const uint32_t steps = !every || !seat->started ? 1 : behind < history ? behind : history;
        for (uint32_t step = steps; step > 0; step--) {
            const int found = camlane_reader_pin_(seat, (newest - (step - 1)) & mask, frame);
            if (found != 0)
                return found < 0 ? found : camlane_reader_deliver_(seat, frame);
        }
    }
    return CAMLANE_READER_BUSY;
}

/* Stands up. No frame may be out. */
static inline void camlane_reader_stand_up(camlane_reader_seat *seat) {
    CAMLANE_STORE(&seat->seat->sleeping, 0);
    CAMLANE_STORE(&seat->seat->cursor, 0);
    CAMLANE_STORE(&seat->seat->pid, 0);
}

/* ---- Byte stream ----------------------------------------------------------------------------------------------------- */

/* Copies up to `room` of the oldest bytes out of a stream, and returns how many; 0: nothing is there. Afterwards a writer
 * that sleeps (camlane_reader_writer_sleeps) wants to be woken. */
static inline int64_t camlane_reader_stream(camlane_reader_seat *seat, void *into, uint32_t room) {
    const camlane_reader *reader = seat->reader;
    const uint32_t capacity = reader->shape.slot_size;
    if ((reader->shape.flags & CAMLANE_SHM_STREAM) == 0)
        return CAMLANE_READER_KIND;
    const uint32_t head = CAMLANE_LOAD(&camlane_reader_live_(reader)->latest);
    CAMLANE_ACQUIRE();
    const uint32_t tail = CAMLANE_LOAD(&seat->seat->cells[0]), used = head - tail, start = tail & (capacity - 1);
    if (used > capacity)
        return CAMLANE_READER_CORRUPT;
    const uint32_t len = used < room ? used : room, first = len < capacity - start ? len : capacity - start;
    if (len == 0)
        return 0;
    memcpy(into, reader->data + reader->payload + start, first);
    memcpy((uint8_t *)into + first, reader->data + reader->payload, len - first);
    CAMLANE_STORE_RELEASE(&seat->seat->cells[0], tail + len);
    CAMLANE_STORE_RELEASE(&seat->seat->bell, CAMLANE_LOAD(&seat->seat->bell) + 1);
    CAMLANE_FENCE();
    return len;
}

/* Tells whether the writer of a stream waits for room: ask after each camlane_reader_stream. */
static inline int camlane_reader_writer_sleeps(const camlane_reader *reader) {
    return CAMLANE_LOAD(&camlane_reader_live_(reader)->writer_sleeping) != 0;
}

#endif

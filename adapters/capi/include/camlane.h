/* camlane.h - camera frames between processes: one camera, many readers, zero copies, no daemon.
 *
 *     camlane_consumer *lane;
 *     camlane_frame frame;
 *     if (camlane_consumer_open("front-door", NULL, &lane) < 0)
 *         return fprintf(stderr, "%s\n", camlane_last_error()), 1;
 *     while (camlane_consumer_next(lane, 1000, &frame) == 0) {
 *         use(frame.data, frame.len, &frame.meta);            // in place: nothing was copied
 *         camlane_frame_release(&frame);
 *     }
 *     camlane_consumer_close(lane);
 *
 * Link with `pkg-config --cflags --libs camlane`, or with camlane::camlane after find_package(camlane CONFIG).
 * C++ programs may prefer camlane.hpp. Firmware that cannot link the library: camlane_reader.h.
 *
 * Handles       A camlane_producer, _consumer, _observer, _lanes, _stream_writer or _stream_reader is made by a function
 *               that stores it through its last argument (NULL if it fails), and closed by the function named in its
 *               comment, which takes NULL too. It may move between threads, but one thread at a time may use it: a second
 *               one at the same moment is told -EBUSY. Not in a child after fork: -ECHILD. Never after it was closed.
 * Arguments     A pointer is NULL or valid for what its type says. NULL where none is allowed gives -EINVAL. Strings are
 *               UTF-8 and end with NUL. No function keeps a pointer that it was given.
 * Structures    Those that begin with `struct_size` can grow in later versions: set it to sizeof the structure and all
 *               else to zero before you fill it or have it filled; zero means "the default" or "unknown". Those without
 *               it never change while the soname is the same.
 * Results       0 or a positive number is success; a negative errno is failure (see Errors).
 * Threads       The library starts a thread for a producer (camlane-keeper) and for camlane_consumer_fd. It calls
 *               nothing back, installs no signal handler, and never exits or aborts the program. dlclose leaves it in
 *               memory: handles that are open stay good.
 *
 * Errors
 *   -EINVAL           an argument is NULL, contradicts another, or is out of its range
 *   -EBUSY            a living producer has the lane; or another thread uses the handle at this moment
 *   -ENOENT           there is no such lane
 *   -EPROTONOSUPPORT  the lane has another layout version
 *   -EBADMSG          the object is no lane, or its words contradict each other
 *   -EPROTOTYPE       the lane carries frames where a byte stream is wanted, or the other way round
 *   -EUSERS           all seats are taken by living consumers
 *   -ENOSPC           shared memory is full
 *   -EACCES           permission denied
 *   -ECHILD           the handle was inherited through fork
 *   -ENOBUFS          no slot is free (only in lanes with fewer slots than their seats and pins ask for)
 *   -EDQUOT           this consumer holds all the frames that its seat allows: release one
 *   -ESTALE           the producer overwrote each frame before it could be read: try again, or read sooner
 *   -EMSGSIZE         the frame is larger than the room for it
 *   -ETIMEDOUT        nothing came in time, the producer lives
 *   -EAGAIN           nothing is there now
 *   -EPIPE            the producer ended the stream, and all of it was read
 *   -EOWNERDEAD       the producer died without ending the stream
 *   -ENODATA          the frame does not state this
 *   -E2BIG            a structure asks for something that this version of the library does not know
 *   -ENOTRECOVERABLE  a bug in camlane
 *   any other         what the system said
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef CAMLANE_H
#define CAMLANE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define CAMLANE_API extern "C"
#define CAMLANE_ASSERT(fact, text) static_assert(fact, text)
#else
#define CAMLANE_API extern
#define CAMLANE_ASSERT(fact, text) _Static_assert(fact, text)
#endif

/* The version of this interface. It rises when something is added; the soname changes when something goes. */
#define CAMLANE_ABI_VERSION 3u
/* The version of the bytes in shared memory: major in the high half, minor in the low. */
#define CAMLANE_LAYOUT_VERSION 0x00010000u

/* ---- Numbers ------------------------------------------------------------------------------------------------- */

/* camlane_meta.flags */
#define CAMLANE_FLAG_KEY (1u << 0)            /* a key frame: decoding can start here */
#define CAMLANE_FLAG_DELTA (1u << 1)          /* needs earlier frames to be decoded */
#define CAMLANE_FLAG_CORRUPT (1u << 2)        /* the driver reported an error in this frame's data */
#define CAMLANE_FLAG_STARTUP (1u << 3)        /* the camera has not settled yet */
#define CAMLANE_FLAG_TRUNCATED (1u << 4)      /* the frame was larger than its slot and is cut */
#define CAMLANE_FLAG_DISCONTINUITY (1u << 5)  /* there is a gap before this frame */
#define CAMLANE_FLAG_TOP_FIELD (1u << 6)      /* top field only */
#define CAMLANE_FLAG_BOTTOM_FIELD (1u << 7)   /* bottom field only */
#define CAMLANE_FLAG_INTERLACED (1u << 8)     /* both fields, interleaved */
#define CAMLANE_FLAG_END_OF_STREAM (1u << 9)  /* the last frame of the stream */
#define CAMLANE_FLAG_DUPLICATE (1u << 10)     /* the same picture as the frame before */
#define CAMLANE_FLAG_COPIED (1u << 11)        /* the producer copied once, instead of capturing in the slot */
#define CAMLANE_FLAG_PARAMETERS (1u << 12)    /* parameter sets are inside (H.264, H.265) */
#define CAMLANE_FLAG_DMABUF (1u << 13)        /* a camera's driver wrote it into the slot through a dma-buf */
#define CAMLANE_FLAG_USERPTR (1u << 14)       /* likewise, to the slot's addresses */
#define CAMLANE_FLAG_MMAP (1u << 15)          /* likewise, into a buffer of its own, from which it was copied */

/* camlane_pause.reason: why a producer that lives gives no frames. Others may come. */
#define CAMLANE_PAUSE_UNPLUGGED 1u /* the camera was unplugged, and is waited for */
#define CAMLANE_PAUSE_BUSY 2u      /* another program has the camera */
#define CAMLANE_PAUSE_FAILED 3u    /* the camera failed, and is started again */
#define CAMLANE_PAUSE_NO_SIGNAL 4u /* the camera gets no signal */
#define CAMLANE_PAUSE_SUSPENDED 5u /* the machine slept, and the camera is started again */
#define CAMLANE_PAUSE_SILENT 6u    /* the camera gives no pictures, and does not say why */
#define CAMLANE_PAUSE_INTENDED 7u  /* the producer was told to make a pause */

/* camlane_meta.clock: what capture_ns was read from */
#define CAMLANE_CLOCK_UNKNOWN 0u
#define CAMLANE_CLOCK_MONOTONIC 1u
#define CAMLANE_CLOCK_BOOTTIME 2u
#define CAMLANE_CLOCK_REALTIME 3u
#define CAMLANE_CLOCK_TAI 4u
#define CAMLANE_CLOCK_PTP 5u
#define CAMLANE_CLOCK_DEVICE 6u

/* camlane_meta.reference: the moment that capture_ns means */
#define CAMLANE_REFERENCE_UNKNOWN 0u
#define CAMLANE_REFERENCE_START_OF_EXPOSURE 1u
#define CAMLANE_REFERENCE_MIDDLE_OF_EXPOSURE 2u
#define CAMLANE_REFERENCE_END_OF_FRAME 3u
#define CAMLANE_REFERENCE_DEQUEUED 4u
#define CAMLANE_REFERENCE_SYNTHETIC 5u

/* camlane_details.valid: which fields are stated */
#define CAMLANE_DETAIL_EXPOSURE (1u << 0)
#define CAMLANE_DETAIL_FRAME_DURATION (1u << 1)
#define CAMLANE_DETAIL_ANALOGUE_GAIN (1u << 2)
#define CAMLANE_DETAIL_DIGITAL_GAIN (1u << 3)
#define CAMLANE_DETAIL_COLOUR_GAINS (1u << 4)
#define CAMLANE_DETAIL_COLOUR_TEMPERATURE (1u << 5)
#define CAMLANE_DETAIL_LENS_POSITION (1u << 6)
#define CAMLANE_DETAIL_SENSOR_TEMPERATURE (1u << 7)
#define CAMLANE_DETAIL_TRIGGER (1u << 8)
#define CAMLANE_DETAIL_REGION_OF_INTEREST (1u << 9)
#define CAMLANE_DETAIL_BINNING (1u << 10)
#define CAMLANE_DETAIL_BLACK_LEVELS (1u << 11)
#define CAMLANE_DETAIL_UPSTREAM (1u << 12)
#define CAMLANE_DETAIL_PTS_OFFSET (1u << 13)

/* camlane_frame.change: what is different from this consumer's previous frame */
#define CAMLANE_CHANGE_RESTARTED (1u << 0) /* another run of the producer: numbers start again */
#define CAMLANE_CHANGE_FORMAT (1u << 1)
#define CAMLANE_CHANGE_SIZE (1u << 2)

/* camlane_lane_options.sharing: who can reach the lane besides its owner */
#define CAMLANE_SHARING_OWNER 0u    /* nobody */
#define CAMLANE_SHARING_GROUP 1u    /* the owner's group may consume */
#define CAMLANE_SHARING_EVERYONE 2u /* the group may consume, everybody may observe */
/* camlane_lane_options.flags */
#define CAMLANE_LANE_HUGE_PAGES (1u << 0)  /* ask for huge pages behind slots of 2 MiB and more */
#define CAMLANE_LANE_ALWAYS_WAKE (1u << 1) /* wake at every publish, for observers that wait */
#define CAMLANE_LANE_ANYBODY (1u << 2)     /* sealed: admit everybody who can reach the socket */
#define CAMLANE_LANE_OBSERVERS (1u << 3)   /* sealed: everybody may observe, whoever may pin */
/* camlane_lane_options.user_bytes of a lane that shall have none */
#define CAMLANE_NO_USER_BYTES 0xffffffffu

/* camlane_consumer_options.read */
#define CAMLANE_READ_LATEST 0u /* the newest frame each time; what came between counts as missed */
#define CAMLANE_READ_EVERY 1u  /* every frame in order, as far as the lane's history reaches */
/* camlane_consumer_options.wait */
#define CAMLANE_WAIT_SLEEP 0u    /* until the producer wakes it: least processor time */
#define CAMLANE_WAIT_ADAPTIVE 1u /* asleep for most of a regular source's period, spinning for the last moments */
#define CAMLANE_WAIT_SPIN 2u     /* lowest latency, one processor fully used */
/* camlane_consumer_options.flags */
#define CAMLANE_CONSUMER_POPULATE (1u << 0) /* take all page faults while opening */
#define CAMLANE_CONSUMER_TRUST_USER (1u << 1) /* sealed: `trusted_user` may serve the lane; else only oneself and root */

/* camlane_lane_info.health */
#define CAMLANE_HEALTH_UNKNOWN 0u  /* nobody can tell whether a producer lives */
#define CAMLANE_HEALTH_RUNNING 1u  /* a producer lives */
#define CAMLANE_HEALTH_STALE 2u    /* its producer died and left the objects */
#define CAMLANE_HEALTH_UNUSABLE 3u /* nothing that this version can use; `problem` says why */
/* camlane_lane_info.seats_in_use if that may not be seen */
#define CAMLANE_SEATS_UNSEEN 0xffffffffu

/* Pixel formats, by camlane's own numbers. The second byte is the family: 1 grey and depth, 2 RGB, 3 interleaved YCbCr,
 * 4 luma plane and chroma plane, 5 three planes, 6 Bayer, 7 packed Bayer, 0x0F compressed. An open set: a frame of an
 * unknown number can be passed on, not converted. camlane_format_describe tells all that is known of one. */
/* generated: formats */
#define CAMLANE_OPAQUE 0x0000u
#define CAMLANE_GRAY8 0x0101u
#define CAMLANE_GRAY10 0x0102u
#define CAMLANE_GRAY12 0x0103u
#define CAMLANE_GRAY14 0x0104u
#define CAMLANE_GRAY16 0x0105u
#define CAMLANE_GRAY10P 0x0106u
#define CAMLANE_GRAY12P 0x0107u
#define CAMLANE_DEPTH16 0x0181u
#define CAMLANE_FLOAT32 0x0182u
#define CAMLANE_RGB8 0x0201u
#define CAMLANE_BGR8 0x0202u
#define CAMLANE_RGBA8 0x0203u
#define CAMLANE_BGRA8 0x0204u
#define CAMLANE_RGBX8 0x0205u
#define CAMLANE_BGRX8 0x0206u
#define CAMLANE_ARGB8 0x0207u
#define CAMLANE_ABGR8 0x0208u
#define CAMLANE_RGB565 0x0209u
#define CAMLANE_RGB16 0x020au
#define CAMLANE_BGR16 0x020bu
#define CAMLANE_RGBA16 0x020cu
#define CAMLANE_YUYV 0x0301u
#define CAMLANE_UYVY 0x0302u
#define CAMLANE_YVYU 0x0303u
#define CAMLANE_VYUY 0x0304u
#define CAMLANE_NV12 0x0401u
#define CAMLANE_NV21 0x0402u
#define CAMLANE_NV16 0x0403u
#define CAMLANE_NV61 0x0404u
#define CAMLANE_NV24 0x0405u
#define CAMLANE_NV42 0x0406u
#define CAMLANE_P010 0x0407u
#define CAMLANE_P016 0x0408u
#define CAMLANE_I420 0x0501u
#define CAMLANE_YV12 0x0502u
#define CAMLANE_I422 0x0503u
#define CAMLANE_I444 0x0504u
#define CAMLANE_BAYER8_RGGB 0x0600u
#define CAMLANE_BAYER8_GRBG 0x0601u
#define CAMLANE_BAYER8_GBRG 0x0602u
#define CAMLANE_BAYER8_BGGR 0x0603u
#define CAMLANE_BAYER10_RGGB 0x0610u
#define CAMLANE_BAYER10_GRBG 0x0611u
#define CAMLANE_BAYER10_GBRG 0x0612u
#define CAMLANE_BAYER10_BGGR 0x0613u
#define CAMLANE_BAYER12_RGGB 0x0620u
#define CAMLANE_BAYER12_GRBG 0x0621u
#define CAMLANE_BAYER12_GBRG 0x0622u
#define CAMLANE_BAYER12_BGGR 0x0623u
#define CAMLANE_BAYER14_RGGB 0x0630u
#define CAMLANE_BAYER14_GRBG 0x0631u
#define CAMLANE_BAYER14_GBRG 0x0632u
#define CAMLANE_BAYER14_BGGR 0x0633u
#define CAMLANE_BAYER16_RGGB 0x0640u
#define CAMLANE_BAYER16_GRBG 0x0641u
#define CAMLANE_BAYER16_GBRG 0x0642u
#define CAMLANE_BAYER16_BGGR 0x0643u
#define CAMLANE_BAYER10P_RGGB 0x0710u
#define CAMLANE_BAYER10P_GRBG 0x0711u
#define CAMLANE_BAYER10P_GBRG 0x0712u
#define CAMLANE_BAYER10P_BGGR 0x0713u
#define CAMLANE_BAYER12P_RGGB 0x0720u
#define CAMLANE_BAYER12P_GRBG 0x0721u
#define CAMLANE_BAYER12P_GBRG 0x0722u
#define CAMLANE_BAYER12P_BGGR 0x0723u
#define CAMLANE_BAYER14P_RGGB 0x0730u
#define CAMLANE_BAYER14P_GRBG 0x0731u
#define CAMLANE_BAYER14P_GBRG 0x0732u
#define CAMLANE_BAYER14P_BGGR 0x0733u
#define CAMLANE_JPEG 0x0f01u
#define CAMLANE_H264 0x0f02u
#define CAMLANE_H265 0x0f03u
#define CAMLANE_PNG 0x0f04u
#define CAMLANE_BMP 0x0f05u
/* Applies a macro to the name of every format. */
#define CAMLANE_FORMATS(each) \
    each(OPAQUE) each(GRAY8) each(GRAY10) each(GRAY12) each(GRAY14) \
    each(GRAY16) each(GRAY10P) each(GRAY12P) each(DEPTH16) each(FLOAT32) \
    each(RGB8) each(BGR8) each(RGBA8) each(BGRA8) each(RGBX8) \
    each(BGRX8) each(ARGB8) each(ABGR8) each(RGB565) each(RGB16) \
    each(BGR16) each(RGBA16) each(YUYV) each(UYVY) each(YVYU) \
    each(VYUY) each(NV12) each(NV21) each(NV16) each(NV61) \
    each(NV24) each(NV42) each(P010) each(P016) each(I420) \
    each(YV12) each(I422) each(I444) each(BAYER8_RGGB) each(BAYER8_GRBG) \
    each(BAYER8_GBRG) each(BAYER8_BGGR) each(BAYER10_RGGB) each(BAYER10_GRBG) each(BAYER10_GBRG) \
    each(BAYER10_BGGR) each(BAYER12_RGGB) each(BAYER12_GRBG) each(BAYER12_GBRG) each(BAYER12_BGGR) \
    each(BAYER14_RGGB) each(BAYER14_GRBG) each(BAYER14_GBRG) each(BAYER14_BGGR) each(BAYER16_RGGB) \
    each(BAYER16_GRBG) each(BAYER16_GBRG) each(BAYER16_BGGR) each(BAYER10P_RGGB) each(BAYER10P_GRBG) \
    each(BAYER10P_GBRG) each(BAYER10P_BGGR) each(BAYER12P_RGGB) each(BAYER12P_GRBG) each(BAYER12P_GBRG) \
    each(BAYER12P_BGGR) each(BAYER14P_RGGB) each(BAYER14P_GRBG) each(BAYER14P_GBRG) each(BAYER14P_BGGR) \
    each(JPEG) each(H264) each(H265) each(PNG) each(BMP)
/* end of generated */

/* The name of a format, "NV12"; "unknown" for a number that this header does not know. */
static inline const char *camlane_format_name(uint32_t format) {
    switch (format) {
#define CAMLANE_CASE_(name) \
    case CAMLANE_##name:    \
        return #name;
        CAMLANE_FORMATS(CAMLANE_CASE_)
#undef CAMLANE_CASE_
    default:
        return "unknown";
    }
}

/* ---- Structures ---------------------------------------------------------------------------------------------- */

/* Locates one plane in a frame. */
typedef struct camlane_plane {
    uint32_t offset; /* bytes from the beginning of the frame to the first row */
    uint32_t stride; /* bytes from one row to the next; 0 where there are no rows */
    uint32_t rows;   /* rows of samples; 1 for a compressed or opaque frame */
    uint32_t bytes;  /* stride * rows; or the length of a compressed frame */
} camlane_plane;

/* Says where the pixels of a frame lie. Offsets and strides are authoritative: width times bytes per pixel is only the
 * least stride. */
typedef struct camlane_layout {
    uint32_t format; /* CAMLANE_NV12, ... */
    uint32_t width;  /* pixels; may be 0 in a compressed or opaque frame */
    uint32_t height;
    uint32_t bytes; /* of the whole frame */
    uint32_t plane_count;
    uint32_t reserved;
    camlane_plane planes[4];
} camlane_layout;

/* What a frame says about itself. Times are nanoseconds; 0 is "unknown" everywhere. */
typedef struct camlane_meta {
    uint32_t struct_size;
    uint32_t flags;           /* CAMLANE_FLAG_* */
    uint64_t capture_ns;      /* when the picture was taken, on `clock`, at `reference` */
    uint64_t publish_ns;      /* CLOCK_MONOTONIC; set by camlane_producer_publish if it is 0 */
    uint32_t source_sequence; /* the camera's own; gaps mean that the driver lost frames */
    uint32_t user_len;        /* bytes of the user's own metadata in use */
    uint32_t clock;           /* CAMLANE_CLOCK_* */
    uint32_t reference;       /* CAMLANE_REFERENCE_* */
    camlane_layout layout;
} camlane_meta;

/* What few readers need. A field counts only if its bit is set in `valid`; the eight bytes and `fourcc` always count. */
typedef struct camlane_details {
    uint32_t struct_size;
    uint32_t valid;             /* CAMLANE_DETAIL_* */
    uint8_t primaries;          /* ITU-T H.273 table 2; 2 is "not stated", and so is 0 with transfer 0 */
    uint8_t transfer;           /* table 3, likewise */
    uint8_t matrix;             /* table 4, likewise */
    uint8_t range;              /* 0 not stated, 1 full, 2 limited */
    uint8_t chroma_site;        /* 0 not stated, else H.273's type plus one */
    uint8_t significant_bits;   /* of each sample; 0: as the format says */
    uint8_t orientation;        /* Exif, 1 to 8; 0: unknown */
    uint8_t fourcc_namespace;   /* of `fourcc`: 0 none, 1 V4L2, 2 DRM, 3 libcamera */
    uint32_t fourcc;            /* the source's own code for the format, passed through */
    uint32_t trigger;           /* the input line that started the exposure */
    uint64_t exposure_ns;
    uint64_t frame_duration_ns;
    uint32_t analogue_gain;     /* gains are Q16.16 */
    uint32_t digital_gain;
    uint32_t red_gain;          /* COLOUR_GAINS */
    uint32_t blue_gain;
    uint32_t colour_temperature_k;
    uint32_t lens_position;     /* dioptres, Q16.16 */
    int32_t sensor_temperature_mc; /* thousandths of a degree Celsius */
    uint32_t upstream_lane;     /* UPSTREAM: the lane and the number of the raw frame that this was made from */
    uint64_t upstream_number;
    int64_t pts_offset_ns;      /* presentation time minus capture time */
    uint32_t roi_x;             /* REGION_OF_INTEREST: the part of the sensor that the picture shows */
    uint32_t roi_y;
    uint32_t roi_width;
    uint32_t roi_height;
    uint32_t black_levels[4];   /* of the four Bayer channels, in 16-bit scale */
    uint16_t binning_x;         /* BINNING: sensor pixels per picture pixel */
    uint16_t binning_y;
    uint32_t reserved;
} camlane_details;

/* What a producer chooses when it makes a lane. Only `layout`, or `slot_size`, must be set. */
typedef struct camlane_lane_options {
    uint32_t struct_size;
    uint32_t sharing;      /* CAMLANE_SHARING_*; 0: the owner alone */
    camlane_layout layout; /* what most frames look like */
    uint32_t slot_size;    /* bytes of the largest frame, if larger than layout.bytes */
    uint32_t seats;        /* consumers that can be attached at once; 0: 8 */
    uint32_t pins;         /* frames that each can hold at once, 1 to 8; 0: 2 */
    uint32_t history;      /* newest frames that stay readable; 0: 4 */
    uint32_t loans;        /* loans that can be out at once; 0: 2 */
    uint32_t slots;        /* 0: seats * pins + history + loans, so that a loan never fails */
    uint32_t user_bytes;   /* room per frame for the user's metadata; 0: 192; CAMLANE_NO_USER_BYTES: none */
    uint32_t flags;        /* CAMLANE_LANE_* */
    uint32_t rate_numerator; /* frames per second as a fraction, for viewers; nothing is paced by it */
    uint32_t rate_denominator;
    const char *frame_id;    /* the camera's optical frame, at most 64 bytes; may be NULL */
    const char *calibration; /* where the calibration is: a URI or a hash, at most 64 bytes; may be NULL */
    /* Whom a sealed lane admits besides the producer's own user and root; a named lane goes by `sharing`. Numbers of users
     * are those of the producer's namespace. */
    const uint32_t *users;
    const uint32_t *groups; /* primary groups of processes */
    uint32_t user_count;
    uint32_t group_count;
    uint32_t seats_per_user;       /* seats that one user may take; 0: all */
    uint32_t connections;          /* connections without a seat, in all; 0: 256 */
    uint32_t connections_per_user; /* of one user; 0: 64 */
    uint32_t reserved;
} camlane_lane_options;

/* How a consumer opens a lane. */
typedef struct camlane_consumer_options {
    uint32_t struct_size;
    uint32_t read;        /* CAMLANE_READ_* */
    uint32_t wait;        /* CAMLANE_WAIT_* */
    uint32_t flags;       /* CAMLANE_CONSUMER_* */
    uint32_t patience_ms; /* wait that long for a producer that lives; then a dead one's lane is opened as it is */
    uint32_t trusted_user; /* with CAMLANE_CONSUMER_TRUST_USER */
} camlane_consumer_options;

/* How a byte stream is made (capacity, sharing) or opened (patience_ms). */
typedef struct camlane_stream_options {
    uint32_t struct_size;
    uint32_t capacity;    /* bytes between writer and reader, a power of two up to 2^31; 0: 65536 */
    uint32_t sharing;     /* CAMLANE_SHARING_* */
    uint32_t patience_ms; /* wait that long for the stream to appear */
} camlane_stream_options;

/* What was counted since a consumer was opened, over all runs of the producer. */
typedef struct camlane_totals {
    uint64_t delivered; /* frames delivered */
    uint64_t missed;    /* frames that this reader skipped or was too slow for */
    uint64_t dropped;   /* frames that the producer could not take */
    uint64_t restarts;  /* producers that took over */
} camlane_totals;

/* Why no frames come though the producer lives, as it says itself. */
typedef struct camlane_pause {
    uint32_t reason;    /* CAMLANE_PAUSE_*; 0: it says nothing */
    int32_t error;      /* the errno behind it; 0: none */
    uint64_t lasted_ns; /* how long */
} camlane_pause;

/* What became of a lane's frames in a synchronizer: reader.delivered = paired + unpaired + waiting. */
typedef struct camlane_sync_totals {
    camlane_totals reader; /* reader.missed frames never came this far */
    uint64_t paired;       /* went into framesets */
    uint64_t unpaired;     /* found no partner in every other lane */
    uint64_t waiting;      /* are held back at this moment, because partners may come */
} camlane_sync_totals;

/* A lane as it stands. What could not be found out is 0 or empty. */
typedef struct camlane_lane_info {
    uint32_t struct_size;
    uint32_t health;       /* CAMLANE_HEALTH_*; UNKNOWN from camlane_consumer_describe */
    char name[72];
    char address[128];     /* what camlane_consumer_open takes */
    char frame_id[72];
    char calibration[72];
    char problem[256];     /* why it cannot be used */
    uint32_t format;       /* of most frames */
    uint32_t width;
    uint32_t height;
    uint32_t rate_numerator;
    uint32_t rate_denominator;
    uint32_t creator_pid;
    uint32_t incarnation[4]; /* names the run of its producer */
    uint32_t slots;
    uint32_t slot_size;    /* bytes of the largest frame; a byte stream's capacity */
    uint32_t seats;
    uint32_t pins;
    uint32_t history;
    uint32_t loans;
    uint32_t user_bytes;
    uint32_t is_stream;    /* 1: bytes, not frames */
    uint32_t seats_in_use; /* CAMLANE_SEATS_UNSEEN: may not be seen */
    uint32_t published;    /* frames, modulo 2^30 */
    uint32_t dropped;      /* frames that its producer could not take */
    uint32_t reserved;
    uint64_t footprint;    /* bytes of shared memory */
    uint64_t created_ns;   /* CLOCK_BOOTTIME */
    int64_t boottime_minus_monotonic_ns; /* how the clocks stood to each other ... */
    int64_t realtime_minus_monotonic_ns;
    int64_t tai_minus_realtime_ns;
    uint64_t clocks_sampled_ns; /* ... at this moment of CLOCK_MONOTONIC; 0: never */
} camlane_lane_info;

/* What is known of a pixel format; a name that does not exist is empty, a code 0. */
typedef struct camlane_format_info {
    uint32_t struct_size;
    uint32_t format;
    char name[16];     /* camlane's: "NV12" */
    char ffmpeg[24];   /* in `ffmpeg -pix_fmts`; a compressed one in `ffmpeg -codecs` */
    char gstreamer[24];
    char ros[24];
    char opencv[24];   /* the type of each plane without CV_: "8UC1,8UC2"; empty: unpack or decode first */
    char numpy[8];     /* "u1", "<u2", "<f4" */
    uint32_t v4l2;     /* four-character codes */
    uint32_t drm;
    uint32_t planes;
    uint32_t chroma_across; /* pixels for each chroma sample */
    uint32_t chroma_down;
    uint32_t significant_bits;
} camlane_format_info;

/* A slot to fill: the bytes are the caller's alone until it is published or returned. What an earlier frame left there is
 * still there. Do not copy the structure and then finish both. */
typedef struct camlane_loan {
    uint8_t *data;
    size_t len; /* room for a frame */
    uint8_t *user;
    size_t user_len; /* room for the user's metadata */
    uint64_t slot;   /* which one, counted from 0 */
    void *handle;    /* the library's; NULL: finished */
} camlane_loan;

/* A frame, read where it lies: its bytes do not change until it is released, whatever anybody does. It may be released on
 * another thread, and after its consumer was closed. Do not copy the structure and then release both. */
typedef struct camlane_frame {
    const uint8_t *data;
    size_t len;
    const uint8_t *user; /* the user's own metadata */
    size_t user_len;
    const uint8_t *planes[4]; /* NULL where there is none; rows meta.layout.planes[i].stride apart */
    uint64_t number;          /* position in the producer's run, counted from 1, without gaps */
    uint64_t missed;          /* frames published since this reader's previous one that it did not get */
    uint32_t dropped;         /* frames that the producer could not take meanwhile */
    uint32_t change;          /* CAMLANE_CHANGE_* */
    uint32_t incarnation[4];  /* names the run of the producer */
    camlane_meta meta;
    void *handle; /* the library's; NULL: released */
} camlane_frame;

/* A frame that an observer copied. */
typedef struct camlane_observed {
    uint64_t number;
    camlane_meta meta; /* meta.layout.bytes of the buffer are the frame */
} camlane_observed;

typedef struct camlane_producer camlane_producer;
typedef struct camlane_consumer camlane_consumer;
typedef struct camlane_observer camlane_observer;
typedef struct camlane_lanes camlane_lanes;
typedef struct camlane_synchronizer camlane_synchronizer;
typedef struct camlane_stream_writer camlane_stream_writer;
typedef struct camlane_stream_reader camlane_stream_reader;

CAMLANE_ASSERT(sizeof(camlane_plane) == 16 && sizeof(camlane_layout) == 88, "layout of camlane_layout");
CAMLANE_ASSERT(sizeof(camlane_meta) == 128 && offsetof(camlane_meta, layout) == 40, "layout of camlane_meta");
CAMLANE_ASSERT(sizeof(camlane_details) == 128 && offsetof(camlane_details, roi_x) == 88, "layout of camlane_details");
CAMLANE_ASSERT(sizeof(camlane_consumer_options) == 24 && sizeof(camlane_stream_options) == 16, "layout of options");
CAMLANE_ASSERT(sizeof(camlane_lane_info) == 744 && offsetof(camlane_lane_info, format) == 608, "camlane_lane_info");
CAMLANE_ASSERT(sizeof(camlane_format_info) == 152 && sizeof(camlane_totals) == 32, "layout of camlane_format_info");
CAMLANE_ASSERT(sizeof(camlane_sync_totals) == 56, "layout of camlane_sync_totals");
CAMLANE_ASSERT(sizeof(camlane_pause) == 16, "layout of camlane_pause");
CAMLANE_ASSERT(sizeof(camlane_observed) == 136, "layout of camlane_observed");
#if UINTPTR_MAX > 0xffffffffu
CAMLANE_ASSERT(sizeof(camlane_lane_options) == 192, "layout of camlane_lane_options");
CAMLANE_ASSERT(sizeof(camlane_loan) == 48, "layout of camlane_loan");
CAMLANE_ASSERT(sizeof(camlane_frame) == 240 && offsetof(camlane_frame, meta) == 104, "layout of camlane_frame");
#endif

/* ---- Versions and errors --------------------------------------------------------------------------------------- */

/* CAMLANE_ABI_VERSION of the library that runs: at least that of the header if everything in it shall work. */
CAMLANE_API uint32_t camlane_abi_version(void);
/* The library's version, "0.1.0". */
CAMLANE_API const char *camlane_version(void);
/* What the last failure on this thread was about: what was tried, why it failed, what a person can do. "" before the
 * first. Stays until the next failure on this thread. */
CAMLANE_API const char *camlane_last_error(void);
/* What a result means in general; negative or positive. Stays until the next call on this thread. */
CAMLANE_API const char *camlane_strerror(int error);
/* CLOCK_MONOTONIC in nanoseconds, the clock of publish_ns. */
CAMLANE_API uint64_t camlane_now_ns(void);

/* ---- Formats and layouts ---------------------------------------------------------------------------------------- */

/* Lays out a picture, its planes one after another, each stride a multiple of row_align bytes (a power of two; 1 packs
 * the rows, 64 suits vector units). */
CAMLANE_API int camlane_layout_rows(uint32_t format, uint32_t width, uint32_t height, uint32_t row_align,
                                    camlane_layout *layout);
/* The same with the strides that a driver or a library dictates, one for each plane. */
CAMLANE_API int camlane_layout_strides(uint32_t format, uint32_t width, uint32_t height, const uint32_t *strides,
                                       uint32_t count, camlane_layout *layout);
/* A compressed or opaque frame of at most max_bytes; width and height are noted, and may be 0. */
CAMLANE_API int camlane_layout_bytes(uint32_t format, uint32_t width, uint32_t height, uint32_t max_bytes,
                                     camlane_layout *layout);
/* 0 if every row of every plane lies in slot_size bytes and no two planes share any. Check a frame from a producer that
 * you did not write before you walk its rows. */
CAMLANE_API int camlane_layout_check(const camlane_layout *layout, uint32_t slot_size);
/* -ENOENT for an unknown number. */
CAMLANE_API int camlane_format_describe(uint32_t format, camlane_format_info *info);
/* Finds a format by camlane's or ffmpeg's name, in capitals or not; by a V4L2 code; by a DRM code. -ENOENT: none. */
CAMLANE_API int camlane_format_named(const char *name, uint32_t *format);
CAMLANE_API int camlane_format_of_v4l2(uint32_t fourcc, uint32_t *format);
CAMLANE_API int camlane_format_of_drm(uint32_t fourcc, uint32_t *format);

/* ---- Lanes ------------------------------------------------------------------------------------------------------ */

/* A lane's address is its name, 1 to 64 of A-Z a-z 0-9 _ -; or "sealed:NAME" or "sealed:/path/name.sock" for a lane whose
 * producer hands out sealed memory over a socket; or "file:PATH" or "sysv:KEY" (as `ipcs -m` shows keys) for one in a
 * regular file or a System V segment. Every function below that takes a `name` takes an address. */

/* Looks which lanes there are. Closed by camlane_lanes_close. */
CAMLANE_API int camlane_lanes_open(camlane_lanes **lanes);
CAMLANE_API size_t camlane_lanes_count(const camlane_lanes *lanes);
CAMLANE_API int camlane_lanes_get(const camlane_lanes *lanes, size_t index, camlane_lane_info *info);
CAMLANE_API void camlane_lanes_close(camlane_lanes *lanes);
/* Looks at one lane. */
CAMLANE_API int camlane_lane_describe(const char *name, camlane_lane_info *info);
/* Shared memory that a lane with these options would take. */
CAMLANE_API int camlane_lane_footprint(const camlane_lane_options *options, uint64_t *bytes);
/* Removes what a dead producer left; with `force` what anybody has. -EBUSY: a producer lives. */
CAMLANE_API int camlane_lane_remove(const char *name, int force);

/* ---- Producer ---------------------------------------------------------------------------------------------------- */

/* Makes a lane, or takes over the name of one whose producer is gone. -EBUSY: a living producer has it. */
CAMLANE_API int camlane_producer_create(const char *name, const camlane_lane_options *options,
                                        camlane_producer **producer);
/* Lends a slot to fill; several can be out at once. Never waits for a consumer. */
CAMLANE_API int camlane_producer_loan(camlane_producer *producer, camlane_loan *loan);
/* Publishes a filled slot as the next frame and wakes who waits. Finishes the loan, also when it fails: then nothing was
 * published and the slot is free again. `details` and `number` may be NULL. */
CAMLANE_API int camlane_producer_publish(camlane_producer *producer, camlane_loan *loan, const camlane_meta *meta,
                                         const camlane_details *details, uint64_t *number);
/* Gives a slot back unpublished. Nothing happens if the loan is finished. */
CAMLANE_API void camlane_loan_return(camlane_loan *loan);
/* Counts frames that were lost before they reached a loan: a driver's error, a full queue. */
CAMLANE_API int camlane_producer_count_dropped(camlane_producer *producer, uint32_t frames);
/* Tells readers why no frames come: CAMLANE_PAUSE_*, and the errno behind it or 0; until camlane_producer_resume. */
CAMLANE_API int camlane_producer_pause(camlane_producer *producer, uint32_t reason, int error);
CAMLANE_API int camlane_producer_resume(camlane_producer *producer);
/* Frames published and frames that could not be taken so far; either may be NULL. */
CAMLANE_API int camlane_producer_counts(camlane_producer *producer, uint64_t *published, uint32_t *dropped);
/* Ends the stream and removes the lane. Frames that consumers hold, and loans that are out, stay good. */
CAMLANE_API void camlane_producer_close(camlane_producer *producer);

/* ---- Consumer ---------------------------------------------------------------------------------------------------- */

/* Opens a lane and takes a seat. NULL options: the newest frames, sleeping, at once. Closed by camlane_consumer_close. */
CAMLANE_API int camlane_consumer_open(const char *name, const camlane_consumer_options *options,
                                      camlane_consumer **consumer);
/* Waits for the next frame, at most timeout_ms milliseconds; negative: for ever. When it fails the frame is empty, and
 * releasing it does nothing. A producer that restarts is followed by itself: -EPIPE or -EOWNERDEAD is said once, and
 * calls after that wait for the next producer. Sleeping goes on through signals: a program that ends by one should give
 * a time-out. */
CAMLANE_API int camlane_consumer_next(camlane_consumer *consumer, int timeout_ms, camlane_frame *frame);
/* The next frame if one is there now, else -EAGAIN. Does not look whether the producer lives. */
CAMLANE_API int camlane_consumer_try_next(camlane_consumer *consumer, camlane_frame *frame);
/* Waits for a frame of any of several consumers, and stores which it was; `index` may be NULL. */
CAMLANE_API int camlane_consumer_wait_any(camlane_consumer *const *consumers, size_t count, int timeout_ms, size_t *index,
                                          camlane_frame *frame);
/* A descriptor for poll, epoll or select: readable when there may be a frame or news. Then call camlane_consumer_next
 * with time-out 0 until it gives -ETIMEDOUT, which makes the descriptor unreadable again. It belongs to the consumer: do
 * not read or close it. */
CAMLANE_API int camlane_consumer_fd(camlane_consumer *consumer);
/* Why no frames come, after -ETIMEDOUT: 1 and the producer's reason, or 0 if it says nothing. camlane_last_error has it in
 * words. Frames that come do not change what it says: ask when there are none. */
CAMLANE_API int camlane_consumer_pause(camlane_consumer *consumer, camlane_pause *pause);
CAMLANE_API int camlane_consumer_totals(camlane_consumer *consumer, camlane_totals *totals);
/* What the lane says about itself, to size buffers before the first frame. */
CAMLANE_API int camlane_consumer_describe(camlane_consumer *consumer, camlane_lane_info *info);
/* What few readers need of a frame. -ENODATA: the frame states none of it. */
CAMLANE_API int camlane_frame_details(const camlane_frame *frame, camlane_details *details);
/* Gives a frame back. Nothing happens if it was released. */
CAMLANE_API void camlane_frame_release(camlane_frame *frame);
/* Stands up. Frames that are out stay good, and keep the seat until the last is released. */
CAMLANE_API void camlane_consumer_close(camlane_consumer *consumer);

/* ---- Lanes in step ----------------------------------------------------------------------------------------------- */

/* Reads several lanes in step, for stereo and surround cameras: a frameset is one frame of each lane, all captured within
 * tolerance_ns of each other on a clock that they share. Of the oldest frame of each lane, if all are within the tolerance
 * they are a set; else the oldest of them has no partner and is given back. Choose less than half of the shortest frame
 * period. Frames whose partners may still come are held back as far as the lanes' `pins` allow, so that no producer waits:
 * make the lanes with pins for the frames that come meanwhile and one for the set in hand. */
CAMLANE_API int camlane_synchronizer_open(const char *const *names, size_t count, uint64_t tolerance_ns,
                                          camlane_synchronizer **synchronizer);
/* Waits for the next set and stores its frames, in the order of the names; `count` is the number of lanes, and each frame
 * is released on its own. -EDOM: a frame has no capture time, or one on another clock than the other lanes'. News of a
 * lane is said once as camlane_consumer_next says it, with the lane in camlane_last_error; calling again goes on. With
 * -ETIMEDOUT that says of each lane whose producer tells it why no frames come. */
CAMLANE_API int camlane_synchronizer_next(camlane_synchronizer *synchronizer, int timeout_ms, camlane_frame *frames,
                                          size_t count);
/* What became of the frames of lane `index`. */
CAMLANE_API int camlane_synchronizer_totals(camlane_synchronizer *synchronizer, size_t index, camlane_sync_totals *totals);
CAMLANE_API void camlane_synchronizer_close(camlane_synchronizer *synchronizer);

/* ---- Observer ---------------------------------------------------------------------------------------------------- */

/* Opens a lane to look at: needs no seat and no permission to write, copies frames out, trusts nobody. Not in the program
 * of the lane's producer. Closed by camlane_observer_close. */
CAMLANE_API int camlane_observer_open(const char *name, camlane_observer **observer);
/* Waits until something may be new since the last look. A named lane without CAMLANE_LANE_ALWAYS_WAKE cannot tell its
 * observers, who then look every few milliseconds. */
CAMLANE_API int camlane_observer_wait(camlane_observer *observer, int timeout_ms);
/* As camlane_consumer_pause. */
CAMLANE_API int camlane_observer_pause(camlane_observer *observer, camlane_pause *pause);
/* What the newest frame says about itself. -EAGAIN: none yet. */
CAMLANE_API int camlane_observer_peek(camlane_observer *observer, camlane_observed *observed);
/* Copies the newest frame out, and its user metadata as far as there is room; `user` may be NULL if user_room is 0.
 * -EMSGSIZE: more room is needed, camlane_observer_peek says how much. */
CAMLANE_API int camlane_observer_copy(camlane_observer *observer, uint8_t *pixels, size_t room, uint8_t *user,
                                      size_t user_room, camlane_observed *observed);
CAMLANE_API void camlane_observer_close(camlane_observer *observer);

/* ---- Byte stream ------------------------------------------------------------------------------------------------- */

/* Makes a byte stream for what is not a frame: one writer, one reader. Ended by camlane_stream_end. */
CAMLANE_API int camlane_stream_create(const char *name, const camlane_stream_options *options,
                                      camlane_stream_writer **writer);
/* Writes bytes, waiting for room at most timeout_ms; negative: for ever. `written` are all of them unless the time was
 * over before. -ETIMEDOUT: not one found room. */
CAMLANE_API int camlane_stream_write(camlane_stream_writer *writer, const uint8_t *bytes, size_t len, int timeout_ms,
                                     size_t *written);
/* Ends the stream. The reader gets what is left and is then told -EPIPE. */
CAMLANE_API void camlane_stream_end(camlane_stream_writer *writer);
/* Opens a byte stream, where the last reader stopped. Closed by camlane_stream_close. */
CAMLANE_API int camlane_stream_open(const char *name, const camlane_stream_options *options,
                                    camlane_stream_reader **reader);
/* Copies the oldest bytes out, at least one, waiting for it at most timeout_ms; negative: for ever. -EPIPE, -EOWNERDEAD:
 * the writer ended the stream, or died, and all of it was read. */
CAMLANE_API int camlane_stream_read(camlane_stream_reader *reader, uint8_t *bytes, size_t room, int timeout_ms,
                                    size_t *read);
CAMLANE_API void camlane_stream_close(camlane_stream_reader *reader);

/* ---- The bytes in shared memory ---------------------------------------------------------------------------------- */

/* core/FORMAT.md explains them; camlane_reader.h reads them. Words that move are plain uint32_t here: whoever touches
 * them does so by aligned 32-bit atomic loads and stores. A 64-bit value is two words, the low one first. */

#define CAMLANE_STATE_INIT 0u
#define CAMLANE_STATE_LIVE 1u
#define CAMLANE_STATE_CLOSED 2u
#define CAMLANE_STATE_SUPERSEDED 3u

#define CAMLANE_SHM_ALWAYS_WAKE (1u << 0)
#define CAMLANE_SHM_IN_PLACE (1u << 1)
#define CAMLANE_SHM_STREAM (1u << 2)

#define CAMLANE_SHM_SEAT_MAGIC 0x74616573u /* "seat" */

typedef struct camlane_shm_header {
    uint8_t magic[8]; /* "camlane\0" */
    uint32_t layout;
    uint32_t header_len;
    uint32_t incarnation[4];
    uint32_t total_len[2];
    uint32_t slots;
    uint32_t ring_len;
    uint32_t history;
    uint32_t loans;
    uint32_t seats;
    uint32_t pins;
    uint32_t slot_size;
    uint32_t slot_stride;
    uint32_t ring_off;
    uint32_t desc_off;
    uint32_t desc_stride;
    uint32_t page;
    uint32_t payload_off[2];
    uint32_t seats_off[2];
    uint32_t seat_stride;
    uint32_t flags; /* CAMLANE_SHM_ALWAYS_WAKE, ... */
    uint32_t created_ns[2];
    uint32_t seat_places;
    uint32_t crc;
} camlane_shm_header;

typedef struct camlane_shm_live {
    uint32_t latest;
    uint32_t bell;
    uint32_t state; /* CAMLANE_STATE_* */
    uint32_t dropped;
    uint32_t writer_sleeping;
    uint32_t latest_slot;
    uint32_t pause;     /* CAMLANE_PAUSE_* in the low half, an errno in the high half; 0: nothing */
    uint32_t paused_at; /* milliseconds of CLOCK_BOOTTIME, modulo 2^32 */
    uint32_t reserved[24];
} camlane_shm_live;

typedef struct camlane_shm_info {
    uint8_t name[64];
    uint8_t frame_id[64];
    uint8_t calibration[64];
    uint32_t format;
    uint32_t width;
    uint32_t height;
    uint32_t rate_numerator;
    uint32_t rate_denominator;
    uint32_t creator_pid;
    uint32_t creator_started[2];
    uint8_t boot_id[16];
    uint32_t boottime_minus_monotonic[2];
    uint32_t realtime_minus_monotonic[2];
    uint32_t tai_minus_realtime[2];
    uint32_t clocks_sampled_at[2];
    uint32_t reserved[11];
    uint32_t crc;
} camlane_shm_info;

typedef struct camlane_shm_descriptor {
    uint32_t word;
    uint32_t number[2];
    uint32_t len;
    uint32_t capture_ns[2];
    uint32_t publish_ns[2];
    uint32_t source_sequence;
    uint32_t drops_before;
    uint32_t flags;
    uint32_t format;
    uint32_t width;
    uint32_t height;
    uint32_t kinds;
    uint32_t user_len;
    uint32_t planes[4][4];
    uint32_t details[32];
} camlane_shm_descriptor;

typedef struct camlane_shm_seat {
    uint32_t magic;
    uint32_t layout;
    uint32_t index;
    uint32_t pins;
    uint32_t incarnation[4];
    uint32_t sleeping;
    uint32_t bell;
    uint32_t reserved[22];
    uint32_t cells[8];
    uint32_t cursor;
    uint32_t pid;
    uint32_t reserved2[6];
} camlane_shm_seat;

CAMLANE_ASSERT(sizeof(camlane_shm_header) == 0x80 && offsetof(camlane_shm_header, slots) == 0x28, "header");
CAMLANE_ASSERT(offsetof(camlane_shm_header, payload_off) == 0x58 && offsetof(camlane_shm_header, crc) == 0x7c, "header");
CAMLANE_ASSERT(sizeof(camlane_shm_live) == 0x80 && offsetof(camlane_shm_live, latest_slot) == 0x14, "live words");
CAMLANE_ASSERT(sizeof(camlane_shm_info) == 0x140 && offsetof(camlane_shm_info, format) == 0xc0, "info record");
CAMLANE_ASSERT(offsetof(camlane_shm_info, boot_id) == 0xe0 && offsetof(camlane_shm_info, crc) == 0x13c, "info record");
CAMLANE_ASSERT(sizeof(camlane_shm_descriptor) == 0x100 && offsetof(camlane_shm_descriptor, len) == 0x0c, "descriptor");
CAMLANE_ASSERT(offsetof(camlane_shm_descriptor, planes) == 0x40, "descriptor");
CAMLANE_ASSERT(offsetof(camlane_shm_descriptor, details) == 0x80, "descriptor");
CAMLANE_ASSERT(sizeof(camlane_shm_seat) == 192 && offsetof(camlane_shm_seat, sleeping) == 0x20, "seat");
CAMLANE_ASSERT(offsetof(camlane_shm_seat, cells) == 0x80 && offsetof(camlane_shm_seat, pid) == 0xa4, "seat");

#endif

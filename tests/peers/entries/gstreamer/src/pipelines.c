/* appsrc ! shmsink and shmsrc ! appsink, for frames of one size without a format: shmsink carries none. */
#include <gst/app/gstappsink.h>
#include <gst/app/gstappsrc.h>
#include <gst/gst.h>
#include <stdint.h>
#include <stdio.h>

struct writer {
    GstElement *pipeline;
    GstAppSrc *source;
    GstAllocator *allocator; /* shmsink's own: what it gave, it need not copy */
    GstBuffer *buffer;
    GstMapInfo map;
    gsize bytes;
};

struct reader {
    GstElement *pipeline;
    GstAppSink *sink;
    GstSample *sample;
    GstBuffer *buffer;
    GstMapInfo map;
};

static GstElement *start(const char *text) {
    gst_init(NULL, NULL);
    GError *error = NULL;
    GstElement *pipeline = gst_parse_launch(text, &error);
    if (error != NULL) {
        fprintf(stderr, "%s\n", error->message);
        g_clear_error(&error);
        return NULL;
    }
    if (gst_element_set_state(pipeline, GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE) return NULL;
    return pipeline;
}

/* Asks the pipeline for the allocator that its sink proposes. */
static GstAllocator *proposed(GstAppSrc *source) {
    GstPad *pad = gst_element_get_static_pad(GST_ELEMENT(source), "src");
    GstCaps *caps = gst_caps_new_empty_simple("application/octet-stream");
    GstQuery *query = gst_query_new_allocation(caps, FALSE);
    GstAllocator *allocator = NULL;
    if (gst_pad_peer_query(pad, query) && gst_query_get_n_allocation_params(query) > 0)
        gst_query_parse_nth_allocation_param(query, 0, &allocator, NULL);
    gst_query_unref(query);
    gst_caps_unref(caps);
    gst_object_unref(pad);
    return allocator;
}

struct writer *gst_writer(const char *path, size_t bytes, int slots, int zero_copy) {
    char text[512];
    snprintf(text, sizeof text,
             "appsrc name=source format=time is-live=true block=true max-buffers=1 ! "
             "shmsink socket-path=%s shm-size=%zu wait-for-connection=false sync=false async=false",
             path, (bytes + 4096) * (size_t)slots);
    GstElement *pipeline = start(text);
    if (pipeline == NULL) return NULL;
    struct writer *writer = g_new0(struct writer, 1);
    writer->pipeline = pipeline;
    writer->source = GST_APP_SRC(gst_bin_get_by_name(GST_BIN(pipeline), "source"));
    writer->bytes = bytes;
    if (zero_copy) {
        writer->allocator = proposed(writer->source);
        if (writer->allocator == NULL) {
            fprintf(stderr, "shmsink proposes no allocator\n");
            return NULL;
        }
    }
    return writer;
}

unsigned char *gst_loan(struct writer *writer) {
    writer->buffer = gst_buffer_new_allocate(writer->allocator, writer->bytes, NULL);
    if (writer->buffer == NULL || !gst_buffer_map(writer->buffer, &writer->map, GST_MAP_WRITE)) return NULL;
    return writer->map.data;
}

int gst_publish(struct writer *writer) {
    gst_buffer_unmap(writer->buffer, &writer->map);
    return gst_app_src_push_buffer(writer->source, writer->buffer) == GST_FLOW_OK;
}

struct reader *gst_reader(const char *path) {
    char text[512];
    snprintf(text, sizeof text,
             "shmsrc socket-path=%s is-live=true do-timestamp=false ! "
             "appsink name=sink sync=false max-buffers=1 drop=true",
             path);
    GstElement *pipeline = start(text);
    if (pipeline == NULL) return NULL;
    struct reader *reader = g_new0(struct reader, 1);
    reader->pipeline = pipeline;
    reader->sink = GST_APP_SINK(gst_bin_get_by_name(GST_BIN(pipeline), "sink"));
    return reader;
}

const unsigned char *gst_take(struct reader *reader, uint64_t limit_ns, size_t *bytes) {
    reader->sample = gst_app_sink_try_pull_sample(reader->sink, limit_ns);
    if (reader->sample == NULL) return NULL;
    reader->buffer = gst_sample_get_buffer(reader->sample);
    if (!gst_buffer_map(reader->buffer, &reader->map, GST_MAP_READ)) return NULL;
    *bytes = reader->map.size;
    return reader->map.data;
}

void gst_release(struct reader *reader) {
    gst_buffer_unmap(reader->buffer, &reader->map);
    gst_sample_unref(reader->sample);
}

void gst_end(GstElement **side) { gst_element_set_state(*side, GST_STATE_NULL); }

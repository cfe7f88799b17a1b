// One picture behind a packed 24-byte header in a shared memory object, written in place, `frame_valid` last: the program
// that many people start from. It is meant to be as it is, with its races.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>

namespace {

struct FrameHeader {
    int width;
    int height;
    int channels;
    int64_t timestamp_ms;
    int frame_valid;
} __attribute__((packed));
static_assert(sizeof(FrameHeader) == 24, "no padding");

struct Segment {
    std::string name;
    int width, height;
    volatile FrameHeader* header;
    unsigned char* pixels;
    size_t bytes;
};

Segment* map(const char* name, int width, int height, int fd, int protection) {
    const size_t bytes = size_t(width) * height * 3;
    void* memory = mmap(nullptr, bytes + sizeof(FrameHeader), protection, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED) return nullptr;
    auto* base = static_cast<unsigned char*>(memory);
    return new Segment{name,  width, height, static_cast<volatile FrameHeader*>(memory), base + sizeof(FrameHeader),
                       bytes};
}

}  // namespace

extern "C" {

Segment* header24_create(const char* name, int width, int height) {
    shm_unlink(name);
    int fd = shm_open(name, O_CREAT | O_RDWR, 0666);
    if (fd == -1) return nullptr;
    if (ftruncate(fd, off_t(sizeof(FrameHeader)) + off_t(width) * height * 3) != 0) return nullptr;
    return map(name, width, height, fd, PROT_READ | PROT_WRITE);
}

void header24_write(Segment* segment, const unsigned char* picture) {
    using namespace std::chrono;
    auto* header = segment->header;
    header->frame_valid = 0;
    header->width = segment->width;
    header->height = segment->height;
    header->channels = 3;
    header->timestamp_ms = duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
    std::memcpy(segment->pixels, picture, segment->bytes);
    __sync_synchronize();
    header->frame_valid = 1;
}

Segment* header24_open(const char* name, int width, int height) {
    int fd = shm_open(name, O_RDONLY, 0);
    return fd == -1 ? nullptr : map(name, width, height, fd, PROT_READ);
}

// The pixels in place, or nothing while they are being written.
const unsigned char* header24_look(const Segment* segment) {
    if (segment->header->frame_valid != 1) return nullptr;
    __sync_synchronize();
    return segment->pixels;
}

void header24_unlink(const Segment* segment) { shm_unlink(segment->name.c_str()); }
}

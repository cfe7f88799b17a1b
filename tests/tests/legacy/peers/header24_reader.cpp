// A reader as people have it: read-only map of a size known beforehand, a copy when `frame_valid` is 1. It also looks at
// `frame_valid` and the time again after the copy, as a careful one does, and counts what each rule accepts.
// usage: header24_reader NAME WIDTH HEIGHT
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

struct FrameHeader {
    int width;
    int height;
    int channels;
    int64_t timestamp_ms;
    int frame_valid;
} __attribute__((packed));

int main(int argc, char** argv) {
    if (argc < 4) return 2;
    const std::string name = argv[1];
    const size_t pixels = size_t(std::stoi(argv[2])) * std::stoi(argv[3]) * 3, size = pixels + sizeof(FrameHeader);
    int fd = shm_open(name.c_str(), O_RDONLY, 0);
    if (fd == -1) {
        std::cout << "failed errno=" << errno << std::endl;
        return 1;
    }
    void* memory = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) return 1;
    auto* header = static_cast<volatile FrameHeader*>(memory);
    auto* data = static_cast<unsigned char*>(memory) + sizeof(FrameHeader);
    std::vector<unsigned char> copy(pixels);

    std::cout << "ok ready" << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string order;
        int64_t ms = 0;
        words >> order >> ms;
        if (order == "run") {
            uint64_t accepted = 0, torn = 0, checked = 0, checked_torn = 0, last = 0, different = 0;
            auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
            while (std::chrono::steady_clock::now() < end) {
                const int64_t stamp = header->timestamp_ms;
                if (header->frame_valid != 1) continue;
                std::atomic_thread_fence(std::memory_order_acquire);
                std::memcpy(copy.data(), data, pixels);
                std::atomic_thread_fence(std::memory_order_acquire);
                const bool again = header->frame_valid == 1 && header->timestamp_ms == stamp;
                const bool whole = std::memcmp(copy.data(), copy.data() + 1, pixels - 1) == 0;
                ++accepted;
                torn += !whole;
                checked += again;
                checked_torn += again && !whole;
                if (again && uint64_t(stamp) != last) ++different, last = uint64_t(stamp);
            }
            std::cout << "ok accepted=" << accepted << " torn=" << torn << " checked=" << checked
                      << " checked_torn=" << checked_torn << " different=" << different << std::endl;
        } else if (order == "look") {
            std::cout << "ok width=" << header->width << " height=" << header->height << " channels=" << header->channels
                      << " timestamp=" << header->timestamp_ms << " valid=" << header->frame_valid
                      << " first=" << int(data[0]) << " last=" << int(data[pixels - 1]) << std::endl;
        } else if (order == "quit") {
            return 0;
        }
    }
}

// A program as people have it: one picture behind a packed 24-byte header, written in place, `frame_valid` last.
// usage: header24_writer NAME WIDTH HEIGHT
// Every byte of frame n is n modulo 251, so that a mixture of two frames shows.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

struct FrameHeader {
    int width;
    int height;
    int channels;
    int64_t timestamp_ms;
    int frame_valid;
} __attribute__((packed));
static_assert(sizeof(FrameHeader) == 24, "no padding");

static int64_t wall_ms() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

int main(int argc, char** argv) {
    if (argc < 4) return 2;
    const std::string name = argv[1];
    const int width = std::stoi(argv[2]), height = std::stoi(argv[3]);
    const size_t pixels = size_t(width) * height * 3, size = pixels + sizeof(FrameHeader);

    shm_unlink(name.c_str());
    int fd = shm_open(name.c_str(), O_CREAT | O_RDWR, 0666);
    if (fd == -1) {
        std::cerr << "shm_open failed: " << strerror(errno) << std::endl;
        return 1;
    }
    if (ftruncate(fd, size) != 0) return 1;
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        std::cerr << "mmap failed: " << strerror(errno) << std::endl;
        return 1;
    }
    auto* header = static_cast<volatile FrameHeader*>(memory);
    auto* data = static_cast<unsigned char*>(memory) + sizeof(FrameHeader);
    std::vector<unsigned char> picture(pixels);
    uint64_t n = 0;

    auto begin = [&](int64_t stamp) {
        std::memset(picture.data(), int(++n % 251), pixels);
        header->frame_valid = 0;
        header->width = width;
        header->height = height;
        header->channels = 3;
        header->timestamp_ms = stamp ? stamp : wall_ms();
    };
    auto finish = [&] {
        std::memcpy(data, picture.data(), pixels);
        __sync_synchronize();
        header->frame_valid = 1;
    };

    std::cout << "ok ready" << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string order;
        int64_t a = 0, b = 0;
        words >> order >> a >> b;
        if (order == "frame") {  // [TIMESTAMP]
            begin(a);
            finish();
        } else if (order == "run") {  // MILLISECONDS PAUSE_US: as fast as can be with that pause
            auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(a);
            const uint64_t before = n;
            while (std::chrono::steady_clock::now() < end) {
                begin(0);
                finish();
                if (b > 0) std::this_thread::sleep_for(std::chrono::microseconds(b));
            }
            std::cout << "ok frames=" << n - before << std::endl;
            continue;
        } else if (order == "half") {  // dies next, people say
            begin(0);
            std::memcpy(data, picture.data(), pixels / 2);
        } else if (order == "header") {  // WIDTH HEIGHT: says something else than it has
            header->width = int(a);
            header->height = int(b);
            header->timestamp_ms = wall_ms();
        } else if (order == "cut") {  // BYTES
            if (ftruncate(fd, a) != 0) return 1;
        } else if (order == "unlink") {
            shm_unlink(name.c_str());
        } else if (order == "quit") {
            return 0;
        }
        std::cout << "ok n=" << n << " value=" << n % 251 << std::endl;
    }
}

// A byte stream behind a process-shared mutex, as people have it; the pauses are the caller's.
// usage: sharesync write|read NAME [BYTES]
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>

struct ShareSync {
    int writed;
    pthread_mutex_t mutex;
    pthread_mutexattr_t attr;
};

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    const std::string role = argv[1], name = argv[2];
    const size_t size = sizeof(ShareSync) + (argc > 3 ? std::stoul(argv[3]) : 10 * 1024 * 1024);
    if (role == "write") shm_unlink(name.c_str());
    int fd = shm_open(name.c_str(), O_CREAT | O_RDWR, 0770);
    if (fd < 0) {
        std::cout << "open share mem failed" << std::endl;
        return -1;
    }
    if (ftruncate(fd, size) != 0) {
        std::cout << "alloc share mem failed" << std::endl;
        return -1;
    }
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) return -1;
    auto* sync = static_cast<ShareSync*>(memory);
    auto* bytes = static_cast<char*>(memory) + sizeof(ShareSync);
    if (role == "write") {
        pthread_mutexattr_init(&sync->attr);
        pthread_mutexattr_setpshared(&sync->attr, PTHREAD_PROCESS_SHARED);
        pthread_mutex_init(&sync->mutex, &sync->attr);
        sync->writed = 0;
    }
    size_t head = 0;  // private, as theirs is

    std::cout << "ok size=" << sizeof(ShareSync) << " total=" << size << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string order, text;
        words >> order;
        if (order == "quit") return 0;
        if (order == "write") {  // TEXT, any length
            words >> text;
            pthread_mutex_lock(&sync->mutex);
            std::memcpy(bytes + head, text.data(), text.size());
            head += text.size();
            sync->writed += int(text.size());
            pthread_mutex_unlock(&sync->mutex);
            std::cout << "ok writed=" << sync->writed << std::endl;
        } else if (order == "flood") {  // COUNT: numbered messages of 8 bytes, without a pause; says so when it begins
            long count = 0;
            words >> count;
            std::cout << "ok flood" << std::endl;
            for (long i = 0; i < count; i++) {
                char message[32];
                std::snprintf(message, sizeof message, "%08ld", i);
                pthread_mutex_lock(&sync->mutex);
                std::memcpy(bytes + head, message, 8);
                head += 8;
                sync->writed += 8;
                pthread_mutex_unlock(&sync->mutex);
            }
            std::cout << "ok done" << std::endl;
        } else if (order == "read") {  // one look; `writed > 5`, as theirs
            char message[6] = {0};
            pthread_mutex_lock(&sync->mutex);
            const int writed = sync->writed;
            if (writed > 5) {
                std::memcpy(message, bytes + head, 5);
                sync->writed -= 5;
                head += 5;
            }
            pthread_mutex_unlock(&sync->mutex);
            std::cout << "ok writed=" << writed << " text=" << message << std::endl;
        } else if (order == "hold") {  // takes the mutex and keeps it
            pthread_mutex_lock(&sync->mutex);
            std::cout << "ok held" << std::endl;
        } else if (order == "release") {
            pthread_mutex_unlock(&sync->mutex);
            std::cout << "ok" << std::endl;
        } else if (order == "set") {  // a count that makes no sense
            words >> sync->writed;
            std::cout << "ok" << std::endl;
        }
    }
}

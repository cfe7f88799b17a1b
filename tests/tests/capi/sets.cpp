// Lanes in step from C++, for a test that has the producers. Arguments: a tolerance in milliseconds, and the lanes.
// Answers each line of "next MILLISECONDS" with "ok" and the frames' numbers, first bytes and times, or "error ERRNO MESSAGE";
// keeps the sets that it gets in hand until "drop"; "totals" says what became of each lane's frames.
#include <cstdlib>
#include <iostream>
#include <sstream>

#include <camlane.hpp>

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    const std::vector<std::string> names(argv + 2, argv + argc);
    auto opened = camlane::Synchronizer::open(names, std::chrono::milliseconds(std::atoi(argv[1])));
    if (!opened) {
        std::cout << "error " << opened.failure().code() << " " << opened.failure().message() << std::endl;
        return 1;
    }
    const auto lanes = std::move(opened).value();
    std::vector<std::vector<camlane::Frame>> held;
    std::cout << "ok ready" << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string order;
        int milliseconds = 0;
        words >> order >> milliseconds;
        if (order == "next") {
            auto set = lanes.next(std::chrono::milliseconds(milliseconds));
            if (!set) {
                const auto &failure = set.failure();
                std::cout << "error " << failure.code() << (failure.closed() ? " closed " : failure.producer_gone() ? " gone " : " ")
                          << failure.message() << std::endl;
                continue;
            }
            std::cout << "ok";
            for (const camlane::Frame &frame : *set)
                std::cout << " " << frame.number() << ":" << int(frame.bytes()[0]) << "@" << frame.meta().capture_ns;
            std::cout << std::endl;
            held.push_back(std::move(*set));
        } else if (order == "held") { // the first bytes of all that is in hand, once more
            std::cout << "ok";
            for (const auto &set : held)
                for (const camlane::Frame &frame : set)
                    std::cout << " " << int(frame.bytes()[0]);
            std::cout << std::endl;
        } else if (order == "drop") {
            held.clear();
            std::cout << "ok" << std::endl;
        } else if (order == "totals") {
            std::cout << "ok";
            for (std::size_t lane = 0; lane < names.size(); lane++) {
                const auto totals = lanes.totals(lane).value();
                std::cout << " " << totals.paired << "/" << totals.unpaired << "/" << totals.waiting;
            }
            std::cout << (lanes.totals(names.size()) ? " too many" : "") << std::endl;
        }
    }
}

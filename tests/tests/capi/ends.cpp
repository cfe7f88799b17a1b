// camlane.hpp at work, with exceptions and without. The first argument is a lane's name that is free. Prints how each
// format's planes are matrices, for comparison with the table.
#include <cstdio>
#include <thread>
#include <type_traits>

#include <camlane.hpp>

using namespace std::chrono_literals;

static bool wrong = false;
#define EXPECT(fact)                                          \
    do {                                                      \
        if (!(fact)) {                                        \
            wrong = true;                                     \
            std::printf("line %d: not %s\n", __LINE__, #fact); \
        }                                                     \
    } while (false)

template <typename T>
constexpr bool moves_only = std::is_nothrow_move_constructible_v<T> && std::is_move_assignable_v<T> &&
                            !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;
static_assert(moves_only<camlane::Producer> && moves_only<camlane::Loan> && moves_only<camlane::Consumer>);
static_assert(moves_only<camlane::Frame> && moves_only<camlane::Observer>);
static_assert(moves_only<camlane::Synchronizer>);
static_assert(moves_only<camlane::StreamWriter> && moves_only<camlane::StreamReader>);
static_assert(camlane::detail::milliseconds(1us) == 1 && camlane::detail::milliseconds(camlane::forever) == -1);
static_assert(camlane::detail::milliseconds(100h * 24 * 365) == 0x7fffffff);

static void frames(const std::string &name) {
    const auto layout = camlane::layout(CAMLANE_NV12, 64, 48, 64).value();
    auto options = camlane::LaneOptions(layout);
    options.seats = 2;
    auto producer = camlane::Producer::create(name, options).value();
    auto taken = camlane::Producer::create(name, options);
    EXPECT(!taken && taken.failure().code() == EBUSY && taken.failure().message().find(name) != std::string::npos);

    const auto consumer = camlane::Consumer::open(name).value();
    EXPECT(consumer.try_next().failure().timed_out());
    EXPECT(consumer.next(1ms).failure().timed_out() && !consumer.pause());
    EXPECT(producer.pause(0).failure().code() == EINVAL);
    EXPECT(bool(producer.pause(CAMLANE_PAUSE_UNPLUGGED, ENODEV)));
    const auto late_frame = consumer.next(1ms);
    EXPECT(late_frame.failure().timed_out() && late_frame.failure().message().find("unplugged") != std::string::npos);
    EXPECT(consumer.pause() && consumer.pause()->reason == CAMLANE_PAUSE_UNPLUGGED && consumer.pause()->error == ENODEV);
    EXPECT(consumer.pause()->lasted_ns < std::uint64_t(1000) * 1000 * 1000 * 1000);
    EXPECT(bool(producer.resume()) && !consumer.pause());
    for (std::uint8_t n = 1; n <= 3; n++) {
        auto loan = producer.loan().value();
        auto moved = std::move(loan); // the one that was moved from gives nothing back
        for (auto &byte : moved.bytes())
            byte = n;
        EXPECT(moved.plane(layout, 1).data() == moved.bytes().data() + layout.planes[1].offset);
        EXPECT(moved.plane(layout, 2).empty());
        auto meta = camlane::meta(layout);
        meta.source_sequence = n;
        EXPECT(producer.publish(std::move(moved), meta).value() == n);
    }
    const auto alone = camlane::Synchronizer::open({name}, 1ms);
    EXPECT(!alone && alone.failure().code() == EINVAL);
    auto frame = consumer.next(1s).value();
    EXPECT(frame.number() == 3 && frame.missed() == 2 && frame.meta().source_sequence == 3);
    EXPECT(frame.plane(1).size() == layout.planes[1].bytes && frame.plane(1)[0] == 3 && frame.plane(2).empty());
    EXPECT(!frame.details());
    const auto again = std::move(frame);
    EXPECT(again.bytes().size() == layout.bytes && frame.bytes().empty()); // NOLINT: that is the point

    auto late = camlane::Details{};
    late.struct_size = sizeof late;
    late.valid = CAMLANE_DETAIL_TRIGGER;
    late.trigger = 9;
    std::thread publisher([&] {
        EXPECT(bool(producer.publish(producer.loan().value(), camlane::meta(layout), &late)));
        const auto gone = std::move(producer); // ends the stream here
    });
    auto found = camlane::Consumer::wait_any({&consumer}, camlane::forever).value();
    EXPECT(found.first == 0 && found.second.number() == 4 && found.second.details()->trigger == 9);
    publisher.join();
    EXPECT(consumer.next(camlane::forever).failure().closed());
    EXPECT(consumer.totals().value().delivered == 2);
    EXPECT(consumer.describe()->seats == 2);
    EXPECT(camlane::Observer::open(name).failure().code() == ENOENT);
}

static void bytes(const std::string &name) {
    auto writer = std::optional(camlane::StreamWriter::create(name).value());
    const auto reader = camlane::StreamReader::open(name).value();
    const std::uint8_t text[] = {'h', 'i'};
    EXPECT(writer->write({text, 2}, 0ms).value() == 2);
    std::uint8_t into[8] = {};
    EXPECT(reader.read({into, 8}, 0ms).value() == 2 && into[1] == 'i');
    EXPECT(reader.read({into, 8}, 0ms).failure().timed_out());
    writer.reset();
    EXPECT(reader.read({into, 8}, 1s).failure().closed());
}

static void matrices() {
#define SHAPES(name) shapes(#name, CAMLANE_##name);
    const auto shapes = [](const char *name, std::uint32_t format) {
        auto layout = camlane::layout(format, 7, 5, 16);
        if (!layout)
            layout = camlane::layout_of_bytes(format, 100, 7, 5);
        std::printf("%s", name);
        for (std::size_t plane = 0; plane < layout->plane_count; plane++)
            if (const auto mat = camlane::mat_shape(*layout, plane))
                std::printf(" %d%sC%d:%dx%d@%zu+%zu", mat->bits, mat->bits == 32 ? "F" : "U", mat->channels, mat->rows,
                            mat->columns, mat->offset, mat->step);
        std::printf("\n");
    };
    CAMLANE_FORMATS(SHAPES)

    auto nv12 = camlane::layout(CAMLANE_NV12, 8, 4, 1).value();
    EXPECT(camlane::mat_shape_of_yuv420(nv12)->rows == 6 && camlane::mat_shape_of_yuv420(nv12)->step == 8);
    nv12.bytes += 8;
    nv12.planes[1].offset += 8;
    EXPECT(!camlane::mat_shape_of_yuv420(nv12)); // chroma does not follow at once
    EXPECT(camlane::mat_shape_of_yuv420(camlane::layout(CAMLANE_I420, 8, 4, 1).value()));
    EXPECT(!camlane::mat_shape_of_yuv420(camlane::layout(CAMLANE_I420, 8, 4, 16).value()));
    EXPECT(!camlane::mat_shape_of_yuv420(camlane::layout(CAMLANE_NV12, 7, 4, 1).value()));
    EXPECT(!camlane::mat_shape_of_yuv420(camlane::layout(CAMLANE_BGR8, 8, 4, 1).value()));
    auto lie = camlane::layout(CAMLANE_GRAY8, 8, 4, 1).value();
    lie.planes[0].stride = 4;
    EXPECT(!camlane::mat_shape(lie) && !camlane::mat_shape(nv12, 2));
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    frames(argv[1]);
    bytes(argv[1]);
    matrices();
#if CAMLANE_EXCEPTIONS
    try {
        (void)camlane::Consumer::open("nobody-has-this").value();
        EXPECT(false);
    } catch (const camlane::Error &error) {
        EXPECT(error.code() == ENOENT && std::string(error.what()).find("nobody-has-this") != std::string::npos);
    }
#else
    EXPECT(!camlane::Consumer::open("nobody-has-this"));
#endif
    return wrong ? 1 : 0;
}

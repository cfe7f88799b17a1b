// camlane.hpp - camlane for C++17: owned, move-only ends over camlane.h. Header only.
//
//     auto lane = camlane::Consumer::open("front-door").value();
//     while (auto frame = lane.next(std::chrono::seconds(1)))
//         show(frame->plane(0), frame->layout());     // in place; the frame goes back when it leaves the scope
//
// Exceptions are optional. Whatever can fail returns a Result: test it, or call value(), which throws camlane::Error, or
// prints the message and aborts in a program without exceptions. Nothing else throws, except for want of memory.
//
// Where OpenCV was included first, camlane::mat(frame) is a cv::Mat over the frame's pixels.
//
// SPDX-License-Identifier: MIT OR Apache-2.0
#ifndef CAMLANE_HPP
#define CAMLANE_HPP

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "camlane.h"

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define CAMLANE_EXCEPTIONS 1
#include <stdexcept>
#else
#define CAMLANE_EXCEPTIONS 0
#endif

namespace camlane {

// Why something failed: a positive errno to decide by, and a message for people.
class Failure {
public:
    // What the last call on this thread said; `result` is what it returned.
    explicit Failure(int result) : errno_(-result), message_(camlane_last_error()) {}

    [[nodiscard]] int code() const noexcept { return errno_; }
    [[nodiscard]] const std::string &message() const noexcept { return message_; }
    [[nodiscard]] bool timed_out() const noexcept { return errno_ == ETIMEDOUT || errno_ == EAGAIN; }
    // The producer ended the stream, or died. Waiting on follows the one that takes its place.
    [[nodiscard]] bool closed() const noexcept { return errno_ == EPIPE; }
    [[nodiscard]] bool producer_gone() const noexcept { return errno_ == EOWNERDEAD; }

private:
    int errno_;
    std::string message_;
};

#if CAMLANE_EXCEPTIONS
// What Result::value throws.
class Error : public std::runtime_error {
public:
    explicit Error(const Failure &failure) : std::runtime_error(failure.message()), code_(failure.code()) {}
    // A positive errno.
    [[nodiscard]] int code() const noexcept { return code_; }

private:
    int code_;
};
#endif

// A value, or why there is none.
template <typename T>
class [[nodiscard]] Result {
public:
    Result(T value) : inner_(std::in_place_index<0>, std::move(value)) {}
    Result(Failure failure) : inner_(std::in_place_index<1>, std::move(failure)) {}

    explicit operator bool() const noexcept { return inner_.index() == 0; }
    // The value; the caller has tested that there is one.
    T &operator*() & noexcept { return *std::get_if<0>(&inner_); }
    T *operator->() noexcept { return std::get_if<0>(&inner_); }
    // Why there is none; the caller has tested that there is none.
    [[nodiscard]] const Failure &failure() const noexcept { return *std::get_if<1>(&inner_); }

    // The value, or a camlane::Error; without exceptions, the program's end.
    T value() && {
        if (!*this) {
#if CAMLANE_EXCEPTIONS
            throw Error(failure());
#else
            std::fprintf(stderr, "camlane: %s\n", failure().message().c_str());
            std::abort();
#endif
        }
        return std::move(*std::get_if<0>(&inner_));
    }

private:
    std::variant<T, Failure> inner_;
};

// For what gives no value.
using Done = Result<std::monostate>;

// Elements that somebody else owns: what std::span is in C++20, into which it converts.
template <typename T>
class Span {
public:
    constexpr Span() noexcept = default;
    constexpr Span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}

    [[nodiscard]] constexpr T *data() const noexcept { return data_; }
    [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
    [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] constexpr T *begin() const noexcept { return data_; }
    [[nodiscard]] constexpr T *end() const noexcept { return data_ + size_; }
    constexpr T &operator[](std::size_t index) const noexcept { return data_[index]; }

private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

using Bytes = Span<const std::uint8_t>;
using MutableBytes = Span<std::uint8_t>;
using Layout = camlane_layout;
using Meta = camlane_meta;
using Details = camlane_details;

namespace detail {

template <typename T>
T sized() noexcept {
    T value{};
    value.struct_size = sizeof(T);
    return value;
}

template <typename T, void (*Close)(T *)>
struct Closer {
    void operator()(T *handle) const noexcept { Close(handle); }
};

template <typename T, void (*Close)(T *)>
using Handle = std::unique_ptr<T, Closer<T, Close>>;

// Milliseconds, rounded up: a time-out is never shorter than it was asked for. Negative: for ever.
template <typename Rep, typename Period>
constexpr int milliseconds(std::chrono::duration<Rep, Period> timeout) noexcept {
    using std::chrono::milliseconds;
    if (timeout < timeout.zero())
        return -1;
    const auto most = milliseconds(0x7fffffff);
    return timeout >= most ? 0x7fffffff : static_cast<int>(std::chrono::ceil<milliseconds>(timeout).count());
}

inline Done done(int result) {
    if (result < 0)
        return Failure(result);
    return std::monostate{};
}

} // namespace detail

// Waits without an end.
inline constexpr std::chrono::milliseconds forever{-1};

// A picture's layout, each stride a multiple of `row_align` bytes.
inline Result<Layout> layout(std::uint32_t format, std::uint32_t width, std::uint32_t height, std::uint32_t row_align = 64) {
    Layout layout{};
    const int result = camlane_layout_rows(format, width, height, row_align, &layout);
    if (result < 0)
        return Failure(result);
    return layout;
}

// A compressed or opaque frame of at most `max_bytes`.
inline Result<Layout> layout_of_bytes(std::uint32_t format, std::uint32_t max_bytes, std::uint32_t width = 0,
                                      std::uint32_t height = 0) {
    Layout layout{};
    const int result = camlane_layout_bytes(format, width, height, max_bytes, &layout);
    if (result < 0)
        return Failure(result);
    return layout;
}

// Describes a frame that fills `layout`; everything else unknown.
inline Meta meta(const Layout &layout) noexcept {
    auto meta = detail::sized<Meta>();
    meta.layout = layout;
    return meta;
}

// Options with their defaults; camlane.h explains the fields.
struct LaneOptions : camlane_lane_options {
    explicit LaneOptions(const Layout &frames) noexcept : camlane_lane_options(detail::sized<camlane_lane_options>()) {
        layout = frames;
    }
};
struct ConsumerOptions : camlane_consumer_options {
    ConsumerOptions() noexcept : camlane_consumer_options(detail::sized<camlane_consumer_options>()) {}
};
struct StreamOptions : camlane_stream_options {
    StreamOptions() noexcept : camlane_stream_options(detail::sized<camlane_stream_options>()) {}
};

// A slot to fill. Goes back when it is destroyed unpublished.
class Loan {
public:
    Loan(Loan &&other) noexcept : loan_(std::exchange(other.loan_, camlane_loan{})) {}
    Loan &operator=(Loan &&other) noexcept {
        std::swap(loan_, other.loan_);
        return *this;
    }
    ~Loan() { camlane_loan_return(&loan_); }

    [[nodiscard]] MutableBytes bytes() const noexcept { return {loan_.data, loan_.len}; }
    [[nodiscard]] MutableBytes user() const noexcept { return {loan_.user, loan_.user_len}; }
    // The bytes of plane `index` of a frame laid out like this; empty if it has none or does not fit.
    [[nodiscard]] MutableBytes plane(const Layout &layout, std::size_t index) const noexcept {
        if (index >= layout.plane_count || index >= 4)
            return {};
        const camlane_plane &plane = layout.planes[index];
        if (std::uint64_t{plane.offset} + plane.bytes > loan_.len)
            return {};
        return {loan_.data + plane.offset, plane.bytes};
    }

private:
    friend class Producer;
    explicit Loan(const camlane_loan &loan) noexcept : loan_(loan) {}
    camlane_loan loan_;
};

// The one end of a lane that writes. Destroying it ends the stream.
class Producer {
public:
    static Result<Producer> create(const std::string &name, const camlane_lane_options &options) {
        camlane_producer *handle = nullptr;
        const int result = camlane_producer_create(name.c_str(), &options, &handle);
        if (result < 0)
            return Failure(result);
        return Producer(handle);
    }

    // Lends a slot to fill. Never waits for a consumer.
    Result<Loan> loan() const {
        camlane_loan loan{};
        const int result = camlane_producer_loan(handle_.get(), &loan);
        if (result < 0)
            return Failure(result);
        return Loan(loan);
    }

    // Publishes a filled slot and returns the frame's number. If it fails, the slot is free again.
    Result<std::uint64_t> publish(Loan &&loan, const Meta &meta, const Details *details = nullptr) const {
        std::uint64_t number = 0;
        const int result = camlane_producer_publish(handle_.get(), &loan.loan_, &meta, details, &number);
        if (result < 0)
            return Failure(result);
        return number;
    }

    // Counts frames that were lost before they reached a loan.
    Done count_dropped(std::uint32_t frames) const {
        return detail::done(camlane_producer_count_dropped(handle_.get(), frames));
    }

    // Tells readers why no frames come: CAMLANE_PAUSE_*, and the errno behind it; until resume().
    Done pause(std::uint32_t reason, int error = 0) const {
        return detail::done(camlane_producer_pause(handle_.get(), reason, error));
    }
    Done resume() const { return detail::done(camlane_producer_resume(handle_.get())); }

    [[nodiscard]] camlane_producer *get() const noexcept { return handle_.get(); }

private:
    explicit Producer(camlane_producer *handle) noexcept : handle_(handle) {}
    detail::Handle<camlane_producer, camlane_producer_close> handle_;
};

// A frame, read where it lies. Goes back when it is destroyed.
class Frame {
public:
    Frame(Frame &&other) noexcept : frame_(std::exchange(other.frame_, camlane_frame{})) {}
    Frame &operator=(Frame &&other) noexcept {
        std::swap(frame_, other.frame_);
        return *this;
    }
    ~Frame() { camlane_frame_release(&frame_); }

    [[nodiscard]] Bytes bytes() const noexcept { return {frame_.data, frame_.len}; }
    [[nodiscard]] Bytes user() const noexcept { return {frame_.user, frame_.user_len}; }
    // The bytes of plane `index`, rows layout().planes[index].stride apart; empty if there is none.
    [[nodiscard]] Bytes plane(std::size_t index) const noexcept {
        if (index >= 4 || frame_.planes[index] == nullptr)
            return {};
        return {frame_.planes[index], frame_.meta.layout.planes[index].bytes};
    }
    [[nodiscard]] const Meta &meta() const noexcept { return frame_.meta; }
    [[nodiscard]] const Layout &layout() const noexcept { return frame_.meta.layout; }
    [[nodiscard]] std::uint64_t number() const noexcept { return frame_.number; }
    [[nodiscard]] std::uint64_t missed() const noexcept { return frame_.missed; }
    [[nodiscard]] std::uint32_t dropped() const noexcept { return frame_.dropped; }
    // CAMLANE_CHANGE_*
    [[nodiscard]] std::uint32_t change() const noexcept { return frame_.change; }
    // What few readers need; none if the frame states none of it.
    [[nodiscard]] std::optional<Details> details() const noexcept {
        auto details = detail::sized<Details>();
        if (camlane_frame_details(&frame_, &details) < 0)
            return std::nullopt;
        return details;
    }

private:
    friend class Consumer;
    friend class Synchronizer;
    explicit Frame(const camlane_frame &frame) noexcept : frame_(frame) {}
    camlane_frame frame_;
};

// The end of a lane that reads in place.
class Consumer {
public:
    static Result<Consumer> open(const std::string &name, const camlane_consumer_options &options = ConsumerOptions()) {
        camlane_consumer *handle = nullptr;
        const int result = camlane_consumer_open(name.c_str(), &options, &handle);
        if (result < 0)
            return Failure(result);
        return Consumer(handle);
    }

    // Waits for the next frame. A producer that restarts is followed by itself.
    template <typename Rep, typename Period>
    Result<Frame> next(std::chrono::duration<Rep, Period> timeout) const {
        camlane_frame frame{};
        return taken(camlane_consumer_next(handle_.get(), detail::milliseconds(timeout), &frame), frame);
    }

    // The next frame if one is there now; else a failure that timed_out().
    Result<Frame> try_next() const {
        camlane_frame frame{};
        return taken(camlane_consumer_try_next(handle_.get(), &frame), frame);
    }

    // Waits for a frame of any of several consumers, and says which it was.
    template <typename Rep, typename Period>
    static Result<std::pair<std::size_t, Frame>> wait_any(const std::vector<const Consumer *> &consumers,
                                                          std::chrono::duration<Rep, Period> timeout) {
        std::vector<camlane_consumer *> handles;
        for (const Consumer *consumer : consumers)
            handles.push_back(consumer->get());
        camlane_frame frame{};
        std::size_t index = 0;
        const int result = camlane_consumer_wait_any(handles.data(), handles.size(), detail::milliseconds(timeout), &index,
                                                     &frame);
        if (result < 0)
            return Failure(result);
        return std::pair<std::size_t, Frame>(index, Frame(frame));
    }

    // A descriptor for poll: readable when next() with time-out 0 may have a frame or news. The consumer's own.
    Result<int> fd() const {
        const int result = camlane_consumer_fd(handle_.get());
        if (result < 0)
            return Failure(result);
        return result;
    }

    // Why no frames come, if the producer says so: after a failure that timed_out().
    [[nodiscard]] std::optional<camlane_pause> pause() const noexcept {
        camlane_pause pause{};
        if (camlane_consumer_pause(handle_.get(), &pause) != 1)
            return std::nullopt;
        return pause;
    }

    Result<camlane_totals> totals() const {
        camlane_totals totals{};
        const int result = camlane_consumer_totals(handle_.get(), &totals);
        if (result < 0)
            return Failure(result);
        return totals;
    }

    // What the lane says about itself.
    Result<camlane_lane_info> describe() const {
        auto info = detail::sized<camlane_lane_info>();
        const int result = camlane_consumer_describe(handle_.get(), &info);
        if (result < 0)
            return Failure(result);
        return info;
    }

    [[nodiscard]] camlane_consumer *get() const noexcept { return handle_.get(); }

private:
    explicit Consumer(camlane_consumer *handle) noexcept : handle_(handle) {}
    static Result<Frame> taken(int result, const camlane_frame &frame) {
        if (result < 0)
            return Failure(result);
        return Frame(frame);
    }
    detail::Handle<camlane_consumer, camlane_consumer_close> handle_;
};

// Reads several lanes in step: frames that were captured within the tolerance of each other.
class Synchronizer {
public:
    static Result<Synchronizer> open(const std::vector<std::string> &names, std::chrono::nanoseconds tolerance) {
        std::vector<const char *> pointers;
        for (const std::string &name : names)
            pointers.push_back(name.c_str());
        camlane_synchronizer *handle = nullptr;
        const int result = camlane_synchronizer_open(pointers.data(), pointers.size(),
                                                     static_cast<std::uint64_t>(tolerance.count()), &handle);
        if (result < 0)
            return Failure(result);
        return Synchronizer(handle, names.size());
    }

    // Waits for the next set: one frame of each lane, in the order of the names.
    template <typename Rep, typename Period>
    Result<std::vector<Frame>> next(std::chrono::duration<Rep, Period> timeout) const {
        std::vector<camlane_frame> raw(lanes_);
        const int result = camlane_synchronizer_next(handle_.get(), detail::milliseconds(timeout), raw.data(), raw.size());
        if (result < 0)
            return Failure(result);
        std::vector<Frame> frames;
        frames.reserve(lanes_);
        for (const camlane_frame &frame : raw)
            frames.push_back(Frame(frame));
        return Result<std::vector<Frame>>(std::move(frames));
    }

    // What became of the frames of lane `index`.
    Result<camlane_sync_totals> totals(std::size_t index) const {
        camlane_sync_totals totals{};
        const int result = camlane_synchronizer_totals(handle_.get(), index, &totals);
        if (result < 0)
            return Failure(result);
        return totals;
    }

    [[nodiscard]] camlane_synchronizer *get() const noexcept { return handle_.get(); }

private:
    Synchronizer(camlane_synchronizer *handle, std::size_t lanes) noexcept : handle_(handle), lanes_(lanes) {}
    detail::Handle<camlane_synchronizer, camlane_synchronizer_close> handle_;
    std::size_t lanes_;
};

// Copies frames out; needs no seat and trusts nobody. Not in the program of the lane's producer.
class Observer {
public:
    struct Copied {
        std::uint64_t number;
        Meta meta;
        std::vector<std::uint8_t> pixels;
    };

    static Result<Observer> open(const std::string &name) {
        camlane_observer *handle = nullptr;
        const int result = camlane_observer_open(name.c_str(), &handle);
        if (result < 0)
            return Failure(result);
        return Observer(handle);
    }

    // Waits until something may be new since the last look.
    template <typename Rep, typename Period>
    Done wait(std::chrono::duration<Rep, Period> timeout) const {
        return detail::done(camlane_observer_wait(handle_.get(), detail::milliseconds(timeout)));
    }

    // Why no frames come, if the producer says so.
    [[nodiscard]] std::optional<camlane_pause> pause() const noexcept {
        camlane_pause pause{};
        if (camlane_observer_pause(handle_.get(), &pause) != 1)
            return std::nullopt;
        return pause;
    }

    // Copies the newest frame out. A failure that timed_out(): there is none yet.
    Result<Copied> copy() const {
        camlane_observed seen{};
        int result = camlane_observer_peek(handle_.get(), &seen);
        Copied copied{};
        // A frame that grew between the look and the copy: once more with its size.
        for (int attempt = 0; result == 0 && attempt < 3; attempt++) {
            copied.pixels.resize(seen.meta.layout.bytes);
            result = camlane_observer_copy(handle_.get(), copied.pixels.data(), copied.pixels.size(), nullptr, 0, &seen);
            if (result == 0) {
                copied.number = seen.number;
                copied.meta = seen.meta;
                copied.pixels.resize(seen.meta.layout.bytes);
                return copied;
            }
            if (result == -EMSGSIZE && attempt < 2)
                result = camlane_observer_peek(handle_.get(), &seen);
        }
        return Failure(result);
    }

    [[nodiscard]] camlane_observer *get() const noexcept { return handle_.get(); }

private:
    explicit Observer(camlane_observer *handle) noexcept : handle_(handle) {}
    detail::Handle<camlane_observer, camlane_observer_close> handle_;
};

// The end of a byte stream that writes. Destroying it ends the stream.
class StreamWriter {
public:
    static Result<StreamWriter> create(const std::string &name, const camlane_stream_options &options = StreamOptions()) {
        camlane_stream_writer *handle = nullptr;
        const int result = camlane_stream_create(name.c_str(), &options, &handle);
        if (result < 0)
            return Failure(result);
        return StreamWriter(handle);
    }

    // Writes bytes, waiting for room; returns how many: all, unless the time was over before.
    template <typename Rep, typename Period>
    Result<std::size_t> write(Bytes bytes, std::chrono::duration<Rep, Period> timeout) const {
        std::size_t written = 0;
        const int result = camlane_stream_write(handle_.get(), bytes.data(), bytes.size(), detail::milliseconds(timeout), &written);
        if (result < 0)
            return Failure(result);
        return written;
    }

private:
    explicit StreamWriter(camlane_stream_writer *handle) noexcept : handle_(handle) {}
    detail::Handle<camlane_stream_writer, camlane_stream_end> handle_;
};

// The end of a byte stream that reads.
class StreamReader {
public:
    static Result<StreamReader> open(const std::string &name, const camlane_stream_options &options = StreamOptions()) {
        camlane_stream_reader *handle = nullptr;
        const int result = camlane_stream_open(name.c_str(), &options, &handle);
        if (result < 0)
            return Failure(result);
        return StreamReader(handle);
    }

    // Copies the oldest bytes out, waiting for the first; returns how many.
    template <typename Rep, typename Period>
    Result<std::size_t> read(MutableBytes into, std::chrono::duration<Rep, Period> timeout) const {
        std::size_t read = 0;
        const int result = camlane_stream_read(handle_.get(), into.data(), into.size(), detail::milliseconds(timeout), &read);
        if (result < 0)
            return Failure(result);
        return read;
    }

private:
    explicit StreamReader(camlane_stream_reader *handle) noexcept : handle_(handle) {}
    detail::Handle<camlane_stream_reader, camlane_stream_close> handle_;
};

// ---- Matrices ------------------------------------------------------------------------------------------------------

// What a matrix over one plane looks like. OpenCV's numbers for its types differ between its versions, so it is told in
// bits and channels: bits 8 or 16 are unsigned integers, 32 is IEEE 754.
struct MatShape {
    int rows = 0;
    int columns = 0;
    int bits = 0;
    int channels = 0;
    std::size_t offset = 0; // bytes from the frame's beginning
    std::size_t step = 0;   // bytes from row to row
};

// How plane `index` of a frame is a matrix; none if it has to be unpacked or decoded first (MIPI packing, JPEG), or if the
// layout contradicts itself, as a foreign producer's may.
inline std::optional<MatShape> mat_shape(const Layout &layout, std::size_t index = 0) noexcept {
    auto info = detail::sized<camlane_format_info>();
    if (camlane_format_describe(layout.format, &info) < 0 || camlane_layout_check(&layout, layout.bytes) < 0 ||
        index >= layout.plane_count)
        return std::nullopt;
    const char *type = info.opencv; // "8UC1,8UC2"
    for (std::size_t skip = index; skip > 0 && type != nullptr; skip--) {
        type = std::strchr(type, ',');
        type = type == nullptr ? nullptr : type + 1;
    }
    MatShape shape;
    if (type == nullptr || std::sscanf(type, "%d%*1[UF]C%d", &shape.bits, &shape.channels) != 2)
        return std::nullopt;
    const std::uint32_t across = index == 0 ? 1 : info.chroma_across;
    shape.rows = static_cast<int>(layout.planes[index].rows);
    shape.columns = static_cast<int>((layout.width + across - 1) / across);
    shape.offset = layout.planes[index].offset;
    shape.step = layout.planes[index].stride;
    return shape;
}

// The rows of all planes in one matrix of bytes, which cv::cvtColor wants for NV12, NV21, I420 and YV12: (3H/2) x W. None
// if chroma does not follow luma at once with a stride that fits: a wrong view is a green picture, not an error. Then copy
// it together, or use cv::cvtColorTwoPlane.
inline std::optional<MatShape> mat_shape_of_yuv420(const Layout &layout) noexcept {
    const camlane_plane *planes = layout.planes;
    const std::uint32_t luma = planes[0].stride;
    if (camlane_layout_check(&layout, layout.bytes) < 0 || layout.width % 2 != 0 || layout.height % 2 != 0)
        return std::nullopt;
    bool dense = planes[0].offset + planes[0].bytes == planes[1].offset;
    switch (layout.format) {
    case CAMLANE_NV12:
    case CAMLANE_NV21:
        dense = dense && planes[1].stride == luma;
        break;
    case CAMLANE_I420:
    case CAMLANE_YV12:
        dense = dense && luma == layout.width && planes[1].stride == luma / 2 && planes[2].stride == luma / 2 &&
                planes[1].offset + planes[1].bytes == planes[2].offset;
        break;
    default:
        dense = false;
    }
    if (!dense)
        return std::nullopt;
    MatShape shape;
    shape.rows = static_cast<int>(layout.height + layout.height / 2);
    shape.columns = static_cast<int>(layout.width);
    shape.bits = 8;
    shape.channels = 1;
    shape.offset = planes[0].offset;
    shape.step = luma;
    return shape;
}

#ifdef CV_VERSION
inline int cv_type(const MatShape &shape) noexcept {
    return CV_MAKETYPE(shape.bits == 8 ? CV_8U : shape.bits == 16 ? CV_16U : CV_32F, shape.channels);
}

// A matrix over a frame's pixels: no copy, and no ownership. The frame must outlive it and every matrix cut from it, and
// the pixels are mapped read-only: drawing on them is a segmentation fault. Empty where mat_shape says none.
inline cv::Mat mat(const Frame &frame, const std::optional<MatShape> &shape) {
    if (!shape)
        return {};
    auto *pixels = const_cast<std::uint8_t *>(frame.bytes().data()) + shape->offset;
    return cv::Mat(shape->rows, shape->columns, cv_type(*shape), pixels, shape->step);
}
inline cv::Mat mat(const Frame &frame, std::size_t plane = 0) { return mat(frame, mat_shape(frame.layout(), plane)); }

// A matrix over a slot to fill, which the loan must outlive. Let OpenCV write into it: `camera.retrieve(matrix)` keeps the
// memory only if size and type fit, so compare the data pointer afterwards.
inline cv::Mat mat(const Loan &loan, const Layout &layout, std::size_t plane = 0) {
    const auto shape = mat_shape(layout, plane);
    if (!shape || loan.plane(layout, plane).empty())
        return {};
    return cv::Mat(shape->rows, shape->columns, cv_type(*shape), loan.bytes().data() + shape->offset, shape->step);
}
#endif

} // namespace camlane

#endif

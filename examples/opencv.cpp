// OpenCV at both ends: publishes pictures of a camera, a video or an image file, and shows or saves what it reads.
//
//     c++ -std=c++17 opencv.cpp -o opencv $(pkg-config --cflags --libs camlane opencv4)
//     ./opencv publish front-door 0                  a camera; or a video, or an image, by its file
//     ./opencv read front-door picture.png           saves the newest frame; without a file it prints a line per frame
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/videoio.hpp>

#include <camlane.hpp> // after OpenCV: then there is camlane::mat

namespace {

// A matrix of BGR that owns its pixels, whatever the frame's format; empty if OpenCV cannot convert it.
cv::Mat to_bgr(const camlane::Frame &frame) {
    cv::Mat bgr;
    const cv::Mat plane = camlane::mat(frame);
    switch (frame.layout().format) {
    case CAMLANE_BGR8:
        return plane.clone();
    case CAMLANE_RGB8:
        cv::cvtColor(plane, bgr, cv::COLOR_RGB2BGR);
        break;
    case CAMLANE_GRAY8:
        cv::cvtColor(plane, bgr, cv::COLOR_GRAY2BGR);
        break;
    case CAMLANE_YUYV:
        cv::cvtColor(plane, bgr, cv::COLOR_YUV2BGR_YUYV);
        break;
    case CAMLANE_NV12: // two planes with strides of their own: no need that one follows the other
        cv::cvtColorTwoPlane(plane, camlane::mat(frame, 1), bgr, cv::COLOR_YUV2BGR_NV12);
        break;
    case CAMLANE_JPEG: {
        const camlane::Bytes file = frame.bytes();
        bgr = cv::imdecode(cv::Mat(1, static_cast<int>(file.size()), CV_8U, const_cast<std::uint8_t *>(file.data())),
                           cv::IMREAD_COLOR);
        break;
    }
    default:
        break;
    }
    return bgr;
}

int publish(const std::string &lane, const std::string &source) {
    const bool is_number = source.find_first_not_of("0123456789") == std::string::npos;
    cv::VideoCapture camera;
    cv::Mat picture = is_number ? cv::Mat() : cv::imread(source, cv::IMREAD_COLOR);
    const bool still = !picture.empty();
    if (!still && !(is_number ? camera.open(std::stoi(source)) : camera.open(source)))
        return std::fprintf(stderr, "%s: no camera, video or image\n", source.c_str()), 1;
    if (!still && !camera.read(picture))
        return std::fprintf(stderr, "%s: no frame\n", source.c_str()), 1;

    const auto layout = camlane::layout(CAMLANE_BGR8, static_cast<std::uint32_t>(picture.cols),
                                        static_cast<std::uint32_t>(picture.rows)).value();
    const auto producer = camlane::Producer::create(lane, camlane::LaneOptions(layout)).value();
    std::uint32_t sequence = 0;
    do {
        camlane::Loan loan = producer.loan().value();
        cv::Mat slot = camlane::mat(loan, layout);
        auto meta = camlane::meta(layout);
        // VideoCapture owns its buffers, so one copy is needed, and the frame says so.
        picture.copyTo(slot);
        if (slot.data != loan.bytes().data())
            return std::fprintf(stderr, "the picture's size or type changed\n"), 1;
        meta.flags = CAMLANE_FLAG_COPIED;
        meta.capture_ns = camlane_now_ns();
        meta.clock = CAMLANE_CLOCK_MONOTONIC;
        meta.reference = still ? CAMLANE_REFERENCE_SYNTHETIC : CAMLANE_REFERENCE_DEQUEUED;
        meta.source_sequence = sequence++;
        (void)producer.publish(std::move(loan), meta).value();
        if (still)
            std::this_thread::sleep_for(std::chrono::milliseconds(33));
    } while (still || camera.read(picture));
    return 0; // destroying the producer ends the stream
}

int read(const std::string &lane, const char *file) {
    camlane::ConsumerOptions options;
    options.patience_ms = 10000;
    const auto consumer = camlane::Consumer::open(lane, options).value();
    for (;;) {
        auto frame = consumer.next(std::chrono::milliseconds(500));
        if (!frame) {
            if (frame.failure().closed())
                return 0;
            if (!frame.failure().timed_out() && !frame.failure().producer_gone())
                return std::fprintf(stderr, "%s\n", frame.failure().message().c_str()), 1;
            continue;
        }
        const cv::Mat bgr = to_bgr(*frame);
        if (bgr.empty())
            return std::fprintf(stderr, "OpenCV cannot convert %s\n", camlane_format_name(frame->layout().format)), 1;
        const cv::Scalar mean = cv::mean(bgr);
        std::printf("frame %llu: %dx%d, mean B %.1f G %.1f R %.1f, missed %llu\n",
                    static_cast<unsigned long long>(frame->number()), bgr.cols, bgr.rows, mean[0], mean[1], mean[2],
                    static_cast<unsigned long long>(frame->missed()));
        if (file != nullptr)
            return cv::imwrite(file, bgr) ? 0 : 1;
    }
}

} // namespace

int main(int argc, char **argv) {
    try {
        if (argc == 4 && std::strcmp(argv[1], "publish") == 0)
            return publish(argv[2], argv[3]);
        if ((argc == 3 || argc == 4) && std::strcmp(argv[1], "read") == 0)
            return read(argv[2], argc == 4 ? argv[3] : nullptr);
    } catch (const std::exception &error) {
        return std::fprintf(stderr, "%s\n", error.what()), 1;
    }
    std::fprintf(stderr, "usage: opencv publish LANE CAMERA|FILE, or opencv read LANE [FILE]\n");
    return 2;
}

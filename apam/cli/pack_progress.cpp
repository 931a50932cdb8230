#include "apam/cli/pack_progress.h"

#include <fmt/format.h>

#include "apam/cli/terminal_progress.h"

namespace apam::cli {
namespace {

constexpr double kPackInterval = 10.0;  // seconds, not on a terminal

}  // namespace

std::string describe(const data::PackProgress& progress, double images_per_second) {
  if (progress.waiting) return fmt::format("{}: waiting for another process to pack {}", progress.name, progress.file.string());
  const double share = 100.0 * static_cast<double>(progress.done) / static_cast<double>(progress.total);
  return fmt::format("{}: {} of {} images packed ({:.0f} %), {:.0f} images/s", progress.name, progress.done, progress.total,
                     share, images_per_second);
}

PackProgressLine::~PackProgressLine() {
  if (open_) out_ << std::endl;
}

void PackProgressLine::show(const data::PackProgress& progress) {
  const auto now = Clock::now();
  const auto since = [&](Clock::time_point time) { return std::chrono::duration<double>(now - time).count(); };
  if (!begin_) {
    begin_ = now;
    done_at_begin_ = progress.done;
  }
  const bool complete = progress.done == progress.total;
  const double interval = columns_ > 0 ? kTerminalInterval : kPackInterval;
  if (shown_ && !complete && since(*shown_) < interval) return;
  const bool begins = !shown_ && !progress.waiting && columns_ == 0;
  shown_ = now;
  if (begins) {
    out_ << fmt::format("{}: packing into {}", progress.name, progress.file.string()) << std::endl;
    if (!complete) return;
  }
  const double seconds = since(*begin_);
  const double rate = seconds > 0 ? static_cast<double>(progress.done - done_at_begin_) / seconds : 0;
  const std::string text = describe(progress, rate);
  if (columns_ > 0) {
    out_ << kRedrawLine << text.substr(0, static_cast<std::size_t>(columns_ - 1)) << std::flush;
    open_ = true;
  } else {
    out_ << text << std::endl;
  }
}

}  // namespace apam::cli

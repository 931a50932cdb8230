#include "apam/cli/terminal_progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <string_view>

namespace apam::cli {
namespace {

constexpr double kTerminalInterval = 0.2, kPlainInterval = 30.0;  // seconds
constexpr int kDefaultColumns = 80;
constexpr const char* kRenew = "\r\x1b[K";

}  // namespace

std::string describe_duration(double seconds) {
  const auto total = static_cast<std::int64_t>(std::llround(std::max(0.0, seconds)));
  if (total < 60) return fmt::format("{}s", total);
  if (total < 3600) return fmt::format("{}m{:02}s", total / 60, total % 60);
  return fmt::format("{}h{:02}m", total / 3600, total / 60 % 60);
}

std::string describe(const Status& status) {
  std::string line = fmt::format("epoch {:.2f}/{:.4g}  update {}/{}  {:.1f} images/s  loss {:.4f}", status.epoch, status.epochs,
                                 status.update, status.updates, status.images_per_second, status.loss);
  if (status.test_accuracy) line += fmt::format("  test {:.1f} %", 100 * *status.test_accuracy);
  if (status.concurrent) line += fmt::format("  staleness {:.1f} (max {})", status.staleness_mean, status.staleness_max);
  if (status.seconds_left) line += fmt::format("  ETA {}", describe_duration(*status.seconds_left));
  return line;
}

bool takes_escape_codes(const char* term, const char* no_color) {
  const bool plain = no_color != nullptr && *no_color != '\0';
  const bool known = term != nullptr && *term != '\0' && std::string_view(term) != "dumb";
  return known && !plain;
}

int terminal_columns(int descriptor) {
  if (::isatty(descriptor) == 0 || !takes_escape_codes(std::getenv("TERM"), std::getenv("NO_COLOR"))) return 0;
  winsize size{};
  const bool known = ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  return known ? size.ws_col : kDefaultColumns;
}

bool Progress::due(double seconds) const { return seconds - shown_at_ >= (columns_ > 0 ? kTerminalInterval : kPlainInterval); }

void Progress::show(const Status& status) {
  shown_at_ = status.seconds;
  if (columns_ > 0) {
    // A line that wraps could not be renewed.
    out_ << kRenew << describe(status).substr(0, static_cast<std::size_t>(columns_ - 1)) << std::flush;
    open_ = true;
  } else {
    out_ << describe(status) << std::endl;
  }
}

void Progress::note(const std::string& text) {
  if (open_) out_ << kRenew;
  open_ = false;
  out_ << text << std::endl;
}

void Progress::close() {
  if (open_) out_ << std::endl;
  open_ = false;
}

}  // namespace apam::cli

#include "apam/cli/terminal_progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace apam::cli {
namespace {

constexpr double kProgressInterval = 30.0;  // seconds, not on a terminal
constexpr int kDefaultColumns = 80;

}  // namespace

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

bool TerminalProgress::due(double seconds) const {
  return seconds - shown_at_ >= (columns_ > 0 ? kTerminalInterval : kProgressInterval);
}

void TerminalProgress::show(const training::Status& status) {
  shown_at_ = status.seconds;
  if (columns_ > 0) {
    // A line that wraps cannot be redrawn in place.
    out_ << kRedrawLine << describe(status).substr(0, static_cast<std::size_t>(columns_ - 1)) << std::flush;
    open_ = true;
  } else {
    out_ << describe(status) << std::endl;
  }
}

void TerminalProgress::note(const std::string& text) {
  if (open_) out_ << kRedrawLine;
  open_ = false;
  out_ << text << std::endl;
}

void TerminalProgress::close() {
  if (open_) out_ << std::endl;
  open_ = false;
}

}  // namespace apam::cli

// Progress on a terminal: one line, redrawn in place. Elsewhere: a plain line every half minute.
#pragma once

#include <ostream>
#include <string>

#include "apam/training/progress.h"

namespace apam::cli {

inline constexpr double kTerminalInterval = 0.2;        ///< seconds between two states of a line on a terminal
inline constexpr const char* kRedrawLine = "\r\x1b[K";  ///< to its beginning, and erase it

/// Whether a terminal accepts escape codes, by the variables TERM and NO_COLOR (null: not set). Not if it is unknown or dumb,
/// or if the user opted out (https://no-color.org).
bool takes_escape_codes(const char* term, const char* no_color);

/// Width of the terminal at this file descriptor; 0 if it is not a terminal or accepts no escape codes.
int terminal_columns(int descriptor);

class TerminalProgress final : public training::Progress {
 public:
  /// `columns`: width of the terminal that `out` writes to; 0: not a terminal. A terminal must support carriage return and
  /// "erase to the end of the line".
  TerminalProgress(std::ostream& out, int columns) : out_(out), columns_(columns) {}
  ~TerminalProgress() override { TerminalProgress::close(); }
  TerminalProgress(const TerminalProgress&) = delete;
  TerminalProgress& operator=(const TerminalProgress&) = delete;

  /// 0.2 s (terminal) or 30 s after the last line.
  bool due(double seconds) const override;
  void show(const training::Status& status) override;
  void note(const std::string& text) override;
  void close() override;

 private:
  std::ostream& out_;
  int columns_;
  bool open_ = false;  // the cursor is at the end of a line that may be redrawn
  double shown_at_ = 0;
};

}  // namespace apam::cli

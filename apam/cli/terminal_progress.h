// Tells a person how a run is doing: on a terminal one line that renews itself, elsewhere a plain line every half minute.
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>

namespace apam::cli {

/// Where a run stands.
struct Status {
  double epoch = 0, epochs = 0;  ///< done, and in all
  std::int64_t update = 0, updates = 0;
  double seconds = 0;  ///< since the run began
  std::optional<double> seconds_left{};
  double images_per_second = 0;  ///< lately
  double loss = 0;               ///< mean, lately
  std::optional<double> test_accuracy{};
  double staleness_mean = 0;  ///< updates, lately
  std::int64_t staleness_max = 0;
  bool concurrent = false;  ///< several workers: staleness is worth a place
};

/// "epoch 1.24/2  update 31/50  47.3 images/s  loss 1.842  test 41.2 %  staleness 1.0 (max 2)  ETA 1m12s"
std::string describe(const Status& status);

/// "7s", "1m12s", "2h05m".
std::string describe_duration(double seconds);

/// Whether a terminal may be sent escape codes, by the variables TERM and NO_COLOR (null: not set): not to one that is
/// unknown or dumb, nor against the wish of the user, as https://no-color.org tells it.
bool takes_escape_codes(const char* term, const char* no_color);

/// The width of the terminal at this file descriptor; 0 when it is none, or one that takes no escape codes.
int terminal_columns(int descriptor);

class Progress {
 public:
  /// `columns`: the width of the terminal that `out` is, which understands carriage return and "erase to the end of the
  /// line"; 0: it is no terminal.
  Progress(std::ostream& out, int columns) : out_(out), columns_(columns) {}
  ~Progress() { close(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Whether a new line is due at `seconds` since the beginning: 0.2 s (terminal) or 30 s after the last one.
  bool due(double seconds) const;
  void show(const Status& status);

  /// Writes a line of its own, without disturbing the one that renews itself.
  void note(const std::string& text);

  /// Leaves the last line standing.
  void close();

 private:
  std::ostream& out_;
  int columns_;
  bool open_ = false;  // the cursor stands behind a line that renews itself
  double shown_at_ = 0;
};

}  // namespace apam::cli

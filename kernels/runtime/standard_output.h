// Standard output with error reporting. std::cout itself loses the errno of a failed write.
#pragma once

#include <array>
#include <streambuf>

namespace apam {

/// While it exists, std::cout writes to file descriptor 1 through it. A closed pipe is an error like a full disk: SIGPIPE is
/// ignored, so that training continues.
class StandardOutput : private std::streambuf {
 public:
  /// Opens closed descriptors among 0 to 2 on /dev/null, in a mode that makes their normal use fail. Otherwise a file that the
  /// program opens could get such a number and receive printed text.
  StandardOutput();
  ~StandardOutput() override;
  StandardOutput(const StandardOutput&) = delete;
  StandardOutput& operator=(const StandardOutput&) = delete;

  /// Flushes. Throws InputError if this or an earlier write failed.
  void close();

 private:
  int_type overflow(int_type letter) override;
  int sync() override;

  std::streambuf* before_;
  std::array<char, 4096> buffer_{};
  int reason_ = 0;  // errno of the first failure
};

}  // namespace apam

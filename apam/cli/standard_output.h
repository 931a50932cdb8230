// Standard output that tells when it could not be written: std::cout by itself forgets the reason, and a program that ends
// with 0 then has lied.
#pragma once

#include <array>
#include <streambuf>

namespace apam::cli {

/// While it lives, std::cout writes to file descriptor 1 through it. A pipe without a reader is an error like a full disk:
/// SIGPIPE is ignored, so that training goes on when the reader of its output has gone.
class StandardOutput : private std::streambuf {
 public:
  /// Descriptors 0 to 2 that are closed are opened without the right to what they are for: a file of ours that got such a
  /// number would receive what is printed.
  StandardOutput();
  ~StandardOutput() override;
  StandardOutput(const StandardOutput&) = delete;
  StandardOutput& operator=(const StandardOutput&) = delete;

  /// Writes what is left. Throws InputError when that, or anything before, could not be written.
  void close();

 private:
  int_type overflow(int_type letter) override;
  int sync() override;

  std::streambuf* before_;
  std::array<char, 4096> buffer_{};
  int reason_ = 0;  // errno of the first failure
};

}  // namespace apam::cli

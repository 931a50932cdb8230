// What the emulator finds wrong in a kernel, and how it is asked to run it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace apam::kernels::cuda::emulator {

/// The place in a kernel that called a device function; named in every finding. (clang 14 has no std::source_location.)
class Site {
 public:
  /// The caller's place; as a default argument, the place of the call.
  static constexpr Site current(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }

  constexpr Site() = default;
  const char* file_name() const { return file_; }
  int line() const { return line_; }

 private:
  constexpr Site(const char* file, int line) : file_(file), line_(line) {}

  const char* file_ = "";
  int line_ = 0;
};
std::string name_of(const Site& site);  ///< "conv2d.cu:57"

/// In which order the threads of a block run, between the points where they wait. A kernel must be right in all of them.
enum class Schedule : std::uint8_t {
  in_turn,  ///< first in, first out
  hasty,    ///< the thread that was released last runs first, until it waits
  random    ///< drawn, and so are the blocks
};

struct Settings {
  Schedule schedule = Schedule::in_turn;
  std::uint32_t seed = 1;   ///< of Schedule::random
  bool check_races = true;  ///< false: only results are checked, in about half the time
};

/// Accesses of warps to shared memory at one place: cycles are those of the banks, 4 bytes wide and 32 in number.
struct BankUse {
  std::int64_t accesses = 0;
  std::int64_t cycles = 0;
  std::int64_t least_cycles = 0;  ///< without conflicts
};

struct Report {
  std::map<std::string, std::int64_t> findings;  ///< what is wrong -> how often it was seen
  std::map<std::string, BankUse> banks;          ///< by place; of ldmatrix

  bool clean() const { return findings.empty(); }
  bool mentions(std::string_view text) const;
  std::string text() const;
};

}  // namespace apam::kernels::cuda::emulator

// What main() of every benchmark does: numbers of the command line, errors in one line, standard output.
//   0  success     1  failure, or standard output could not be written     2  invalid command line
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <exception>
#include <iostream>
#include <string>
#include <system_error>

#include "kernels/runtime/error.h"
#include "kernels/runtime/standard_output.h"

namespace apam::bench {

/// The command line contradicts itself.
class Mistake : public Error {
 public:
  using Error::Error;
};

/// Accepts numbers from `least` to `most`; NaN is none.
inline CLI::Validator number(double least, double most) {
  return {[least, most](std::string& text) {
            double value = 0;
            const char* end = text.data() + text.size();
            const auto [stop, error] = std::from_chars(text.data(), end, value);
            const bool good = error == std::errc{} && stop == end && value >= least && value <= most;
            return good ? std::string() : fmt::format("expected a number from {} to {}, got '{}'", least, most, text);
          },
          ""};
}

/// One line; the first of `message`.
inline void report(const CLI::App& app, const std::string& message) {
  std::cerr << fmt::format("{}: {}", app.get_name(), message.substr(0, message.find('\n'))) << std::endl;
}

/// Parses the command line and returns the exit code of `run`. `reports`: whether this process reports a mistake; with several
/// ranks one does.
template <class Run>
int run_program(CLI::App& app, int argc, const char* const* argv, Run&& run, bool reports = true) {
  StandardOutput output;
  int code = 0;
  try {
    app.parse(argc, argv);
    code = run();
  } catch (const CLI::Success& requested) {  // --help
    if (reports) app.exit(requested);
  } catch (const CLI::ParseError& error) {
    if (reports) report(app, error.what());
    code = 2;
  } catch (const Mistake& error) {
    if (reports) report(app, error.what());
    code = 2;
  } catch (const std::exception& error) {
    report(app, error.what());
    code = 1;
  }
  try {
    output.close();
  } catch (const std::exception& error) {
    report(app, error.what());
    return code == 0 ? 1 : code;
  }
  return code;
}

}  // namespace apam::bench

// One description per command-line option. Three things follow from it: parsing and help (apam/cli/options.h), the values in
// config.json (run_config.h), and the options that all ranks must agree on (agreement.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "apam/training/options.h"

namespace apam::training {

/// The member that an option sets. An empty optional: the option was not given.
using Field = std::variant<bool*, int*, std::int64_t*, std::uint64_t*, double*, std::string*, std::optional<int>*,
                           std::optional<std::int64_t>*, std::optional<double>*, std::optional<std::string>*>;

struct Option {
  std::string name;  ///< "--train-images"
  Field field;
  std::string group;                   ///< heading in the help
  std::string unit{};                  ///< placeholder of the value in the help; unused if there are choices
  std::string help{};                  ///< one sentence
  std::string otherwise{};             ///< effect of leaving the option out; empty: the field's default, which the help shows
  std::vector<std::string> choices{};  ///< allowed values; empty: any
  std::int64_t least = 0;              ///< of an integer
  std::optional<std::int64_t> most{};  ///< of an integer; nothing: the type's limit
  bool required = false;               ///< the command fails without it
  bool may_be_empty = false;           ///< of text
  std::string needs{};                 ///< another option that must be given too
  bool same_on_all_ranks = false;      ///< a training whose ranks differ in it is refused

  /// Its key in config.json: "train_images".
  std::string key() const;
};

/// All options of a command, in the order of the help. The fields point into `options`, which must outlive the list.
std::vector<Option> describe(TrainOptions& options);
std::vector<Option> describe(EvalOptions& options);
std::vector<Option> describe(ReplayOptions& options);
std::vector<Option> describe(GradientsOptions& options);
std::vector<Option> describe(InfoOptions& options);
std::vector<Option> describe(DataPackOptions& options);
std::vector<Option> describe(DataCheckOptions& options);
std::vector<Option> describe(DataExportOptions& options);

}  // namespace apam::training

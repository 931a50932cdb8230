#include "apam/cli/options.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <variant>

namespace apam::cli {
namespace {

using training::Option;

template <class T>
struct Value {
  using type = T;
};
template <class T>
struct Value<std::optional<T>> {
  using type = T;
};

/// Accepts whole numbers from `least` to `most`.
template <class N>
CLI::Validator whole_number(N least, N most) {
  return {[least, most](std::string& text) {
            N value = 0;
            const char* end = text.data() + text.size();
            const auto [stop, error] = std::from_chars(text.data(), end, value);
            if (stop != end || error == std::errc::invalid_argument) {
              return fmt::format("expected a whole number from {} on, got '{}'", least, text);
            }
            if (error != std::errc{} || value > most) return fmt::format("{} is too large, expected at most {}", text, most);
            return value >= least ? std::string() : fmt::format("{} is too small, expected at least {}", text, least);
          },
          ""};
}

CLI::Validator finite_number() {
  return {[](std::string& text) {
            double value = 0;
            const bool good = CLI::detail::lexical_cast(text, value) && std::isfinite(value);
            return good ? std::string() : fmt::format("expected a finite number, got '{}'", text);
          },
          ""};
}

CLI::Validator one_of(const std::vector<std::string>& choices) {
  return {[choices](std::string& text) {
            const bool known = std::find(choices.begin(), choices.end(), text) != choices.end();
            return known ? std::string() : fmt::format("expected one of {}, got '{}'", fmt::join(choices, ", "), text);
          },
          ""};
}

CLI::Validator not_empty() {
  return {[](std::string& text) {
            return text.empty() ? std::string("the name is empty; is a shell variable not set?") : std::string();
          },
          ""};
}

template <class V>
void add_checks(CLI::Option& added, const Option& option) {
  if constexpr (std::is_same_v<V, std::string>) {
    if (!option.choices.empty()) {
      added.check(one_of(option.choices));
    } else if (!option.may_be_empty) {
      added.check(not_empty());
    }
  } else if constexpr (std::is_same_v<V, double>) {
    added.check(finite_number());
  } else {
    const V most = option.most ? static_cast<V>(*option.most) : std::numeric_limits<V>::max();
    added.check(whole_number(static_cast<V>(option.least), most));
  }
}

template <class F>
CLI::Option* add_field(CLI::App& app, const Option& option, const std::string& help, F& field) {
  if constexpr (std::is_same_v<F, bool>) {
    return app.add_flag(option.name, field, help);
  } else {
    CLI::Option* added = app.add_option(option.name, field, help);
    added->type_name(option.choices.empty() ? option.unit : fmt::format("{}", fmt::join(option.choices, "|")));
    if (!option.required && option.otherwise.empty()) added->capture_default_str();
    add_checks<typename Value<F>::type>(*added, option);
    return added;
  }
}

}  // namespace

void add_options(CLI::App& app, const std::vector<Option>& options) {
  for (const Option& option : options) {
    const std::string help = option.otherwise.empty() ? option.help : fmt::format("{} [{}]", option.help, option.otherwise);
    const auto add = [&](auto* field) { return add_field(app, option, help, *field); };
    CLI::Option* added = std::visit(add, option.field);
    added->group(option.group)->required(option.required);
    if (!option.needs.empty()) added->needs(app.get_option(option.needs));
  }
}

std::string describe_mistake(const CLI::App& program, const CLI::ParseError& error) {
  const std::string text = error.what();
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {  // its text has them in reverse order
    const auto extras = program.remaining(true);
    return fmt::format("The following argument{} not expected: {}", extras.size() == 1 ? " was" : "s were",
                       fmt::join(extras, " "));
  }
  constexpr std::string_view kRepeated = ": At Most 1 required but received ";
  if (const auto at = text.find(kRepeated); at != std::string::npos) {
    const std::string times = text.substr(at + kRepeated.size());
    return fmt::format("{} is given {}", text.substr(0, at), times == "2" ? "twice" : times + " times");
  }
  return text;
}

}  // namespace apam::cli

// The order of events as text, and options read back from config.json.
#include "apam/training/recorded_run.h"

#include <gtest/gtest.h>

#include <set>
#include <type_traits>
#include <variant>

#include "apam/training/event_order.h"
#include "apam/training/option_list.h"
#include "apam/training/run_config.h"
#include "apam/training/version.h"
#include "kernels/providers.h"
#include "tests/support/throws.h"

namespace apam::training {
namespace {

using exchange::RecordedCall;
using Kind = exchange::RecordedEvent::Kind;

TEST(EventOrder, LinesComeBack) {
  const std::vector<std::pair<RecordedCall, std::string>> calls{
      {{{Kind::start, 4}}, R"([{"workers":4}])"},
      {{{Kind::gradient, 2}, {Kind::gradient, 0}}, "[2,0]"},
      {{{Kind::cancelled, 3}, {Kind::gradient, 1}}, R"([{"cancelled":3},1])"},
      {{{Kind::cancelled, 3, 15}}, R"([{"cancelled":3,"signal":15}])"},
      {{{Kind::gradient, 1, 15}}, R"([{"gradient":1,"signal":15}])"},
      {{{Kind::departed, 2}, {Kind::stop, 15}}, R"([{"departed":2},{"stop":15}])"},
      {{}, "[]"}};
  for (const auto& [call, line] : calls) {
    EXPECT_EQ(order_line(call), line);
    EXPECT_EQ(parse_order_line(line, "here"), call) << line;
  }
}

TEST(EventOrder, OtherLinesAreRefused) {
  for (const char* line : {"", "[", "2", R"([{"left":2}])", "[[0]]", "[0.5]", R"(["0"])", R"([{"workers":"4"}])",
                           R"([{"gradient":1,"signal":"9"}])"}) {
    EXPECT_TRUE(support::throws<InputError>({"order.jsonl: line 3: "}, [&] { parse_order_line(line, "order.jsonl: line 3"); }))
        << line;
  }
}

/// Another value than the one there.
struct Change {
  void operator()(bool* value) const { *value = !*value; }
  void operator()(int* value) const { *value += 3; }
  void operator()(std::int64_t* value) const { *value += 4; }
  void operator()(std::uint64_t* value) const { *value = ~std::uint64_t{0} - 5; }
  void operator()(double* value) const { *value = *value / 3 + 0.1; }
  void operator()(std::string* value) const { *value += "x"; }
  template <class T>
  void operator()(std::optional<T>* value) const {
    T inner = value->value_or(T());
    (*this)(&inner);
    *value = inner;
  }
};

TEST(RecordedRun, OptionsComeBack) {
  TrainOptions changed;
  for (const Option& option : describe(changed)) std::visit(Change(), option.field);
  const Json config = describe_options(changed);
  // Of the process that ran, not of the one that replays.
  const std::set<std::string> free{"transport", "kernel_cache", "out", "overwrite", "resume", "trace"};
  for (const auto& [given, empty] : {std::pair(config, false), {describe_options({}), true}}) {
    const Json read = describe_options(options_of_run(given, "config.json"));
    EXPECT_EQ(read.size(), given.size());
    for (const auto& [key, value] : given.items()) {
      if (!free.contains(key)) {
        EXPECT_EQ(read.at(key), value) << key;
      }
      EXPECT_TRUE(empty || value != describe_options({}).at(key)) << key << " was changed";
    }
  }
}

TEST(RecordedRun, DifferencesAreThoseThatMayChangeBits) {
  const std::string here(kernels::cpu::instruction_set());
  RecordedRun run{.folder = {}, .config = {}, .summary = {}, .options = {}, .calls = {}, .losses = {}};
  run.config = {{"commit", kCommit},
                {"compiler", kCompiler},
                {"onednn", kOneDnnVersion.empty() ? Json() : Json(kOneDnnVersion)},
                {"cudnn", nullptr},
                {"instruction_set_by_rank", {here, here, here}}};
  EXPECT_EQ(run.differences(), std::vector<std::string>());
  run.config["instruction_set_by_rank"][1] = "another";
  run.config["compiler"] = "cc 1";
  EXPECT_EQ(run.differences(),
            (std::vector<std::string>{fmt::format("compiler: the run had cc 1, this program has {}", kCompiler),
                                      "instruction_set_by_rank, rank 1: the run had another, this program has " + here}));
}

TEST(RecordedRun, TheDeviceIsTheKind) {
  EXPECT_EQ(options_of_run(Json{{"device", "cuda:3"}}, "").machine.device, "cuda");
  EXPECT_EQ(options_of_run(Json{{"device", "cpu"}}, "").machine.device, "cpu");
}

TEST(RecordedRun, OptionsOfAnotherTypeAreRefused) {
  for (const auto& [key, value] :
       {std::pair("batch", Json("many")), {"lr", Json()}, {"net", Json(3)}, {"seed", Json::array()}}) {
    EXPECT_TRUE(support::throws<InputError>({"a/config.json: ", key}, [&, &k = key, &v = value] {
      options_of_run(Json{{k, v}}, "a/config.json");
    })) << key;
  }
}

}  // namespace
}  // namespace apam::training

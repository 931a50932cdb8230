#include "apam/cli/common_steps.h"

#include <charconv>
#include <exception>
#include <iostream>
#include <utility>

#include "apam/cli/failure.h"
#include "apam/cli/run_control.h"
#include "apam/exchange/mpi/all_gather_strings.h"
#include "apam/training/usage_error.h"

namespace apam::cli {

using exchange::mpi::all_gather_strings;
using exchange::mpi::Environment;

std::vector<CodeText> share(const Environment& environment, const CodeText& mine) {
  std::vector<CodeText> all;
  for (const std::string& line : all_gather_strings(environment, fmt::format("{} {}", mine.code, mine.text))) {
    CodeText theirs{.code = 1, .text = line.substr(line.find(' ') + 1)};
    std::from_chars(line.data(), line.data() + line.size(), theirs.code);
    all.push_back(std::move(theirs));
  }
  return all;
}

int first_mistake(const Environment& environment, std::span<const CodeText> answers) {
  for (std::size_t r = 0; r < answers.size(); ++r) {
    if (answers[r].code == 0) continue;
    const std::string where = r == 0 ? "" : fmt::format("rank {}: ", r);
    if (environment.rank() == 0) std::cerr << "apam: " << where << answers[r].text << std::endl;
    return answers[r].code;
  }
  return 0;
}

int agree(const Environment& environment, const Interruption& interruption, const std::function<void()>& step) {
  CodeText mine;
  try {
    check_interruption(interruption);
    step();
  } catch (const training::UsageError& error) {
    mine = {2, error.what()};
  } catch (const Interrupted& interrupted) {
    mine = {128 + interrupted.signal(), interrupted.what()};
  } catch (const std::exception& error) {
    mine = {1, describe_failure(error, "train")};
  }
  return first_mistake(environment, share(environment, mine));
}

int compare(const Environment& environment, const training::Fields& fields) {
  const auto answers = share(environment, {0, training::to_text(fields)});
  if (const int status = first_mistake(environment, answers); status != 0) return status;
  std::vector<std::string> texts;
  texts.reserve(answers.size());
  for (const CodeText& answer : answers) texts.push_back(answer.text);
  const auto difference = training::first_disagreement(texts);
  if (!difference) return 0;
  if (environment.rank() == 0) std::cerr << "apam: " << *difference << std::endl;
  return 2;
}

}  // namespace apam::cli

// Steps of the set-up that all ranks take together: each is done by all, or the first mistake is reported once.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "apam/cli/interruption.h"
#include "apam/exchange/mpi/environment.h"
#include "apam/training/agreement.h"

namespace apam::cli {

/// An exit code and a text, for transfer between ranks.
struct CodeText {
  int code = 0;
  std::string text;
};

/// Those of all ranks, by rank. Collective.
std::vector<CodeText> share(const exchange::mpi::Environment& environment, const CodeText& mine);

/// Prints the first mistake, once. Returns its exit code on all ranks; 0 if there is none.
int first_mistake(const exchange::mpi::Environment& environment, std::span<const CodeText> answers);

/// Runs a step of the set-up on all ranks. Prints the first mistake once. Returns its exit code on all ranks, or 0. Collective.
int agree(const exchange::mpi::Environment& environment, const Interruption& interruption, const std::function<void()>& step);

/// Compares the fields of all ranks. Prints the first difference once; all ranks then return 2. Collective.
int compare(const exchange::mpi::Environment& environment, const training::Fields& fields);

}  // namespace apam::cli

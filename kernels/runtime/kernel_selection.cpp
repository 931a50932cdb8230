#include <algorithm>

#include "kernels/runtime/exec.h"

namespace apam {
namespace {

/// "ours" was the name of the provider "native".
std::string_view current_name(std::string_view provider) { return provider == "ours" ? "native" : provider; }

}  // namespace

KernelSelection KernelSelection::parse(std::string_view text) {
  KernelSelection selection;
  selection.text_.clear();
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view part = text.substr(begin, end - begin);
    const std::size_t equals = part.find('=');
    const std::string_view key = equals == part.npos ? std::string_view("*") : part.substr(0, equals);
    const std::string_view provider = current_name(equals == part.npos ? part : part.substr(equals + 1));
    require<InputError>(!key.empty() && !provider.empty() && provider.find('=') == provider.npos,
                        "kernels: expected PROVIDER or OP=PROVIDER[,...], got '{}' in '{}'", part, text);
    const bool added = selection.entries_.emplace(key, provider).second;
    require<InputError>(added, "kernels: '{}' is named twice in '{}'", key, text);
    selection.text_ +=
        fmt::format("{}{}{}", begin == 0 ? "" : ",", equals == part.npos ? "" : part.substr(0, equals + 1), provider);
    begin = end + 1;
  }
  return selection;
}

KernelSelection::Choice KernelSelection::choice(std::string_view op, std::string_view pass) const {
  if (const auto exact = entries_.find(fmt::format("{}.{}", op, pass)); exact != entries_.end()) {
    return {exact->second, exact->second != "auto"};
  }
  if (const auto named = entries_.find(op); named != entries_.end()) return {named->second, named->second != "auto"};
  if (const auto any = entries_.find("*"); any != entries_.end()) return {any->second, false};
  return {};
}

}  // namespace apam

#include "kernels/runtime/kernel_decisions.h"

#include <algorithm>
#include <cmath>

#include "kernels/runtime/decision_json.h"
#include "kernels/runtime/error.h"

namespace apam {
namespace {

using Json = nlohmann::json;

/// A member that is a finite number >= 0.
std::optional<double> amount(const Json& json, const std::string& name) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_number()) return {};
  const auto value = found->get<double>();
  if (!std::isfinite(value) || value < 0) return {};
  return value;
}

}  // namespace

std::string DecisionKey::to_text() const {
  return fmt::format("{} | {} | {} | {} | {} threads", op, problem, pass, to_string(device), threads);
}

nlohmann::json to_json(const KernelDecision& decision) {
  const Measurement& measured = decision.measured;
  Json json{{"provider", decision.provider}, {"milliseconds", Json::object()}, {"spread", Json::object()},
            {"load", measured.load},         {"date", measured.date},          {"doubtful", measured.doubtful}};
  if (!decision.plan.empty()) json["plan"] = decision.plan;
  for (const ProviderTime& time : measured.times) {
    json["milliseconds"][time.provider] = time.milliseconds;
    json["spread"][time.provider] = time.spread;
  }
  return json;
}

std::optional<KernelDecision> decision_from_json(const nlohmann::json& json) {
  if (!json.is_object()) return {};
  const auto is = [&](const char* name, auto type) { return json.contains(name) && (json[name].*type)(); };
  const auto load = amount(json, "load");
  if (!is("provider", &Json::is_string) || !is("milliseconds", &Json::is_object) || !is("spread", &Json::is_object) ||
      !is("date", &Json::is_string) || !is("doubtful", &Json::is_boolean) || !load) {
    return {};
  }
  if (json.contains("plan") && !json["plan"].is_string()) return {};
  KernelDecision decision{json["provider"], {{}, *load, json["date"], json["doubtful"]}, json.value("plan", "")};
  for (const auto& [provider, ignored] : json["milliseconds"].items()) {
    const auto milliseconds = amount(json["milliseconds"], provider), spread = amount(json["spread"], provider);
    if (!milliseconds || *milliseconds == 0 || !spread) return {};
    decision.measured.times.push_back({provider, *milliseconds, *spread});
  }
  const auto& times = decision.measured.times;
  const bool among = std::any_of(times.begin(), times.end(), [&](const auto& t) { return t.provider == decision.provider; });
  if (!times.empty() && !among) return {};
  return decision;
}

void KernelDecisions::merge(const KernelDecisions& other) {
  for (const auto& [key, decision] : other.decisions_) decisions_[key] = decision;
}

const KernelDecision* KernelDecisions::find(const std::string& key) const {
  const auto found = decisions_.find(key);
  return found == decisions_.end() ? nullptr : &found->second;
}

std::string KernelDecisions::to_text() const {
  Json json = Json::object();
  for (const auto& [key, decision] : decisions_) json[key] = to_json(decision);
  return json.dump();
}

KernelDecisions KernelDecisions::from_text(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  require<InputError>(json.is_object(), "kernel decisions: expected a JSON object, got {} bytes of other text", text.size());
  KernelDecisions decisions;
  for (const auto& [key, value] : json.items()) {
    auto decision = decision_from_json(value);
    require<InputError>(decision.has_value(), "kernel decisions: expected provider and timings for '{}', got {}", key,
                        value.dump());
    decisions.decisions_.emplace(key, *std::move(decision));
  }
  return decisions;
}

}  // namespace apam

#include "bench/profile.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/median.h"

namespace apam::bench {
namespace {

bool longer(const nlohmann::ordered_json& a, const nlohmann::ordered_json& b) {
  return a["milliseconds"].get<double>() > b["milliseconds"].get<double>();
}

}  // namespace

Profile::Profile(Exec& exec) : exec_(exec) {
  exec_.tell_requests([this](const KernelRequest& request) {
    close_interval();
    running_ = {std::string(request.op), std::string(request.pass), request.problem()};
    ++entries_[running_].calls;
    since_ = std::chrono::steady_clock::now();
  });
}

Profile::~Profile() { exec_.tell_requests({}); }

void Profile::close_interval() {
  exec_.synchronize();
  const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - since_;
  auto& milliseconds = entries_[running_].milliseconds;
  milliseconds.resize(static_cast<std::size_t>(steps_));
  milliseconds.back() += elapsed.count();
}

void Profile::begin_step() {
  ++steps_;
  for (auto& entry : entries_) entry.second.calls = 0;
  running_ = {"other", "", ""};
  since_ = std::chrono::steady_clock::now();
}

void Profile::end_step() { close_interval(); }

nlohmann::ordered_json Profile::breakdown() const {
  using Json = nlohmann::ordered_json;
  std::map<std::pair<std::string, std::string>, Json> groups;
  double total = 0;
  for (const auto& [key, entry] : entries_) {
    const auto& [op, pass, problem] = key;
    const double milliseconds = kernels::median(entry.milliseconds);
    total += milliseconds;
    Json& group = groups[{op, pass}];
    if (group.is_null()) {
      group = {{"op", op}, {"pass", pass}, {"milliseconds", 0.0}, {"share", 0.0}, {"calls", 0}, {"problems", Json::array()}};
    }
    group["milliseconds"] = group["milliseconds"].get<double>() + milliseconds;
    group["calls"] = group["calls"].get<int>() + entry.calls;
    const auto report = std::find_if(exec_.report().begin(), exec_.report().end(),
                                     [&, &key_op = op, &key_pass = pass, &key_problem = problem](const auto& line) {
                                       return line.op == key_op && line.pass == key_pass && line.problem == key_problem;
                                     });
    if (report == exec_.report().end()) continue;
    group["problems"].push_back(
        {{"problem", problem}, {"provider", report->provider}, {"calls", entry.calls}, {"milliseconds", milliseconds}});
  }
  Json list = Json::array();
  for (auto& [key, group] : groups) {
    group["share"] = group["milliseconds"].get<double>() / total;
    std::sort(group["problems"].begin(), group["problems"].end(), longer);
    list.push_back(std::move(group));
  }
  std::sort(list.begin(), list.end(), longer);
  return list;
}

void require_no_reference(std::span<const KernelReport> report, const KernelSelection& selection) {
  for (const KernelReport& kernel : report) {
    if (kernel.provider != "reference" || selection.choice(kernel.op, kernel.pass).provider == "reference") continue;
    fail<KernelError>("{} {} {}: only a reference kernel can do this; select it with --kernels to time it anyway", kernel.op,
                      kernel.pass, kernel.problem);
  }
}

std::string in_words(const nlohmann::ordered_json& breakdown) {
  std::string text;
  for (const auto& group : breakdown) {
    const auto op = group["op"].get<std::string>();
    const auto pass = group["pass"].get<std::string>();
    text += fmt::format("  {:<34}{:>9.2f} ms {:>6.1f} %{:>5} calls\n", pass.empty() ? op : fmt::format("{}.{}", op, pass),
                        group["milliseconds"].get<double>(), group["share"].get<double>() * 100, group["calls"].get<int>());
  }
  return text;
}

}  // namespace apam::bench

// What a kernel runs with: device, threads, workspace, and which providers were asked for. Every call that does work
// takes an Exec; there is no global one. An Exec serves one host thread at a time.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <typeindex>
#include <vector>

#include "kernels/runtime/buffer.h"
#include "kernels/runtime/device.h"
#include "kernels/runtime/kernel_decisions.h"
#include "kernels/runtime/run_clock.h"

namespace apam {

/// Which provider computes which operation, read from `conv2d=onednn,batch_norm=native,*=auto`.
/// `op=provider` (or `op.pass=provider`) is a demand: a problem that the provider cannot do is an error.
/// `*=provider` (or the provider's name alone) is a preference: where it cannot, `auto` decides, and says so in the report.
class KernelSelection {
 public:
  KernelSelection() = default;

  /// Throws InputError for text that is not of that form. Names are checked when an operation first asks.
  static KernelSelection parse(std::string_view text);

  struct Choice {
    std::string provider = "auto";
    bool demanded = false;
  };
  Choice choice(std::string_view op, std::string_view pass) const;

  const std::string& text() const { return text_; }
  const std::map<std::string, std::string, std::less<>>& entries() const { return entries_; }

 private:
  std::string text_ = "*=auto";
  std::map<std::string, std::string, std::less<>> entries_;  // "op", "op.pass" or "*" -> provider
};

struct ExecOptions {
  Device device{};
  int threads = 1;
  KernelSelection kernels{};
  /// Where `auto` keeps its timings between runs; empty: every process times for itself.
  std::filesystem::path tuning_cache{};
  /// How long to wait for another process that times for the same file, before timing without the file.
  std::chrono::milliseconds cache_patience{30'000};
  std::function<bool()> give_up{};  ///< asked while waiting for it; true ends the wait
  bool retime = false;              ///< `auto` times again, whatever the file has, and replaces it
  RunClock clock = take_time;
};

/// One line of the report on what ran: operation, problem, pass, provider, and how the providers compared.
struct KernelReport {
  std::string op, problem, pass, provider;
  Measurement measured;  ///< without times where nothing was compared
};

/// A kernel is requested, and runs next. Valid during the call of the listener.
struct KernelRequest {
  template <class Problem>
  KernelRequest(std::string_view op_name, std::string_view pass_name, const Problem& of)
      : op(op_name), pass(pass_name), address_(&of), type_(typeid(Problem)), describe_([](const void* address) {
          return static_cast<const Problem*>(address)->describe();
        }) {}

  std::string_view op, pass;

  std::string problem() const { return describe_(address_); }
  /// The problem, or null if it is of another type.
  template <class Problem>
  const Problem* problem_as() const {
    return type_ == typeid(Problem) ? static_cast<const Problem*>(address_) : nullptr;
  }

 private:
  const void* address_;
  std::type_index type_;
  std::string (*describe_)(const void*);
};

class Exec {
 public:
  explicit Exec(ExecOptions options = {});
  ~Exec();
  Exec(Exec&&) noexcept;
  Exec& operator=(Exec&&) noexcept;

  Device device() const { return options_.device; }
  int threads() const { return options_.threads; }
  const KernelSelection& selection() const { return options_.kernels; }
  const ExecOptions& options() const { return options_; }

  /// Makes room for `bytes` of scratch memory; kernels call it when they are made, so that no step allocates.
  void reserve_workspace(std::size_t bytes);

  /// Scratch memory of at least `bytes`, aligned to 64; its contents last until the next kernel runs.
  std::byte* workspace(std::size_t bytes);
  std::size_t workspace_bytes() const { return workspace_.size_bytes(); }

  /// Waits until all work given to the device is done. Nothing to wait for on the CPU.
  void synchronize();

  /// A store for kernels already made, one of each type; used by kernels/selection.cpp and by providers.
  template <class Cache>
  Cache& cache() {
    auto& slot = caches_[std::type_index(typeid(Cache))];
    if (!slot) slot = std::make_shared<Cache>();
    return *static_cast<Cache*>(slot.get());
  }

  /// What has been chosen so far, in order of first use.
  std::vector<KernelReport>& report() { return report_; }
  const std::vector<KernelReport>& report() const { return report_; }

  /// What `auto` decided for this Exec so far: measured, looked up or adopted.
  const KernelDecisions& decisions() const { return decisions_; }
  KernelDecisions& decisions() { return decisions_; }
  /// Has `auto` go by `decisions`, before any file and without timing; of kernels that were chosen already nothing changes.
  /// A decision for a provider that this build lacks, or that cannot do the problem, throws KernelError when it is needed.
  void adopt(const KernelDecisions& decisions) { adopted_.merge(decisions); }
  const KernelDecisions& adopted() const { return adopted_; }

  /// Has every request for a kernel told to `listener` before the kernel runs; an empty one ends that.
  using RequestListener = std::function<void(const KernelRequest&)>;
  void tell_requests(RequestListener listener) { listener_ = std::move(listener); }
  const RequestListener& request_listener() const { return listener_; }

  /// Whether every call of a kernel is printed: APAM_VERBOSE was set, to something other than 0, when this Exec was made.
  bool verbose() const { return verbose_; }

 private:
  ExecOptions options_;
  Buffer workspace_;
  std::map<std::type_index, std::shared_ptr<void>> caches_;
  std::vector<KernelReport> report_;
  KernelDecisions decisions_, adopted_;
  RequestListener listener_;
  bool verbose_;
};

/// Copies all elements in the order of the work that `exec` is given: after what came before, before what comes next. On the
/// CPU at once; a GPU's copy may still be under way on return, and exec.synchronize() waits for it. Throws ShapeError unless
/// both sides have the same number.
template <class T>
void copy(Exec&, DeviceSpan<const T> from, DeviceSpan<T> to) {
  copy<T>(from, to);
}
inline void copy(Exec& exec, In from, Out to) { copy<float>(exec, from, to); }

/// Sets every byte to zero, in the same order of work.
inline void zero(Exec&, Out values) { zero(values); }

}  // namespace apam

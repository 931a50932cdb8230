// Execution context of kernels: device, threads, workspace and selected providers. Every call that computes takes an Exec;
// there is no global one. An Exec must not be used by several host threads at the same time.
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

/// Which provider computes which operation, parsed from `conv2d=onednn,batch_norm=native,*=auto`.
/// `op=provider` (or `op.pass=provider`) is mandatory: a problem that the provider does not support is an error.
/// `*=provider` (or only its name) is a preference: `auto` decides the problems that it does not support, see the report.
class KernelSelection {
 public:
  KernelSelection() = default;

  /// Throws InputError for malformed text. Names are checked when an operation first requests a kernel.
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
  /// Where `auto` stores its timings; empty: every process measures again.
  std::filesystem::path tuning_cache{};
  /// How long to wait for another process that is measuring for the same file; then `auto` measures without the file.
  std::chrono::milliseconds cache_patience{30'000};
  std::function<bool()> give_up{};  ///< polled during that wait; true ends it
  bool retime = false;              ///< `auto` measures again and replaces the stored timings
  RunClock clock = take_time;
  /// In which type nets store activations and their gradients: float32 or bfloat16.
  DType activations = DType::float32;
};

/// One line of the report: the provider chosen for a pass of a problem, and how the providers compared.
struct KernelReport {
  std::string op, problem, pass, provider;
  Measurement measured;  ///< no times if nothing was compared
};

/// A request for a kernel that runs next. Valid during the call of the listener.
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

/// The type of activations for --precision. Throws InputError unless `text` is "float32" or "bf16".
DType parse_precision(std::string_view text);

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

  /// Grows the workspace to at least `bytes`. Kernels call it on construction, so that training steps do not allocate.
  void reserve_workspace(std::size_t bytes);

  /// Scratch memory of at least `bytes` bytes, aligned to 64; its contents are valid until the next kernel runs.
  std::byte* workspace(std::size_t bytes);
  std::size_t workspace_bytes() const { return workspace_.size_bytes(); }

  /// A second scratch area, for copies of operands that a kernel passes to another kernel, which uses the workspace.
  void reserve_operand_copies(std::size_t bytes);
  std::byte* operand_copies(std::size_t bytes);
  std::size_t operand_copies_bytes() const { return operand_copies_.size_bytes(); }

  /// Changes when scratch memory moves. Recorded graphs have its addresses and must then be recorded again.
  std::uint64_t scratch_version() const { return scratch_version_; }

  /// Ends warm-up: from now on it is a KernelError to choose a kernel, or to grow scratch memory or the memory of activations.
  void freeze() { frozen_ = true; }
  bool frozen() const { return frozen_; }
  /// Throws KernelError if the Exec is frozen: "exec is frozen: WHAT".
  void require_not_frozen(std::string_view what) const { require<KernelError>(!frozen_, "exec is frozen: {}", what); }

  /// Runs everything that this Exec is given, in the order of the calls.
  const Stream& stream() const { return stream_; }
  /// Waits for all of it. Throws DeviceError if some of it has failed.
  void synchronize() const { stream_.synchronize(); }

  /// One object per type, created at first use: caches of kernels/selection.cpp and of providers.
  template <class Cache>
  Cache& cache() {
    auto& slot = caches_[std::type_index(typeid(Cache))];
    if (!slot) slot = std::make_shared<Cache>();
    return *static_cast<Cache*>(slot.get());
  }

  /// The kernels chosen so far, in order of first use.
  std::vector<KernelReport>& report() { return report_; }
  const std::vector<KernelReport>& report() const { return report_; }

  /// Decisions of `auto` for this Exec so far: measured, read from the cache or adopted.
  const KernelDecisions& decisions() const { return decisions_; }
  KernelDecisions& decisions() { return decisions_; }
  /// Makes `auto` follow `decisions`, without timing and in preference to any file. Kernels already chosen do not change.
  /// A decision for a provider that is not built or does not support the problem throws KernelError when it is used.
  void adopt(const KernelDecisions& decisions) { adopted_.merge(decisions); }
  const KernelDecisions& adopted() const { return adopted_; }

  /// Plans of providers that have several for one problem, as text, by plan_key(): recorded by a kernel when it is made, or
  /// taken from a stored decision for the kernel to follow.
  std::map<std::string, std::string>& plans() { return plans_; }

  /// Calls `listener` for every kernel request, before the kernel runs; an empty listener turns this off.
  using RequestListener = std::function<void(const KernelRequest&)>;
  void tell_requests(RequestListener listener) { listener_ = std::move(listener); }
  const RequestListener& request_listener() const { return listener_; }

  /// Whether every call of a kernel is printed: APAM_VERBOSE was set, to something other than 0, when this Exec was made.
  bool verbose() const { return verbose_; }

 private:
  void grow(Buffer& buffer, std::size_t bytes, std::string_view name);

  ExecOptions options_;
  Stream stream_;
  Buffer workspace_, operand_copies_;
  std::uint64_t scratch_version_ = 0;
  std::map<std::type_index, std::shared_ptr<void>> caches_;
  std::vector<KernelReport> report_;
  KernelDecisions decisions_, adopted_;
  std::map<std::string, std::string> plans_;
  RequestListener listener_;
  bool verbose_;
  bool frozen_ = false;
};

/// Copies all elements, in order with the other work of `exec`: see copy(stream, ...) in buffer.h.
inline void copy(const Exec& exec, In from, Out to) { copy(exec.stream(), from, to); }

/// Sets every byte to zero, in order with the other work.
inline void zero(const Exec& exec, Out values) { zero(exec.stream(), values); }

}  // namespace apam

#include "kernels/ops/kernel_trace.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace apam::kernels {
namespace {

std::string this_process() {
  const char* rank = std::getenv("PMI_RANK");
  return rank != nullptr ? fmt::format("rank {}", rank) : fmt::format("process {}", ::getpid());
}

}  // namespace

KernelTrace::KernelTrace(Exec& exec, const KernelRequest& request, std::string_view provider)
    : exec_(exec),
      what_(
          fmt::format("apam: {} | {} | {} | {} | {}", this_process(), request.op, request.problem(), request.pass, provider)) {}

void KernelTrace::start() {
  started_ = true;
  since_ = std::chrono::steady_clock::now();
}

KernelTrace::~KernelTrace() {
  if (!started_) return;
  exec_.synchronize();
  const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - since_;
  std::fputs(fmt::format("{} | {:.3f} ms\n", what_, elapsed.count()).c_str(), stderr);  // one write: lines stay whole
}

}  // namespace apam::kernels

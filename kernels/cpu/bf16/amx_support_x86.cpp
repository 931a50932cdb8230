// AMX on x86-64 Linux.
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "kernels/cpu/bf16/amx_support.h"
#include "kernels/cpu/bf16/builds.h"
#include "kernels/runtime/error.h"

namespace apam::kernels::cpu {
namespace {

constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
constexpr long kTileData = 18;               // XFEATURE_XTILEDATA

/// AMX-TILE and AMX-BF16, and the parts of AVX-512 with which build_amx.cpp is compiled.
bool has_amx() {
  constexpr unsigned kBf16 = 1U << 22U, kTile = 1U << 24U;  // leaf 7, subleaf 0, EDX
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  __builtin_cpu_init();
  return (edx & kBf16) != 0 && (edx & kTile) != 0 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bf16");
}

std::string find_absence() {
  if (!has_amx()) return "the processor has no AMX";
  if (::syscall(SYS_arch_prctl, kRequestPermission, kTileData) != 0) return "the kernel refuses AMX: " + reason_of(errno);
  return {};
}

}  // namespace

const std::string& amx_absence() {
  static const std::string reason = find_absence();
  return reason;
}

const TileKernels16* available_amx_tiles() { return amx_absence().empty() ? &amx_tiles() : nullptr; }

}  // namespace apam::kernels::cpu

#include "kernels/runtime/exec.h"

#include <cstdlib>
#include <utility>

#include "kernels/runtime/parallel.h"

namespace apam {
namespace {

bool verbose_is_set() {
  const char* value = std::getenv("APAM_VERBOSE");
  return value != nullptr && *value != '\0' && std::string_view(value) != "0";
}

}  // namespace

DType parse_precision(std::string_view text) {
  if (text == "float32") return DType::float32;
  require<InputError>(text == "bf16", "precision: expected float32 or bf16, got '{}'", text);
  return DType::bfloat16;
}

Exec::Exec(ExecOptions options) : options_(std::move(options)), stream_(options_.device), verbose_(verbose_is_set()) {
  require<InputError>(options_.threads >= 1, "threads: at least 1 is needed, got {}", options_.threads);
  check_threads(options_.threads);
}
Exec::~Exec() = default;
Exec::Exec(Exec&&) noexcept = default;
Exec& Exec::operator=(Exec&&) noexcept = default;

void Exec::grow(Buffer& buffer, std::size_t bytes, std::string_view name) {
  if (bytes <= buffer.size_bytes()) return;
  if (frozen_) require_not_frozen(fmt::format("{} has {} bytes, {} are needed", name, buffer.size_bytes(), bytes));
  buffer = Buffer(device(), bytes);
  ++scratch_version_;
}

void Exec::reserve_workspace(std::size_t bytes) { grow(workspace_, bytes, "the workspace"); }

std::byte* Exec::workspace(std::size_t bytes) {
  reserve_workspace(bytes);
  return workspace_.data();
}

void Exec::reserve_operand_copies(std::size_t bytes) { grow(operand_copies_, bytes, "the memory for copies of operands"); }

std::byte* Exec::operand_copies(std::size_t bytes) {
  reserve_operand_copies(bytes);
  return operand_copies_.data();
}

}  // namespace apam

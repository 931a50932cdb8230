#include "kernels/runtime/sha256.h"

#include <fmt/ranges.h>
#include <openssl/evp.h>

#include <array>

#include "kernels/runtime/error.h"

namespace apam {

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  ok_ = context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1;
}

void Sha256::add(std::span<const std::byte> bytes) {
  ok_ = ok_ && EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1;
}

std::string Sha256::hex() const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  const std::unique_ptr<evp_md_ctx_st, Free> end(EVP_MD_CTX_new());  // a copy is finished: more may be added
  const bool ok = ok_ && end && EVP_MD_CTX_copy_ex(end.get(), context_.get()) == 1 &&
                  EVP_DigestFinal_ex(end.get(), digest.data(), &size) == 1;
  require<DeviceError>(ok, "sha256: libcrypto failed, digest of {} bytes, expected {}", size, 32);
  return fmt::format("{:02x}", fmt::join(digest.begin(), digest.begin() + size, ""));
}

}  // namespace apam

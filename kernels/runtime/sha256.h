// SHA-256 (FIPS 180-4), by libcrypto.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct evp_md_ctx_st;  // libcrypto's EVP_MD_CTX

namespace apam {

/// Hashes a sequence of bytes that arrives in pieces. Move-only.
class Sha256 {
 public:
  Sha256();

  void add(std::span<const std::byte> bytes);
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }

  /// The digest of what has been added so far: 64 lower-case hexadecimal digits. Throws DeviceError if libcrypto failed.
  std::string hex() const;

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };

  std::unique_ptr<evp_md_ctx_st, Free> context_;
  bool ok_ = false;
};

}  // namespace apam

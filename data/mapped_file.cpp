#include "data/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "kernels/runtime/descriptor.h"
#include "kernels/runtime/error.h"

namespace apam::data {

MappedFile::MappedFile(const char* operation, const std::filesystem::path& path) {
  // Non-blocking, so that a pipe cannot hold us up. A mapping outlives its descriptor.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  int reason = errno;
  require<InputError>(file.is_open(), "{}: {} cannot be opened: {}", operation, path.string(), reason_of(reason));
  struct stat facts {};
  const bool examined = ::fstat(file.get(), &facts) == 0;
  reason = errno;
  require<InputError>(examined, "{}: {} cannot be examined: {}", operation, path.string(), reason_of(reason));
  require<InputError>(S_ISREG(facts.st_mode), "{}: {} is {}, expected a regular file", operation, path.string(),
                      S_ISDIR(facts.st_mode) ? "a directory" : "a special file");
  require<InputError>(facts.st_size > 0, "{}: {} is empty", operation, path.string());
  const auto size = static_cast<std::size_t>(facts.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  reason = errno;
  require<InputError>(data != MAP_FAILED, "{}: {} of {} bytes cannot be mapped: {}", operation, path.string(), size,
                      reason_of(reason));
  bytes_ = {static_cast<const std::uint8_t*>(data), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::uint8_t*>(bytes_.data()), bytes_.size());
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace apam::data

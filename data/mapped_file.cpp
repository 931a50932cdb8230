#include "data/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

/// Closes a file descriptor at the end of its scope. A mapping outlives its descriptor.
struct Descriptor {
  int value;
  explicit Descriptor(int descriptor) : value(descriptor) {}
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
};

std::string reason() { return std::generic_category().message(errno); }

}  // namespace

MappedFile::MappedFile(const char* operation, const std::filesystem::path& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // so that a pipe cannot hold us up
  require<InputError>(file.value >= 0, "{}: {} cannot be opened: {}", operation, path.string(), reason());
  struct stat facts {};
  require<InputError>(::fstat(file.value, &facts) == 0, "{}: {} cannot be examined: {}", operation, path.string(), reason());
  require<InputError>(S_ISREG(facts.st_mode), "{}: {} is {}, expected a regular file", operation, path.string(),
                      S_ISDIR(facts.st_mode) ? "a directory" : "a special file");
  require<InputError>(facts.st_size > 0, "{}: {} is empty", operation, path.string());
  const auto size = static_cast<std::size_t>(facts.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.value, 0);
  require<InputError>(data != MAP_FAILED, "{}: {} of {} bytes cannot be mapped: {}", operation, path.string(), size, reason());
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

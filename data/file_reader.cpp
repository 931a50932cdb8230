#include "data/file_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "kernels/runtime/error.h"

namespace apam::data {

FileReader::FileReader(const char* operation, std::filesystem::path path)
    : operation_(operation),
      path_(std::move(path)),
      file_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {  // do not block on a FIFO
  int reason = errno;
  require<InputError>(file_.is_open(), "{}: {} cannot be opened: {}", operation_, path_.string(), reason_of(reason));
  struct stat status {};
  const bool examined = ::fstat(file_.get(), &status) == 0;
  reason = errno;
  require<InputError>(examined, "{}: {} cannot be examined: {}", operation_, path_.string(), reason_of(reason));
  require<InputError>(S_ISREG(status.st_mode), "{}: {} is {}, expected a regular file", operation_, path_.string(),
                      S_ISDIR(status.st_mode) ? "a directory" : "a special file");
  require<InputError>(status.st_size > 0, "{}: {} is empty", operation_, path_.string());
  size_ = static_cast<std::size_t>(status.st_size);
}

void FileReader::read(std::size_t offset, std::span<std::uint8_t> bytes) const {
  while (!bytes.empty()) {
    const ssize_t got = ::pread(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (got < 0) {
      const int reason = errno;
      if (reason == EINTR) continue;
      fail<InputError>("{}: {} cannot be read at byte {}: {}", operation_, path_.string(), offset, reason_of(reason));
    }
    require<InputError>(got > 0, "{}: {} ends at byte {}, it had {} bytes when opened", operation_, path_.string(), offset,
                        size_);
    offset += static_cast<std::size_t>(got);
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
}

}  // namespace apam::data

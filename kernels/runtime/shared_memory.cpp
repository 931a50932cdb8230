#include "kernels/runtime/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <utility>

#include "kernels/runtime/available_memory.h"
#include "kernels/runtime/pages.h"

namespace apam {
namespace {

[[noreturn]] void refuse(std::string_view name, std::size_t bytes, std::string_view action, int error) {
  throw SharedMemoryError(fmt::format("shared memory {} of {} bytes: {}: {}", name, bytes, action, reason_of(error)), error);
}

[[noreturn]] void refuse_for_lack(std::string_view name, std::size_t bytes) {
  const auto available = available_memory();
  fail<OutOfMemory>("shared memory {}: {:.0f} MiB are needed, {} are available", name, in_mib(bytes),
                    available ? fmt::format("{:.0f} MiB", in_mib(*available)) : "fewer");
}

// The kernel takes pages when they are first written, and kills the process if there are none.
void require_available(std::string_view name, std::size_t bytes) {
  const auto available = available_memory();
  if (available && bytes > *available) refuse_for_lack(name, bytes);
}

/// Free addresses for `bytes` from a multiple of kHugePage, still reserved, or null: the system finds others.
void* reserve(std::size_t bytes) {
  const std::size_t end = whole_pages(bytes);
  void* const all = ::mmap(nullptr, end + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(all);
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  const std::size_t before = round_up(address, kHugePage) - address;
  if (before > 0) ::munmap(begin, before);
  if (before < kHugePage) ::munmap(begin + before + end, kHugePage - before);
  return begin + before;
}

/// Maps all of it, larger memory so that huge pages of the file are huge pages here.
std::byte* map(std::string_view name, std::size_t bytes, int file, int flags) {
  void* const place = bytes >= kHugePage ? reserve(bytes) : nullptr;
  const int fixed = place != nullptr ? MAP_FIXED : 0;
  void* const data = ::mmap(place, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | flags | fixed, file, 0);
  const int error = errno;
  if (data != MAP_FAILED) return static_cast<std::byte*>(data);
  if (place != nullptr) ::munmap(place, whole_pages(bytes));
  if (error == ENOMEM) refuse_for_lack(name, bytes);
  refuse(name, bytes, "cannot be mapped", error);
}

/// Makes huge pages of new memory where the system has them, whether or not it makes them for every user of shared memory
/// (/sys/kernel/mm/transparent_hugepage/shmem_enabled). An update of many gradients that reads pages of 4 KiB misses the TLB at
/// each of them, which doubles or triples its time on virtual machines. Only a hint.
void request_huge_pages(std::byte* data, std::size_t bytes) {
  constexpr int kCollapse = 25;  // MADV_COLLAPSE, Linux 6.1; not named by glibc 2.36
  const std::size_t end = bytes / kHugePage * kHugePage;
  if (end == 0) return;
  for (std::size_t at = 0; at < end; at += kHugePage) {  // one page of each is enough, the others need not be copied
    if (::madvise(data + at, kPage, MADV_POPULATE_WRITE) != 0) return;
  }
  ::madvise(data, end, kCollapse);
}

/// So that no first access is slow. Before Linux 5.14 without effect.
void populate(std::byte* data, std::size_t bytes) { ::madvise(data, whole_pages(bytes), MADV_POPULATE_WRITE); }

void allocate(std::string_view name, std::size_t bytes, int file) {
  int result = 0;
  do {
    result = ::fallocate(file, 0, 0, static_cast<::off_t>(bytes));
  } while (result != 0 && errno == EINTR);
  if (result == 0) return;
  const int error = errno;
  if (error == ENOSPC || error == ENOMEM || error == EFBIG) refuse_for_lack(name, bytes);
  refuse(name, bytes, "cannot be allocated", error);
}

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

/// "PID:FD:INODE:BYTES". The inode tells the file from another one that has the same number later.
struct Address {
  std::uint64_t process = 0, file = 0, inode = 0, bytes = 0;

  std::string to_text() const { return fmt::format("{}:{}:{}:{}", process, file, inode, bytes); }

  static Address from_text(std::string_view text) {
    Address address;
    const char* at = text.data();
    const char* const end = at + text.size();
    bool valid = true;
    for (std::uint64_t* field : {&address.process, &address.file, &address.inode, &address.bytes}) {
      const auto [next, error] = std::from_chars(at, end, *field);
      const bool last = field == &address.bytes;
      valid = valid && error == std::errc{} && (last ? next == end : next != end && *next == ':');
      if (!valid) break;
      at = last ? next : next + 1;
    }
    require<InputError>(valid && address.bytes > 0, "shared memory: '{}' is no address, expected PROCESS:FILE:INODE:BYTES",
                        text);
    return address;
  }
};

}  // namespace

SharedMemory SharedMemory::create(std::string_view name, std::size_t bytes) {
  require<InputError>(bytes > 0, "shared memory {}: the size must be above 0, got {}", name, bytes);
  require_available(name, bytes);
  Descriptor file(::memfd_create(std::string(name).c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (const int error = errno; !file.is_open()) refuse(name, bytes, "cannot be created", error);
  if (::ftruncate(file.get(), static_cast<::off_t>(bytes)) != 0) refuse(name, bytes, "cannot be sized", errno);
  SharedMemory memory(map(name, bytes, file.get(), 0), bytes);
  request_huge_pages(memory.data_, bytes);
  allocate(name, bytes, file.get());
  populate(memory.data_, bytes);
  if (::fcntl(file.get(), F_ADD_SEALS, kSeals) != 0) refuse(name, bytes, "cannot be sealed", errno);
  struct ::stat status {};
  if (::fstat(file.get(), &status) != 0) refuse(name, bytes, "cannot be examined", errno);
  memory.address_ = Address{static_cast<std::uint64_t>(::getpid()), static_cast<std::uint64_t>(file.get()),
                            static_cast<std::uint64_t>(status.st_ino), bytes}
                        .to_text();
  memory.file_ = std::move(file);
  return memory;
}

SharedMemory SharedMemory::attach(std::string_view name, std::string_view address) {
  const Address wanted = Address::from_text(address);
  const std::string path = fmt::format("/proc/{}/fd/{}", wanted.process, wanted.file);
  const Descriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (const int error = errno; !file.is_open()) refuse(name, wanted.bytes, path + " cannot be opened", error);
  struct ::stat status {};
  if (::fstat(file.get(), &status) != 0) refuse(name, wanted.bytes, path + " cannot be examined", errno);
  const int seals = ::fcntl(file.get(), F_GET_SEALS);
  const bool same = status.st_ino == wanted.inode && static_cast<std::uint64_t>(status.st_size) == wanted.bytes && seals >= 0 &&
                    (seals & kSeals) == kSeals;
  if (!same) {
    refuse(name, wanted.bytes, fmt::format("{} is another file, of {} bytes", path, status.st_size), EBADF);
  }
  // Not its pages: a process that uses a part of the memory does not count the rest as its own.
  return {map(name, wanted.bytes, file.get(), 0), wanted.bytes};
}

SharedMemory SharedMemory::anonymous(std::string_view name, std::size_t bytes) {
  require<InputError>(bytes > 0, "shared memory {}: the size must be above 0, got {}", name, bytes);
  require_available(name, bytes);
  SharedMemory memory(map(name, bytes, -1, MAP_ANONYMOUS), bytes);
  request_huge_pages(memory.data_, bytes);
  populate(memory.data_, bytes);
  return memory;
}

void SharedMemory::withdraw() {
  file_.close();
  address_.clear();
}

void SharedMemory::make_read_only(std::size_t offset, std::size_t bytes) {
  require<ShapeError>(offset <= bytes_ && bytes <= bytes_ - offset,
                      "shared memory: bytes {} to {} made read-only, expected at most {}", offset, offset + bytes, bytes_);
  require<InputError>(offset % kPage == 0 && bytes % kPage == 0,
                      "shared memory: {} bytes from {} made read-only, expected multiples of {}", bytes, offset, kPage);
  if (::mprotect(data_ + offset, bytes, PROT_READ) != 0) refuse("part", bytes, "cannot be made read-only", errno);
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      file_(std::move(other.file_)),
      address_(std::move(other.address_)) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(file_, other.file_);
  std::swap(address_, other.address_);
  return *this;
}

}  // namespace apam

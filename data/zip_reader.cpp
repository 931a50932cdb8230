// The content of an entry of a ZIP archive. Raw deflate data is expanded by zlib, directly to the caller's memory.
#include <zlib.h>

#include <algorithm>
#include <array>
#include <limits>

#include "data/zip_archive.h"
#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

constexpr std::size_t kZipBlock = 64 * 1024;

}  // namespace

struct ZipReader::Inflater {
  Inflater() {
    const int status = ::inflateInit2(&stream, -MAX_WBITS);  // negative: raw deflate, without zlib's header
    require<DeviceError>(status == Z_OK, "zip: zlib {} cannot start, status {}", ::zlibVersion(), status);
  }
  ~Inflater() { ::inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  z_stream stream{};  // zlib refers to it, so it does not move
  std::array<std::uint8_t, kZipBlock> input;
  std::uint64_t taken = 0;  // stored bytes read from the file
  bool ended = false;       // after the last block of the deflate data
};

ZipReader::ZipReader(const ZipArchive& archive, const ZipEntry& entry) : archive_(&archive), entry_(&entry), left_(entry.size) {
  if (entry.deflated) inflater_ = std::make_unique<Inflater>();
  if (left_ == 0) finish();
}

ZipReader::~ZipReader() = default;
ZipReader::ZipReader(ZipReader&&) noexcept = default;

void ZipReader::read(std::span<std::uint8_t> bytes) {
  if (bytes.empty()) return;
  require<InputError>(bytes.size() <= left_, "{}: {} has {} bytes after byte {}, expected at least {}", archive_->where(),
                      entry_->name, left_, entry_->size - left_, bytes.size());
  if (inflater_) {
    for (std::span<std::uint8_t> rest = bytes; !rest.empty();) {
      const std::size_t count = inflate(rest);
      rest = rest.subspan(count);
      require<InputError>(count > 0, "{}: the deflate data of {} ends after {} bytes of content, expected {}",
                          archive_->where(), entry_->name, entry_->size - left_ + (bytes.size() - rest.size()), entry_->size);
    }
  } else {
    archive_->file().read(entry_->position + (entry_->size - left_), bytes);
  }
  crc32_ = static_cast<std::uint32_t>(::crc32_z(crc32_, bytes.data(), bytes.size()));
  left_ -= bytes.size();
  if (left_ == 0) finish();
}

void ZipReader::skip(std::uint64_t count) {
  std::vector<std::uint8_t> scratch(std::min<std::uint64_t>(count, kZipBlock));
  for (; count > 0; count -= scratch.size()) {
    if (count < scratch.size()) scratch.resize(count);
    read(scratch);
  }
}

/// Expands the next bytes of content to the front of `bytes`, at least one unless the data ends. Returns their number.
std::size_t ZipReader::inflate(std::span<std::uint8_t> bytes) {
  Inflater& inflater = *inflater_;
  z_stream& stream = inflater.stream;
  const auto room = static_cast<uInt>(std::min<std::size_t>(bytes.size(), std::numeric_limits<uInt>::max()));
  stream.next_out = bytes.data();
  stream.avail_out = room;
  while (!inflater.ended && stream.avail_out == room) {
    if (stream.avail_in == 0) {
      const auto count = std::min<std::uint64_t>(entry_->stored - inflater.taken, kZipBlock);
      archive_->file().read(entry_->position + inflater.taken, std::span(inflater.input).first(count));
      inflater.taken += count;
      stream.next_in = inflater.input.data();
      stream.avail_in = static_cast<uInt>(count);
    }
    const int status = ::inflate(&stream, Z_NO_FLUSH);  // zlib may hold output back, so it is called without input, too
    require<DeviceError>(status != Z_MEM_ERROR, "{}: no memory to expand {}", archive_->where(), entry_->name);
    require<InputError>(status != Z_BUF_ERROR,
                        "{}: the deflate data of {} is truncated after {} bytes, {} bytes of content are missing",
                        archive_->where(), entry_->name, entry_->stored, left_);
    require<InputError>(status == Z_OK || status == Z_STREAM_END,
                        "{}: the deflate data of {} is damaged near byte {} of {}: {}", archive_->where(), entry_->name,
                        inflater.taken - stream.avail_in, entry_->stored,
                        stream.msg != nullptr ? stream.msg : "a preset dictionary is required");
    inflater.ended = status == Z_STREAM_END;
  }
  return room - stream.avail_out;
}

/// After the last byte of content.
void ZipReader::finish() {
  if (inflater_) {
    std::array<std::uint8_t, 1> more;  // the end marker may follow the last byte of content
    require<InputError>(inflate(more) == 0, "{}: {} has more content than the {} bytes declared", archive_->where(),
                        entry_->name, entry_->size);
    const std::uint64_t used = inflater_->taken - inflater_->stream.avail_in;
    require<InputError>(used == entry_->stored, "{}: the deflate data of {} has {} bytes, {} are stored", archive_->where(),
                        entry_->name, used, entry_->stored);
  }
  require<InputError>(crc32_ == entry_->crc32, "{}: {} has CRC-32 {:08x}, expected {:08x}", archive_->where(), entry_->name,
                      crc32_, entry_->crc32);
}

}  // namespace apam::data

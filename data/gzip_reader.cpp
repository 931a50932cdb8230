#include "data/gzip_reader.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

constexpr std::size_t kGzipChunk = std::size_t{1} << 16;
constexpr int kGzipWindow = 16 + MAX_WBITS;  // zlib: expect a gzip header

}  // namespace

struct GzipReader::Stream {
  Stream() { require<DeviceError>(::inflateInit2(&state, kGzipWindow) == Z_OK, "gzip: no memory for zlib"); }
  ~Stream() { ::inflateEnd(&state); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  z_stream state{};
};

GzipReader::GzipReader(const char* operation, const std::filesystem::path& path)
    : file_(operation, path), operation_(operation) {
  std::array<std::uint8_t, 2> start{};
  file_.read(0, std::span(start).first(std::min(start.size(), file_.size())));
  if (start != std::array<std::uint8_t, 2>{0x1F, 0x8B}) return;
  stream_ = std::make_unique<Stream>();
  chunk_.resize(kGzipChunk);
}

GzipReader::~GzipReader() = default;

void GzipReader::refill() {
  const auto next = std::span(chunk_).first(std::min(chunk_.size(), file_.size() - at_));
  file_.read(at_, next);
  at_ += next.size();
  stream_->state.next_in = next.data();
  stream_->state.avail_in = static_cast<uInt>(next.size());
}

std::size_t GzipReader::read_some(std::span<std::uint8_t> bytes) {
  if (stream_ == nullptr) {
    const std::size_t size = std::min(bytes.size(), file_.size() - at_);
    file_.read(at_, bytes.first(size));
    at_ += size;
    return size;
  }
  z_stream& state = stream_->state;
  state.next_out = bytes.data();
  state.avail_out = static_cast<uInt>(std::min<std::size_t>(bytes.size(), 1U << 30));
  const uInt wanted = state.avail_out;
  while (!ended_ && state.avail_out == wanted && wanted > 0) {
    if (state.avail_in == 0) refill();
    require<InputError>(state.avail_in > 0, "{}: {} ends at byte {} within its compressed data", operation_, path().string(),
                        at_);
    const int status = ::inflate(&state, Z_NO_FLUSH);
    require<InputError>(status == Z_OK || status == Z_STREAM_END, "{}: {} has invalid compressed data before byte {}: {}",
                        operation_, path().string(), at_ - state.avail_in, state.msg != nullptr ? state.msg : ::zError(status));
    ended_ = status == Z_STREAM_END;
  }
  return wanted - state.avail_out;
}

void GzipReader::read(std::span<std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const std::size_t got = read_some(bytes);
    require<InputError>(got > 0, "{}: {} has {} bytes{}, at least {} are expected", operation_, path().string(), position_,
                        stream_ != nullptr ? " of decompressed data" : "", position_ + bytes.size());
    position_ += got;
    bytes = bytes.subspan(got);
  }
}

void GzipReader::skip(std::uint64_t count) {
  std::vector<std::uint8_t> scratch(std::min<std::uint64_t>(count, kGzipChunk));
  for (std::uint64_t left = count; left > 0;) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left, scratch.size()));
    read(std::span(scratch).first(size));
    left -= size;
  }
}

void GzipReader::expect_end() {
  std::array<std::uint8_t, 1> more;
  require<InputError>(read_some(more) == 0, "{}: {} has more than the expected {} bytes{}", operation_, path().string(),
                      position_, stream_ != nullptr ? " of decompressed data" : "");
  const std::size_t unread = stream_ != nullptr ? stream_->state.avail_in : 0;
  require<InputError>(at_ - unread == file_.size(), "{}: {} has {} bytes, its compressed data ends after {}", operation_,
                      path().string(), file_.size(), at_ - unread);
}

}  // namespace apam::data

// Writes .npy and .npz files as NumPy does, and malformed ones.
#pragma once

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/data/support.h"

namespace apam::data {

using Bytes = std::vector<std::uint8_t>;

/// Appends the low `count` bytes of `value`, little-endian.
inline void put(Bytes& bytes, std::uint64_t value, int count) {
  for (int i = 0; i < count; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

inline void put(Bytes& bytes, const Bytes& more) { bytes.insert(bytes.end(), more.begin(), more.end()); }

inline void put(Bytes& bytes, std::string_view text) { bytes.insert(bytes.end(), text.begin(), text.end()); }

/// A .npy file with this header, unpadded.
inline Bytes npy_of(std::string_view header, const Bytes& values, int major = 1) {
  Bytes bytes;
  put(bytes, "\x93NUMPY");
  put(bytes, static_cast<std::uint64_t>(major), 2);
  put(bytes, header.size(), major == 1 ? 2 : 4);
  put(bytes, header);
  put(bytes, values);
  return bytes;
}

/// A .npy file as NumPy writes it: the header is padded to a multiple of 64 bytes.
inline Bytes npy(std::string_view descr, std::string_view shape, const Bytes& values, int major = 1,
                 std::string_view fortran = "False") {
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': {}, }}", descr, fortran, shape);
  const std::size_t prefix = major == 1 ? 10 : 12;
  header.append(64 - (prefix + header.size() + 1) % 64, ' ');
  return npy_of(header + '\n', values, major);
}

inline Bytes deflated(const Bytes& content) {
  Bytes data(::compressBound(content.size()) + 16);
  z_stream stream{};
  if (::deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::runtime_error("deflate cannot start");
  }
  Bytes input = content;
  stream.next_in = input.data();
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = data.data();
  stream.avail_out = static_cast<uInt>(data.size());
  const int status = ::deflate(&stream, Z_FINISH);
  data.resize(stream.total_out);
  ::deflateEnd(&stream);
  if (status != Z_STREAM_END) throw std::runtime_error("deflate failed");
  return data;
}

inline std::uint32_t crc_of(const Bytes& content) {
  return static_cast<std::uint32_t>(::crc32(0, content.data(), static_cast<uInt>(content.size())));
}

/// An entry. The optional fields replace the right values.
struct ZipMember {
  std::string name;
  Bytes content;
  bool deflate = false;
  bool zip64 = false;        ///< sizes in the zip64 field of the local header, as NumPy does
  bool zip64_entry = false;  ///< sizes and position in the zip64 field of the directory
  bool descriptor = false;   ///< sizes and checksum after the data, as for output that cannot seek
  std::uint16_t flags = 0;
  std::optional<std::uint16_t> method = {};
  std::optional<Bytes> data = {};  ///< as stored
  std::optional<std::uint32_t> crc = {};
  std::optional<std::uint64_t> size = {}, stored = {};
  std::optional<std::uint64_t> local_size = {};  ///< in the local header
  std::optional<std::string> local_name = {};    ///< in the local header
  std::optional<std::uint64_t> position = {};    ///< in the directory
  std::optional<std::size_t> zip64_bytes = {};   ///< length of the zip64 field in the directory
};

struct ZipEnd {
  bool zip64 = false;
  std::optional<std::uint64_t> entries = {}, directory_size = {}, directory_position = {};
  std::string comment = {};
};

/// An archive. Sizes above 32 bits only fit with zip64.
inline Bytes zip(const std::vector<ZipMember>& members, const ZipEnd& end = {}) {
  constexpr std::uint32_t kFull = 0xffffffff;
  Bytes file, directory;
  for (const ZipMember& member : members) {
    const Bytes data = member.data.value_or(member.deflate ? deflated(member.content) : member.content);
    const std::uint64_t size = member.size.value_or(member.content.size()), stored = member.stored.value_or(data.size());
    const std::uint64_t position = member.position.value_or(file.size());
    const std::uint32_t crc = member.crc.value_or(crc_of(member.content));
    const auto flags = static_cast<std::uint16_t>(member.flags | (member.descriptor ? 8 : 0));
    const std::uint16_t method = member.method.value_or(member.deflate ? 8 : 0);
    const std::string name = member.local_name.value_or(member.name);

    const std::uint64_t local_size = member.descriptor ? 0 : member.local_size.value_or(size);
    const std::uint64_t local_stored = member.descriptor ? 0 : stored;
    put(file, 0x04034b50, 4);
    put(file, member.zip64 ? 45 : 20, 2);
    put(file, flags, 2);
    put(file, method, 2);
    put(file, 0x21 << 16, 4);  // 1980-01-01
    put(file, member.descriptor ? 0 : crc, 4);
    put(file, member.zip64 ? kFull : local_stored, 4);
    put(file, member.zip64 ? kFull : local_size, 4);
    put(file, name.size(), 2);
    put(file, member.zip64 ? 20 : 0, 2);
    put(file, name);
    if (member.zip64) {
      put(file, 1, 2);
      put(file, 16, 2);
      put(file, local_size, 8);
      put(file, local_stored, 8);
    }
    put(file, data);
    if (member.descriptor) {
      put(file, 0x08074b50, 4);
      put(file, crc, 4);
      put(file, stored, member.zip64 ? 8 : 4);
      put(file, size, member.zip64 ? 8 : 4);
    }

    Bytes extra;
    if (member.zip64_entry) {
      put(extra, 0x7075, 2);  // another field first
      put(extra, 3, 2);
      put(extra, "abc");
      put(extra, 1, 2);
      put(extra, member.zip64_bytes.value_or(24), 2);
      Bytes values;
      put(values, size, 8);
      put(values, stored, 8);
      put(values, position, 8);
      values.resize(member.zip64_bytes.value_or(24));
      put(extra, values);
    }
    put(directory, 0x02014b50, 4);
    put(directory, 0x032d, 2);
    put(directory, member.zip64 ? 45 : 20, 2);
    put(directory, flags, 2);
    put(directory, method, 2);
    put(directory, 0x21 << 16, 4);
    put(directory, crc, 4);
    put(directory, member.zip64_entry ? kFull : stored, 4);
    put(directory, member.zip64_entry ? kFull : size, 4);
    put(directory, member.name.size(), 2);
    put(directory, extra.size(), 2);
    put(directory, 0, 6);  // size of the comment, part, internal attributes
    put(directory, 0, 4);  // external attributes
    put(directory, member.zip64_entry ? kFull : position, 4);
    put(directory, member.name);
    put(directory, extra);
  }

  const std::uint64_t position = end.directory_position.value_or(file.size());
  const std::uint64_t size = end.directory_size.value_or(directory.size());
  const std::uint64_t entries = end.entries.value_or(members.size());
  put(file, directory);
  if (end.zip64) {
    const std::uint64_t record = file.size();
    put(file, 0x06064b50, 4);
    put(file, 44, 8);
    put(file, 0x002d002d, 4);
    put(file, 0, 8);
    put(file, entries, 8);
    put(file, entries, 8);
    put(file, size, 8);
    put(file, position, 8);
    put(file, 0x07064b50, 4);
    put(file, 0, 4);
    put(file, record, 8);
    put(file, 1, 4);
  }
  put(file, 0x06054b50, 4);
  put(file, 0, 4);
  put(file, end.zip64 ? 0xffff : entries, 2);
  put(file, end.zip64 ? 0xffff : entries, 2);
  put(file, end.zip64 ? kFull : size, 4);
  put(file, end.zip64 ? kFull : position, 4);
  put(file, end.comment.size(), 2);
  put(file, end.comment);
  return file;
}

/// Values of the mean image, in pixels' units.
inline double mean_value(std::size_t i) { return static_cast<double>(i % 1000) / 4.0; }

inline Bytes doubles(const std::vector<double>& values) {
  Bytes bytes;
  for (const double value : values) put(bytes, std::bit_cast<std::uint64_t>(value), 8);
  return bytes;
}

inline Bytes mean_values() {
  std::vector<double> values;
  for (std::size_t i = 0; i < 3072; ++i) values.push_back(mean_value(i));
  return doubles(values);
}

/// The members data and labels, and mean if `with_mean`. Image i has the bytes cifar10_byte(first + i, ...) as planes.
inline std::vector<ZipMember> imagenet32_members(const std::vector<int>& labels, bool with_mean, std::size_t first = 0) {
  Bytes pixels, numbers;
  for (std::size_t image = 0; image < labels.size(); ++image) {
    for (std::size_t i = 0; i < 3072; ++i) pixels.push_back(cifar10_byte(first + image, i));
    put(numbers, static_cast<std::uint64_t>(static_cast<std::int64_t>(labels[image])), 8);
  }
  std::vector<ZipMember> members;
  members.push_back({.name = "data.npy", .content = npy("|u1", fmt::format("({}, 3072)", labels.size()), pixels)});
  members.push_back({.name = "labels.npy", .content = npy("<i8", fmt::format("({},)", labels.size()), numbers)});
  if (with_mean) members.push_back({.name = "mean.npy", .content = npy("<f8", "(3072,)", mean_values())});
  for (ZipMember& member : members) member.zip64 = true;
  return members;
}

/// Two training files with 3 and `second` images, and two test images.
inline void write_imagenet32(const TemporaryFolder& folder, int second = 2, const std::string& below = "") {
  std::vector<int> labels(static_cast<std::size_t>(second));
  for (int i = 0; i < second; ++i) labels[static_cast<std::size_t>(i)] = 1000 - i;
  folder.write(below + "train_data_batch_1.npz", zip(imagenet32_members({1, 17, 2}, true)));
  folder.write(below + "train_data_batch_2.npz", zip(imagenet32_members(labels, true, 3)));
  folder.write(below + "val_data.npz", zip(imagenet32_members({5, 1000}, false, 200)));
}

}  // namespace apam::data

// ZIP (PKWARE's APPNOTE.TXT, version 6.3.10), method "stored":
//
//   (local header | name | zip64 field | npy file)...   central directory   [zip64 end record and locator]   end record
#include "data/npz_writer.h"

#include <fmt/ranges.h>
#include <zlib.h>

#include <limits>

#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

constexpr std::uint32_t kMax32 = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint16_t kMax16 = std::numeric_limits<std::uint16_t>::max();
constexpr std::size_t kNpyAlignment = 64;
constexpr std::uint16_t kVersion = 20, kVersionZip64 = 45;  // of the format, times ten
constexpr std::uint16_t kDate = 1U << 5U | 1U;              // 1980-01-01

/// The header of a npy file, a multiple of 64 bytes.
std::string npy_header(const NpyArray& array) {
  const char* comma = array.shape.size() == 1 ? "," : "";  // (3,) is a tuple in Python, (3) is not
  std::string text = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}", array.descr,
                                 fmt::join(array.shape, ", "), comma);
  constexpr std::size_t kPrefix = 10;  // magic, version, size of the text
  const std::size_t used = kPrefix + text.size() + 1;
  text.append((kNpyAlignment - used % kNpyAlignment) % kNpyAlignment, ' ');
  text += '\n';
  require<InputError>(text.size() <= kMax16, "npy: a header of {} bytes, expected at most {}", text.size(), kMax16);
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(text.size() & 0xffU);
  header += static_cast<char>(text.size() >> 8U);
  return header + text;
}

/// Little-endian numbers.
class Record {
 public:
  Record& u16(std::uint64_t value) { return add(value, 2); }
  Record& u32(std::uint64_t value) { return add(value, 4); }
  Record& u64(std::uint64_t value) { return add(value, 8); }
  Record& text(std::string_view value) {
    bytes_ += value;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  Record& add(std::uint64_t value, unsigned bytes) {
    for (unsigned byte = 0; byte < bytes; ++byte) bytes_ += static_cast<char>((value >> (8 * byte)) & 0xffU);
    return *this;
  }

  std::string bytes_;
};

struct Entry {
  std::string name;
  std::uint64_t size = 0;  // of the npy file
  std::uint64_t offset = 0;
  std::uint32_t crc = 0;

  bool large() const { return size >= kMax32; }
  bool far() const { return offset >= kMax32; }
};

std::uint32_t crc_of(std::span<const std::byte> bytes, std::uint32_t crc = 0) {
  return static_cast<std::uint32_t>(::crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

/// Version, flags, method, time, date, checksum and both sizes, as in both kinds of headers.
void add_facts(Record& record, const Entry& entry) {
  const std::uint64_t size = entry.large() ? kMax32 : entry.size;
  record.u16(entry.large() || entry.far() ? kVersionZip64 : kVersion).u16(0).u16(0).u16(0).u16(kDate);
  record.u32(entry.crc).u32(size).u32(size).u16(entry.name.size());
}

std::string local_header(const Entry& entry) {
  Record extra;
  if (entry.large()) extra.u16(1).u16(16).u64(entry.size).u64(entry.size);
  Record record;
  record.text("PK\x03\x04");
  add_facts(record, entry);
  return record.u16(extra.bytes().size()).text(entry.name).text(extra.bytes()).bytes();
}

std::string directory_entry(const Entry& entry) {
  Record extra;
  if (entry.large() || entry.far()) {
    extra.u16(1).u16((entry.large() ? 16 : 0) + (entry.far() ? 8 : 0));
    if (entry.large()) extra.u64(entry.size).u64(entry.size);
    if (entry.far()) extra.u64(entry.offset);
  }
  Record record;
  record.text("PK\x01\x02").u16(kVersionZip64);
  add_facts(record, entry);
  record.u16(extra.bytes().size()).u16(0).u16(0).u16(0).u32(0).u32(entry.far() ? kMax32 : entry.offset);
  return record.text(entry.name).text(extra.bytes()).bytes();
}

std::string end_records(std::size_t entries, std::uint64_t directory_bytes, std::uint64_t directory) {
  const bool far = directory >= kMax32 || entries >= kMax16;
  Record record;
  if (far) {
    record.text("PK\x06\x06").u64(44).u16(kVersionZip64).u16(kVersionZip64).u32(0).u32(0).u64(entries).u64(entries);
    record.u64(directory_bytes).u64(directory);
    record.text("PK\x06\x07").u32(0).u64(directory + directory_bytes).u32(1);
  }
  const std::uint64_t count = far ? kMax16 : entries;
  record.text("PK\x05\x06").u16(0).u16(0).u16(count).u16(count);
  return record.u32(far ? kMax32 : directory_bytes).u32(far ? kMax32 : directory).u16(0).bytes();
}

}  // namespace

void write_npy(const std::filesystem::path& path, const NpyArray& array) {
  AtomicFile file(path);
  file.write(npy_header(array));
  file.write(array.values);
  file.commit();
}

void write_npz(const std::filesystem::path& path, const std::vector<NpyArray>& arrays) {
  AtomicFile file(path);
  std::vector<Entry> entries;
  std::uint64_t offset = 0;
  for (const NpyArray& array : arrays) {
    const std::string header = npy_header(array);
    Entry entry{.name = array.name + ".npy", .size = header.size() + array.values.size(), .offset = offset};
    entry.crc = crc_of(array.values, crc_of(std::as_bytes(std::span(header))));
    const std::string local = local_header(entry);
    file.write(local);
    file.write(header);
    file.write(array.values);
    offset += local.size() + entry.size;
    entries.push_back(std::move(entry));
  }
  std::string directory;
  for (const Entry& entry : entries) directory += directory_entry(entry);
  file.write(directory);
  file.write(end_records(entries.size(), directory.size(), offset));
  file.commit();
}

}  // namespace apam::data

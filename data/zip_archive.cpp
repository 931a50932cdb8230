#include "data/zip_archive.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <utility>

#include "data/little_endian.h"
#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

// Signatures and sizes of the fixed part of each record.
constexpr std::uint32_t kLocalHeader = 0x04034b50;
constexpr std::uint32_t kDirectoryHeader = 0x02014b50;
constexpr std::uint32_t kEndRecord = 0x06054b50;
constexpr std::uint32_t kZip64EndRecord = 0x06064b50;
constexpr std::uint32_t kZip64Locator = 0x07064b50;
constexpr std::size_t kLocalBytes = 30;
constexpr std::size_t kDirectoryBytes = 46;
constexpr std::size_t kEndBytes = 22;
constexpr std::size_t kZip64EndBytes = 56;
constexpr std::size_t kZip64LocatorBytes = 20;

// A field with all bits set refers to zip64.
constexpr std::uint16_t kFull16 = 0xffff;
constexpr std::uint32_t kFull32 = 0xffffffff;

constexpr std::uint64_t kMaxEntries = 1024;
constexpr std::uint64_t kMaxDirectory = 1 << 20;
constexpr std::uint64_t kMaxExpansion = 1032;  // of deflate: 258 bytes from two bits

constexpr std::uint16_t kEncrypted = 0x2041;  // bits 0, 6 and 13
constexpr std::uint16_t kDescriptor = 0x0008;
constexpr std::uint16_t kKnownFlags = 0x080e;  // deflate level (1, 2), data descriptor (3), UTF-8 names (11)

/// Little-endian fields at byte positions of a record. The caller checks the size.
class Fields {
 public:
  explicit Fields(std::span<const std::uint8_t> bytes) : bytes_(bytes.data()) {}
  std::uint16_t u16(std::size_t at) const { return little_endian<std::uint16_t>(bytes_ + at); }
  std::uint32_t u32(std::size_t at) const { return little_endian<std::uint32_t>(bytes_ + at); }
  std::uint64_t u64(std::size_t at) const { return little_endian<std::uint64_t>(bytes_ + at); }

 private:
  const std::uint8_t* bytes_;
};

struct Directory {
  std::uint64_t position = 0;
  std::uint64_t size = 0;
  std::uint64_t entries = 0;
};

/// The value of a field of the end record, extended by the zip64 end record if there is one.
std::uint64_t extended(const std::string& where, const char* what, std::uint64_t value, std::uint64_t full,
                       std::optional<std::uint64_t> wide) {
  if (value == full) {
    require<InputError>(wide.has_value(), "{}: the end record refers to zip64 for the {}, but there is no zip64 locator", where,
                        what);
    return *wide;
  }
  require<InputError>(!wide || *wide == value, "{}: the {} is {} in the end record, {} in the zip64 end record", where, what,
                      value, wide.value_or(0));
  return value;
}

/// The position of the end record in the last bytes of the file.
std::optional<std::size_t> find_end_record(std::span<const std::uint8_t> tail) {
  for (std::size_t at = tail.size() - kEndBytes + 1; at-- > 0;) {
    const Fields fields(tail.subspan(at));
    if (fields.u32(0) == kEndRecord && fields.u16(20) == tail.size() - at - kEndBytes) return at;  // 20: size of the comment
  }
  return {};
}

/// Position and fields of the zip64 end record that the locator in front of `end` (position of the end record) refers to.
struct Zip64End {
  std::uint64_t position;
  std::array<std::uint8_t, kZip64EndBytes> bytes;
};

std::optional<Zip64End> find_zip64_end(const FileReader& file, const std::string& where, std::uint64_t end) {
  if (end < kZip64LocatorBytes) return {};
  std::array<std::uint8_t, kZip64LocatorBytes> bytes;
  file.read(end - bytes.size(), bytes);
  const Fields locator(bytes);
  if (locator.u32(0) != kZip64Locator) return {};
  require<InputError>(locator.u32(4) == 0 && locator.u32(16) == 1, "{}: the archive has {} parts, expected 1", where,
                      locator.u32(16));
  const std::uint64_t limit = end - kZip64LocatorBytes;  // position of the locator
  Zip64End found{.position = locator.u64(8), .bytes = {}};
  require<InputError>(limit >= kZip64EndBytes && found.position <= limit - kZip64EndBytes,
                      "{}: the zip64 end record is at byte {}, its locator at byte {}", where, found.position, limit);
  file.read(found.position, found.bytes);
  const Fields record(found.bytes);
  require<InputError>(record.u32(0) == kZip64EndRecord,
                      "{}: byte {} has signature {:08x}, expected a zip64 end record ({:08x})", where, found.position,
                      record.u32(0), kZip64EndRecord);
  require<InputError>(record.u64(4) == limit - found.position - 12, "{}: the zip64 end record has size {}, expected {}", where,
                      record.u64(4), limit - found.position - 12);
  return found;
}

Directory find_directory(const FileReader& file, const std::string& where) {
  require<InputError>(file.size() >= kEndBytes, "{}: the file has {} bytes, a ZIP archive has at least {}", where, file.size(),
                      kEndBytes);
  std::vector<std::uint8_t> tail(std::min<std::size_t>(file.size(), kEndBytes + kFull16));
  file.read(file.size() - tail.size(), tail);
  const auto at = find_end_record(tail);
  require<InputError>(at.has_value(),
                      "{}: no end record in the last {} of {} bytes: the file is truncated or not a ZIP archive", where,
                      tail.size(), file.size());
  const Fields end{std::span(tail).subspan(*at)};
  const std::uint64_t position = file.size() - tail.size() + *at;
  const auto zip64 = find_zip64_end(file, where, position);

  using Wide = std::optional<std::uint64_t>;
  const auto wide = [&](std::size_t field) { return zip64 ? Wide(Fields(zip64->bytes).u64(field)) : Wide(); };
  const auto wide_disk = [&](std::size_t field) { return zip64 ? Wide(Fields(zip64->bytes).u32(field)) : Wide(); };
  const std::uint64_t disks = extended(where, "number of this part", end.u16(4), kFull16, wide_disk(16)) |
                              extended(where, "part of the directory", end.u16(6), kFull16, wide_disk(20));
  const std::uint64_t here = extended(where, "number of entries in this part", end.u16(8), kFull16, wide(24));
  const Directory directory{.position = extended(where, "position of the directory", end.u32(16), kFull32, wide(48)),
                            .size = extended(where, "size of the directory", end.u32(12), kFull32, wide(40)),
                            .entries = extended(where, "number of entries", end.u16(10), kFull16, wide(32))};
  require<InputError>(disks == 0 && here == directory.entries,
                      "{}: the archive is split: this part has {} of {} entries, expected one part", where, here,
                      directory.entries);
  require<InputError>(directory.entries <= kMaxEntries, "{}: {} entries, the limit is {}", where, directory.entries,
                      kMaxEntries);
  require<InputError>(directory.size <= kMaxDirectory, "{}: the directory has {} bytes, the limit is {}", where, directory.size,
                      kMaxDirectory);
  const std::uint64_t directory_end = zip64 ? zip64->position : position;
  require<InputError>(directory.position <= directory_end && directory.size == directory_end - directory.position,
                      "{}: the directory of {} bytes is at byte {}, expected to end at byte {}", where, directory.size,
                      directory.position, directory_end);
  return directory;
}

/// The content of the zip64 field (id 1) of an entry's extra fields; empty if there is none.
std::span<const std::uint8_t> zip64_field(const std::string& where, std::span<const std::uint8_t> extra) {
  while (!extra.empty()) {
    require<InputError>(extra.size() >= 4, "{}: {} bytes follow the extra fields, a field has at least 4", where, extra.size());
    const Fields field(extra);
    const std::size_t size = field.u16(2);
    require<InputError>(size <= extra.size() - 4, "{}: an extra field has {} bytes, {} are left", where, size,
                        extra.size() - 4);
    if (field.u16(0) == 1) return extra.subspan(4, size);
    extra = extra.subspan(4 + size);
  }
  return {};
}

/// Reads the 64-bit values of a zip64 field in order, each only if the field that it extends is full.
class Zip64Values {
 public:
  Zip64Values(const std::string& where, std::span<const std::uint8_t> field) : where_(where), field_(field) {}

  std::uint64_t next(const char* what, std::uint32_t value) {
    if (value != kFull32) return value;
    require<InputError>(field_.size() >= 8, "{}: the {} is in a zip64 field, which has {} bytes left, expected 8", where_, what,
                        field_.size());
    const std::uint64_t wide = Fields(field_).u64(0);
    field_ = field_.subspan(8);
    return wide;
  }

 private:
  const std::string& where_;
  std::span<const std::uint8_t> field_;
};

bool is_printable(char c) { return c >= ' ' && c <= '~'; }

/// A name for a message: at most 64 characters, without control characters.
std::string shown(std::string name) {
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !is_printable(c); }, '?');
  return name.substr(0, 64);
}

std::string checked_name(const std::string& where, std::span<const std::uint8_t> bytes) {
  std::string name(bytes.begin(), bytes.end());
  const bool plain = !name.empty() && name.front() != '.' &&
                     std::all_of(name.begin(), name.end(), [](char c) { return is_printable(c) && c != '/' && c != '\\'; });
  require<InputError>(plain, "{}: the name is \"{}\", expected printable ASCII without slashes and without a leading dot",
                      where, shown(name));
  return name;
}

/// An entry of the directory, with the position of its local header and its flags.
struct Listed {
  ZipEntry entry;
  std::uint64_t header = 0;
  std::uint16_t flags = 0;
  std::size_t bytes = 0;  // in the directory
};

/// The first entry of `bytes`, the rest of the directory.
Listed parse_entry(const std::string& where, std::span<const std::uint8_t> bytes) {
  require<InputError>(bytes.size() >= kDirectoryBytes, "{}: {} bytes of the directory are left, expected at least {}", where,
                      bytes.size(), kDirectoryBytes);
  const Fields fields(bytes);
  require<InputError>(fields.u32(0) == kDirectoryHeader, "{}: signature {:08x}, expected {:08x}", where, fields.u32(0),
                      kDirectoryHeader);
  const std::size_t name_bytes = fields.u16(28), extra_bytes = fields.u16(30), comment_bytes = fields.u16(32);
  Listed listed{
      .entry = {}, .header = 0, .flags = fields.u16(8), .bytes = kDirectoryBytes + name_bytes + extra_bytes + comment_bytes};
  require<InputError>(listed.bytes <= bytes.size(), "{}: its header has {} bytes, {} are left in the directory", where,
                      listed.bytes, bytes.size());
  ZipEntry& entry = listed.entry;
  entry.name = checked_name(where, bytes.subspan(kDirectoryBytes, name_bytes));
  require<InputError>((listed.flags & kEncrypted) == 0, "{}: {} is encrypted (flags {:04x}), expected plain data", where,
                      entry.name, listed.flags);
  require<InputError>((listed.flags & ~kKnownFlags) == 0, "{}: {} has flags {:04x}, expected only bits of {:04x}", where,
                      entry.name, listed.flags, kKnownFlags);
  const std::uint16_t method = fields.u16(10);
  require<InputError>(method == 0 || method == 8, "{}: {} has method {}, expected 0 (stored) or 8 (deflated)", where,
                      entry.name, method);
  entry.deflated = method == 8;
  entry.crc32 = fields.u32(16);
  Zip64Values wide(where, zip64_field(where, bytes.subspan(kDirectoryBytes + name_bytes, extra_bytes)));
  entry.size = wide.next("size", fields.u32(24));
  entry.stored = wide.next("stored size", fields.u32(20));
  listed.header = wide.next("position", fields.u32(42));
  if (entry.deflated) {
    require<InputError>(entry.size / kMaxExpansion <= entry.stored,
                        "{}: {} has {} bytes deflated to {}, at most {} : 1 is possible", where, entry.name, entry.size,
                        entry.stored, kMaxExpansion);
  } else {
    require<InputError>(entry.size == entry.stored, "{}: {} is stored, but has {} bytes of which {} are stored", where,
                        entry.name, entry.size, entry.stored);
  }
  return listed;
}

/// Compares the local header of an entry with the directory, and sets the position of its data. `limit`: start of the
/// directory.
void check_local_header(const FileReader& file, const std::string& where, std::uint64_t limit, Listed& listed) {
  ZipEntry& entry = listed.entry;
  require<InputError>(listed.header <= limit && limit - listed.header >= kLocalBytes,
                      "{}: {} has its header at byte {}, expected at least {} bytes before the directory at byte {}", where,
                      entry.name, listed.header, kLocalBytes, limit);
  std::array<std::uint8_t, kLocalBytes> fixed;
  file.read(listed.header, fixed);
  const Fields fields(fixed);
  require<InputError>(fields.u32(0) == kLocalHeader, "{}: {} has signature {:08x} at byte {}, expected {:08x}", where,
                      entry.name, fields.u32(0), listed.header, kLocalHeader);
  const std::size_t name_bytes = fields.u16(26), extra_bytes = fields.u16(28);
  entry.position = listed.header + kLocalBytes + name_bytes + extra_bytes;
  require<InputError>(entry.position <= limit && entry.stored <= limit - entry.position,
                      "{}: {} has {} stored bytes at byte {}, but the directory starts at byte {}", where, entry.name,
                      entry.stored, entry.position, limit);

  std::vector<std::uint8_t> variable(name_bytes + extra_bytes);
  file.read(listed.header + kLocalBytes, variable);
  const std::span<const std::uint8_t> rest(variable);
  const std::string name(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(name_bytes));
  require<InputError>(name == entry.name, "{}: {} is called \"{}\" in its local header", where, entry.name, shown(name));
  const std::uint16_t method = entry.deflated ? 8 : 0;
  require<InputError>(fields.u16(6) == listed.flags && fields.u16(8) == method,
                      "{}: {} has flags {:04x} and method {} in its local header, {:04x} and {} in the directory", where,
                      entry.name, fields.u16(6), fields.u16(8), listed.flags, method);
  if ((listed.flags & kDescriptor) != 0) return;  // the header was written before sizes and checksum were known
  Zip64Values wide(where, zip64_field(where, rest.subspan(name_bytes)));
  const std::uint64_t size = wide.next("size in the local header", fields.u32(22));
  const std::uint64_t stored = wide.next("stored size in the local header", fields.u32(18));
  require<InputError>(size == entry.size && stored == entry.stored && fields.u32(14) == entry.crc32,
                      "{}: {} has size {}, stored size {} and CRC-32 {:08x} in its local header, {}, {} and {:08x} in the "
                      "directory",
                      where, entry.name, size, stored, fields.u32(14), entry.size, entry.stored, entry.crc32);
}

void check_overlaps(const std::string& where, std::vector<const Listed*> order) {
  std::sort(order.begin(), order.end(), [](const Listed* a, const Listed* b) { return a->header < b->header; });
  for (std::size_t i = 1; i < order.size(); ++i) {
    const std::uint64_t end = order[i - 1]->entry.position + order[i - 1]->entry.stored;
    require<InputError>(end <= order[i]->header, "{}: {} ends at byte {}, but {} starts at byte {}", where,
                        order[i - 1]->entry.name, end, order[i]->entry.name, order[i]->header);
  }
}

std::vector<ZipEntry> read_entries(const FileReader& file, const std::string& where) {
  const Directory directory = find_directory(file, where);
  std::vector<std::uint8_t> bytes(directory.size);
  file.read(directory.position, bytes);
  std::span<const std::uint8_t> rest(bytes);
  std::vector<Listed> listed;
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    listed.push_back(parse_entry(fmt::format("{}: entry {}", where, i + 1), rest));
    rest = rest.subspan(listed.back().bytes);
    check_local_header(file, where, directory.position, listed.back());
  }
  require<InputError>(rest.empty(), "{}: {} bytes of the directory follow its {} entries, expected 0", where, rest.size(),
                      directory.entries);

  std::vector<const Listed*> pointers;
  std::transform(listed.begin(), listed.end(), std::back_inserter(pointers), [](const Listed& one) { return &one; });
  check_overlaps(where, pointers);
  std::vector<ZipEntry> entries;
  for (Listed& one : listed) {
    const bool repeated =
        std::any_of(entries.begin(), entries.end(), [&](const ZipEntry& e) { return e.name == one.entry.name; });
    require<InputError>(!repeated, "{}: {} is listed more than once", where, one.entry.name);
    entries.push_back(std::move(one.entry));
  }
  return entries;
}

}  // namespace

ZipArchive::ZipArchive(const char* operation, std::filesystem::path path)
    : file_(operation, std::move(path)), where_(fmt::format("{}: {}", operation, file_.path().string())) {
  entries_ = read_entries(file_, where_);
}

const ZipEntry* ZipArchive::find(std::string_view name) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const ZipEntry& entry) { return entry.name == name; });
  return found == entries_.end() ? nullptr : &*found;
}

}  // namespace apam::data

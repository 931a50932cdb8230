#include "data/npy.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <numeric>
#include <optional>

#include "data/file_reader.h"
#include "data/little_endian.h"
#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

constexpr std::size_t kMaxNpyHeader = 10000;
constexpr std::size_t kMaxDimensions = 32;
constexpr std::uint64_t kMaxNpyFile = 64 << 20;
constexpr std::array<std::uint8_t, 6> kNpyMagic = {0x93, 'N', 'U', 'M', 'P', 'Y'};

struct Type {
  NpyType type;
  std::size_t bytes;
  std::string_view descr, name;
};

constexpr std::array kTypes = {
    Type{NpyType::uint8, 1, "|u1", "uint8"},     Type{NpyType::int32, 4, "<i4", "int32"},
    Type{NpyType::int64, 8, "<i8", "int64"},     Type{NpyType::float32, 4, "<f4", "float32"},
    Type{NpyType::float64, 8, "<f8", "float64"},
};
constexpr std::string_view kSupported = "|u1, <i4, <i8, <f4 or <f8";

const Type& properties(NpyType type) { return kTypes[static_cast<std::size_t>(type)]; }

/// `text` for a message: at most 40 characters, without control characters and trailing spaces.
std::string shown_text(std::string_view text) {
  text = text.substr(0, 40);
  std::string result(text.substr(0, text.find_last_not_of(' ') + 1));
  std::replace_if(
      result.begin(), result.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return result;
}

NpyType type_of(std::string_view name, std::string_view descr) {
  for (const Type& type : kTypes) {
    if (descr == type.descr) return type.type;
  }
  const auto kind = descr.find_first_not_of("|<>=");
  const bool objects = kind != descr.npos && descr[kind] == 'O';
  require<InputError>(!objects, "{}: dtype '{}' is Python objects (pickled), expected {}", name, shown_text(descr), kSupported);
  require<InputError>(!descr.starts_with('>'), "{}: dtype '{}' is big-endian, expected {}", name, shown_text(descr),
                      kSupported);
  fail<InputError>("{}: dtype '{}' is not supported, expected {}", name, shown_text(descr), kSupported);
}

/// Parses the header's dictionary. The grammar is the part of Python's that NumPy writes.
class Literal {
 public:
  Literal(std::string_view name, std::string_view text, bool long_suffix)
      : name_(name), text_(text), long_suffix_(long_suffix) {}

  NpyHeader parse() {
    std::optional<NpyType> type;
    std::optional<std::vector<std::int64_t>> shape;
    std::optional<bool> fortran;
    expect('{');
    while (peek() != '}') {
      const std::string_view key = quoted();
      expect(':');
      if (key == "descr" && !type) {
        require<InputError>(peek() != '[', "{}: dtype is structured, expected {}", name_, kSupported);
        type = type_of(name_, quoted());
      } else if (key == "fortran_order" && !fortran) {
        fortran = boolean();
      } else if (key == "shape" && !shape) {
        shape = tuple();
      } else {
        fail<InputError>("{}: header has key '{}' {}, expected descr, fortran_order and shape once each", name_,
                         shown_text(key), key == "descr" || key == "fortran_order" || key == "shape" ? "twice" : "in addition");
      }
      if (peek() != '}') expect(',');
    }
    expect('}');
    require<InputError>(type && fortran && shape, "{}: header has no {}, expected descr, fortran_order and shape", name_,
                        !type      ? "descr"
                        : !fortran ? "fortran_order"
                                   : "shape");
    require<InputError>(!*fortran, "{}: fortran_order is True, expected False: save a C-contiguous copy", name_);
    require<InputError>(text_.substr(at_).find_first_not_of(' ') == text_.size() - at_ - 1 && text_.back() == '\n',
                        "{}: after the dictionary, the header has \"{}\", expected spaces and a line feed", name_,
                        shown_text(text_.substr(at_)));
    return {.type = *type, .shape = std::move(*shape), .bytes = 0};
  }

 private:
  /// The next character that is not a space; NUL at the end.
  char peek() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  [[noreturn]] void unexpected(std::string_view expected) {
    fail<InputError>("{}: header has \"{}\" at its byte {}, expected {}", name_, shown_text(text_.substr(at_)), at_, expected);
  }

  void expect(char c) {
    if (peek() != c) unexpected(fmt::format("'{}'", c));
    ++at_;
  }

  std::string_view quoted() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') unexpected("a string");
    const std::size_t end = text_.find(quote, at_ + 1);
    const std::string_view value = text_.substr(at_ + 1, end == text_.npos ? text_.npos : end - at_ - 1);
    if (end == text_.npos || value.find('\\') != value.npos) unexpected("a string without escapes");
    at_ = end + 1;
    return value;
  }

  bool boolean() {
    peek();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    }
    unexpected("True or False");
  }

  std::int64_t integer() {
    constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
    peek();
    const std::size_t first = at_;
    std::int64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      const std::int64_t digit = text_[at_] - '0';
      require<InputError>(value <= (kMax - digit) / 10, "{}: shape has the size {}, the limit is {}", name_,
                          shown_text(text_.substr(first, text_.find_first_not_of("0123456789", first) - first)), kMax);
      value = 10 * value + digit;
    }
    if (at_ == first) unexpected("a size");
    if (long_suffix_ && at_ < text_.size() && text_[at_] == 'L') ++at_;
    return value;
  }

  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> values;
    expect('(');
    while (peek() != ')') {
      require<InputError>(values.size() < kMaxDimensions, "{}: shape has more than {} dimensions", name_, kMaxDimensions);
      values.push_back(integer());
      if (values.size() == 1 || peek() != ')') expect(',');  // (3) would be a number
    }
    expect(')');
    return values;
  }

  std::string_view name_, text_;
  std::size_t at_ = 0;
  bool long_suffix_;  // Python 2 wrote sizes as 3L
};

/// The bytes of the values. Throws InputError if they exceed 64 bits.
std::uint64_t bytes_of_values(std::string_view name, const NpyHeader& header) {
  std::uint64_t bytes = size_of(header.type);
  if (std::find(header.shape.begin(), header.shape.end(), 0) != header.shape.end()) return 0;
  for (const std::int64_t size : header.shape) {
    const auto factor = static_cast<std::uint64_t>(size);
    require<InputError>(bytes <= std::numeric_limits<std::uint64_t>::max() / factor, "{}: {} exceeds 2^64 bytes", name,
                        to_string(header));
    bytes *= factor;
  }
  return bytes;
}

}  // namespace

std::size_t size_of(NpyType type) { return properties(type).bytes; }

std::string_view to_string(NpyType type) { return properties(type).name; }

std::uint64_t NpyHeader::count() const {
  return std::accumulate(shape.begin(), shape.end(), std::uint64_t{1},
                         [](std::uint64_t count, std::int64_t size) { return count * static_cast<std::uint64_t>(size); });
}

std::string to_string(const NpyHeader& header) {
  return fmt::format("{} ({}{})", to_string(header.type), fmt::join(header.shape, ", "), header.shape.size() == 1 ? "," : "");
}

NpyHeader read_npy_header(std::string_view name, std::uint64_t size, const ReadBytes& read) {
  std::array<std::uint8_t, 12> start;  // magic, version, size of the header
  const auto begins = [&](std::size_t bytes) {
    require<InputError>(size >= bytes, "{}: {} bytes, a .npy file starts with at least {}", name, size, bytes);
  };
  begins(10);
  read(std::span(start).first(10));
  require<InputError>(std::equal(kNpyMagic.begin(), kNpyMagic.end(), start.begin()),
                      "{}: the first bytes are {:02x}, expected {:02x} (\\x93NUMPY)", name,
                      fmt::join(std::span(start).first(kNpyMagic.size()), " "), fmt::join(kNpyMagic, " "));
  const int major = start[6], minor = start[7];
  require<InputError>(major >= 1 && major <= 3 && minor == 0, "{}: format version {}.{}, expected 1.0, 2.0 or 3.0", name, major,
                      minor);
  std::size_t prefix = 10, header_bytes = little_endian<std::uint16_t>(&start[8]);
  if (major > 1) {
    prefix = 12;
    begins(prefix);
    read(std::span(start).subspan(10, 2));
    header_bytes = little_endian<std::uint32_t>(&start[8]);
  }
  require<InputError>(header_bytes <= kMaxNpyHeader, "{}: the header has {} bytes, the limit is {}", name, header_bytes,
                      kMaxNpyHeader);
  require<InputError>(header_bytes <= size - prefix, "{}: the header has {} bytes, {} are left", name, header_bytes,
                      size - prefix);
  std::vector<std::uint8_t> text(header_bytes);
  read(text);
  NpyHeader header =
      Literal(name, std::string_view(reinterpret_cast<const char*>(text.data()), text.size()), major < 3).parse();
  header.bytes = prefix + header_bytes;
  const std::uint64_t expected = bytes_of_values(name, header), found = size - header.bytes;
  require<InputError>(found == expected, "{}: {} bytes of values, {} has {}", name, found, to_string(header), expected);
  return header;
}

std::int64_t npy_integer(NpyType type, const std::uint8_t* bytes) {
  switch (type) {
    case NpyType::int32:
      return std::bit_cast<std::int32_t>(little_endian<std::uint32_t>(bytes));
    case NpyType::int64:
      return std::bit_cast<std::int64_t>(little_endian<std::uint64_t>(bytes));
    default:
      return *bytes;
  }
}

double Npy::number(std::size_t index) const {
  const std::uint8_t* bytes = values.data() + index * size_of(header.type);
  switch (header.type) {
    case NpyType::float32:
      return std::bit_cast<float>(little_endian<std::uint32_t>(bytes));
    case NpyType::float64:
      return std::bit_cast<double>(little_endian<std::uint64_t>(bytes));
    default:
      return static_cast<double>(npy_integer(header.type, bytes));
  }
}

Npy read_npy(std::string_view name, std::span<const std::uint8_t> file) {
  std::span<const std::uint8_t> rest = file;
  NpyHeader header = read_npy_header(name, file.size(), [&](std::span<std::uint8_t> bytes) {
    std::copy_n(rest.begin(), bytes.size(), bytes.begin());
    rest = rest.subspan(bytes.size());
  });
  return {.header = std::move(header), .values = {rest.begin(), rest.end()}};
}

Npy read_npy(const std::filesystem::path& path) {
  const FileReader file("npy", path);
  require<InputError>(file.size() <= kMaxNpyFile, "npy: {} has {} bytes, the limit is {}", path.string(), file.size(),
                      kMaxNpyFile);
  std::vector<std::uint8_t> bytes(file.size());
  file.read(0, bytes);
  return read_npy(fmt::format("npy: {}", path.string()), bytes);
}

}  // namespace apam::data

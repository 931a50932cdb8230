#include "nets/safetensors.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "kernels/runtime/allocating.h"
#include "kernels/runtime/atomic_file.h"
#include "kernels/runtime/error.h"

namespace apam::nets {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "the format is little-endian, and bytes are not swapped");

constexpr std::size_t kLengthBytes = 8;               // size of the header's size
constexpr std::size_t kMaxHeaderBytes = 100'000'000;  // from the specification
constexpr std::size_t kDataAlignment = 8;             // of the data in written files
constexpr std::string_view kMetadata = "__metadata__";
constexpr int kMaxDepth = 2;  // { name: { shape: [ ... ] } }

struct DType {
  std::string_view name;
  std::size_t bytes;
};
constexpr std::array<DType, 15> kDTypes{{{"BOOL", 1},
                                         {"U8", 1},
                                         {"I8", 1},
                                         {"F8_E5M2", 1},
                                         {"F8_E4M3", 1},
                                         {"I16", 2},
                                         {"U16", 2},
                                         {"F16", 2},
                                         {"BF16", 2},
                                         {"I32", 4},
                                         {"U32", 4},
                                         {"F32", 4},
                                         {"I64", 8},
                                         {"U64", 8},
                                         {"F64", 8}}};

/// The size of an element; nullopt for an unknown dtype.
std::optional<std::size_t> element_bytes(std::string_view dtype) {
  const auto found = std::find_if(kDTypes.begin(), kDTypes.end(), [&](const DType& known) { return known.name == dtype; });
  if (found == kDTypes.end()) return std::nullopt;
  return found->bytes;
}

/// The size of a tensor; nullopt if it does not fit in 64 bits.
std::optional<std::uint64_t> tensor_bytes(std::span<const std::int64_t> shape, std::size_t element) {
  std::uint64_t bytes = element;
  for (const auto extent : shape) {
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes)) return std::nullopt;
  }
  return bytes;
}

/// A tensor's entry in the header.
struct Entry {
  NamedTensor tensor;
  std::uint64_t begin = 0, end = 0;  // data_offsets
};

/// Parses and validates the header of a file. Errors start with the file name.
class HeaderReader {
 public:
  HeaderReader(const std::filesystem::path& path, std::uint64_t data_bytes) : path_(path), data_bytes_(data_bytes) {}

  struct Header {
    std::vector<Entry> tensors;  // in order of data_offsets
    std::map<std::string, std::string> metadata;
  };
  Header read(const std::string& text) const;

  template <class... Args>
  void check(bool condition, fmt::format_string<Args...> format, Args&&... args) const {
    if (condition) return;
    fail<InputError>("safetensors: {}: {}", path_.string(), fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  json parse(const std::string& text) const;
  std::map<std::string, std::string> metadata(const json& value) const;
  Entry tensor(const std::string& name, const json& value) const;
  std::uint64_t non_negative(const std::string& name, std::string_view field, const json& value) const;
  void check_contiguous(const std::vector<Entry>& tensors) const;

  const std::filesystem::path& path_;
  std::uint64_t data_bytes_;
};

HeaderReader::Header HeaderReader::read(const std::string& text) const {
  check(text.starts_with('{'), "the header must start with '{{', found {}", quote_name(std::string_view(text).substr(0, 1)));
  const json parsed = parse(text);
  Header header;
  for (const auto& [name, value] : parsed.items()) {
    if (name == kMetadata) {
      header.metadata = metadata(value);
    } else {
      header.tensors.push_back(tensor(name, value));
    }
  }
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  check_contiguous(header.tensors);
  return header;
}

/// Parses JSON; rejects duplicate keys and nesting deeper than the format's.
json HeaderReader::parse(const std::string& text) const {
  std::array<std::set<std::string>, kMaxDepth + 1> keys;  // of the open objects, by depth
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start) {
      check(depth <= kMaxDepth, "the header is nested deeper than {} levels", kMaxDepth + 1);
      if (depth < kMaxDepth) keys.at(static_cast<std::size_t>(depth) + 1).clear();
    } else if (event == json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      check(keys.at(static_cast<std::size_t>(std::min(depth, kMaxDepth))).insert(key).second, "duplicate name {}",
            quote_name(key));
    }
    return true;
  };
  try {
    return json::parse(text, watch);
  } catch (const json::exception& error) {
    const auto* syntax = dynamic_cast<const json::parse_error*>(&error);
    check(false, "the header of {} bytes is invalid JSON at byte {}", text.size(), syntax != nullptr ? syntax->byte : 0);
    throw;
  }
}

std::map<std::string, std::string> HeaderReader::metadata(const json& value) const {
  check(value.is_object(), "{} must be an object, found {}", kMetadata, value.type_name());
  std::map<std::string, std::string> texts;
  for (const auto& [key, text] : value.items()) {
    check(text.is_string(), "{} {} must be a string, found {}", kMetadata, quote_name(key), text.type_name());
    texts[key] = text.get<std::string>();
  }
  return texts;
}

std::uint64_t HeaderReader::non_negative(const std::string& name, std::string_view field, const json& value) const {
  check(value.is_number_unsigned(), "tensor {}: {} must contain integers >= 0, found {}", quote_name(name), field,
        value.dump());
  const auto number = value.get<std::uint64_t>();
  constexpr auto max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  check(number <= max, "tensor {}: {} contains {}, expected at most {}", quote_name(name), field, number, max);
  return number;
}

Entry HeaderReader::tensor(const std::string& name, const json& value) const {
  check(value.is_object(), "tensor {} must be an object, found {}", quote_name(name), value.type_name());
  for (const auto& [field, unused] : value.items()) {
    check(field == "dtype" || field == "shape" || field == "data_offsets",
          "tensor {}: expected the fields dtype, shape and data_offsets, found {}", quote_name(name), quote_name(field));
  }
  check(value.size() == 3, "tensor {}: expected the 3 fields dtype, shape and data_offsets, found {}", quote_name(name),
        value.size());
  const json& dtype = value["dtype"];
  const json& shape = value["shape"];
  const json& offsets = value["data_offsets"];
  check(dtype.is_string(), "tensor {}: dtype must be a string, found {}", quote_name(name), dtype.type_name());
  check(shape.is_array(), "tensor {}: shape must be an array, found {}", quote_name(name), shape.type_name());
  check(offsets.is_array() && offsets.size() == 2, "tensor {}: data_offsets must have 2 elements, found {} in {}",
        quote_name(name), offsets.size(), offsets.type_name());

  Entry entry{.tensor = {name, dtype.get<std::string>(), {}, {}}};
  for (const auto& extent : shape) {
    entry.tensor.shape.push_back(static_cast<std::int64_t>(non_negative(name, "shape", extent)));
  }
  entry.begin = non_negative(name, "data_offsets", offsets[0]);
  entry.end = non_negative(name, "data_offsets", offsets[1]);
  const auto element = element_bytes(entry.tensor.dtype);
  check(element.has_value(), "tensor {}: unknown dtype {}, expected one of {}", quote_name(name),
        quote_name(entry.tensor.dtype), "BOOL, U8 to U64, I8 to I64, F8_E5M2, F8_E4M3, F16, BF16, F32, F64");
  check(entry.begin <= entry.end, "tensor {}: data_offsets begin at {} but end at {}", quote_name(name), entry.begin,
        entry.end);
  check(entry.end <= data_bytes_, "tensor {}: data_offsets end at {}, the file has {} bytes of data", quote_name(name),
        entry.end, data_bytes_);
  const auto bytes = tensor_bytes(entry.tensor.shape, *element);
  check(bytes.has_value(), "tensor {}: the size of shape {} of {} does not fit in 64 bits", quote_name(name),
        describe_shape(entry.tensor.shape), entry.tensor.dtype);
  check(*bytes == entry.end - entry.begin, "tensor {}: shape {} of {} has {} bytes, data_offsets span {}", quote_name(name),
        describe_shape(entry.tensor.shape), entry.tensor.dtype, *bytes, entry.end - entry.begin);
  return entry;
}

/// The tensors must cover the data without gaps or overlaps.
void HeaderReader::check_contiguous(const std::vector<Entry>& tensors) const {
  std::uint64_t end = 0;
  for (const auto& next : tensors) {
    check(next.begin >= end, "tensor {} begins at byte {}, overlapping one that ends at {}", quote_name(next.tensor.name),
          next.begin, end);
    check(next.begin == end, "tensor {} begins at byte {}, after a gap from byte {}", quote_name(next.tensor.name), next.begin,
          end);
    end = next.end;
  }
  check(end == data_bytes_, "the tensors end at byte {} of the data, the file has {}: {} extra", end, data_bytes_,
        data_bytes_ - end);
}

/// The header of a file to write, and the order of its data.
struct FileLayout {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  std::vector<std::size_t> order;  // indices of tensors, in order of data_offsets
};

/// Sorts the data by decreasing element size, which aligns each tensor.
FileLayout lay_out(const std::filesystem::path& path, std::span<const NamedTensor> tensors) {
  FileLayout result;
  std::vector<std::size_t> elements;
  for (const auto& tensor : tensors) {
    const auto element = element_bytes(tensor.dtype);
    require<InputError>(element.has_value(), "safetensors: {}: tensor {} has unknown dtype {}", path.string(),
                        quote_name(tensor.name), quote_name(tensor.dtype));
    const auto bytes = tensor_bytes(tensor.shape, *element);
    require<InputError>(bytes == tensor.bytes.size(), "safetensors: {}: tensor {}: shape {} of {} does not match {} bytes",
                        path.string(), quote_name(tensor.name), describe_shape(tensor.shape), tensor.dtype,
                        tensor.bytes.size());
    require<InputError>(tensor.name != kMetadata && !result.header.contains(tensor.name), "safetensors: {}: duplicate name {}",
                        path.string(), quote_name(tensor.name));
    result.header[tensor.name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}};
    result.order.push_back(result.order.size());
    elements.push_back(*element);
  }
  std::stable_sort(result.order.begin(), result.order.end(),
                   [&](std::size_t a, std::size_t b) { return elements[a] > elements[b]; });
  std::size_t offset = 0;
  for (const auto i : result.order) {
    result.header[tensors[i].name]["data_offsets"] = {offset, offset + tensors[i].bytes.size()};
    offset += tensors[i].bytes.size();
  }
  return result;
}

}  // namespace

Safetensors Safetensors::read(const std::filesystem::path& path) {
  std::error_code error;
  const auto kind = std::filesystem::status(path, error).type();
  require<InputError>(kind != std::filesystem::file_type::not_found, "safetensors: {}: the file does not exist", path.string());
  require<InputError>(kind == std::filesystem::file_type::regular, "safetensors: {}: not a regular file", path.string());
  std::ifstream file(path, std::ios::binary);
  const std::uint64_t size = std::filesystem::file_size(path, error);
  require<InputError>(file.is_open() && !error, "safetensors: {}: the file cannot be opened", path.string());
  require<InputError>(size >= kLengthBytes, "safetensors: {}: the file has {} bytes, expected at least {}", path.string(), size,
                      kLengthBytes);
  std::uint64_t header_bytes = 0;
  file.read(reinterpret_cast<char*>(&header_bytes), kLengthBytes);
  require<InputError>(header_bytes <= kMaxHeaderBytes, "safetensors: {}: the header claims {} bytes, expected at most {}",
                      path.string(), header_bytes, kMaxHeaderBytes);
  require<InputError>(header_bytes <= size - kLengthBytes, "safetensors: {}: the header claims {} bytes, the file has {} left",
                      path.string(), header_bytes, size - kLengthBytes);
  std::string text(header_bytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));

  Safetensors result;
  result.path_ = path;
  const std::uint64_t data_bytes = size - kLengthBytes - header_bytes;
  auto header = HeaderReader(path, data_bytes).read(text);
  result.content_ = allocating([&] { return std::vector<std::byte>(data_bytes); },
                               "safetensors: {}: not enough memory for {} bytes of data", path.string(), data_bytes);
  file.read(reinterpret_cast<char*>(result.content_.data()), static_cast<std::streamsize>(data_bytes));
  require<InputError>(file.good() && file.peek() == std::ifstream::traits_type::eof(),
                      "safetensors: {}: the file changed while being read", path.string());
  for (auto& entry : header.tensors) {
    entry.tensor.bytes = std::span(result.content_).subspan(entry.begin, entry.end - entry.begin);
    result.tensors_.push_back(std::move(entry.tensor));
  }
  result.metadata_ = std::move(header.metadata);
  return result;
}

const NamedTensor* Safetensors::find(std::string_view name) const {
  const auto found = std::find_if(tensors_.begin(), tensors_.end(), [&](const NamedTensor& t) { return t.name == name; });
  return found == tensors_.end() ? nullptr : &*found;
}

void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  auto [header, order] = lay_out(path, tensors);
  if (!metadata.empty()) header[std::string(kMetadata)] = metadata;
  std::string text = header.dump();
  text.append((kDataAlignment - text.size() % kDataAlignment) % kDataAlignment, ' ');
  const std::uint64_t length = text.size();

  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(std::as_bytes(std::span(text)));
  for (const auto i : order) file.write(tensors[i].bytes);
  file.commit();
}

std::string describe_shape(std::span<const std::int64_t> shape) { return fmt::format("({})", fmt::join(shape, ", ")); }

std::string quote_name(std::string_view name) {
  constexpr std::size_t kMaxLength = 80;
  const std::string shown(name.size() > kMaxLength ? std::string(name.substr(0, kMaxLength)) + "..." : std::string(name));
  return json(shown).dump(-1, ' ', true, json::error_handler_t::replace);
}

}  // namespace apam::nets

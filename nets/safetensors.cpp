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

static_assert(std::endian::native == std::endian::little, "the format is little-endian, and so is this reader");

constexpr std::size_t kLengthBytes = 8;           // the header's size stands before it
constexpr std::size_t kMostHeader = 100'000'000;  // the format's own limit
constexpr std::size_t kDataAlignment = 8;         // of the first byte of data in a file that we write
constexpr std::string_view kMetadata = "__metadata__";
constexpr int kDeepest = 2;  // { name: { shape: [ ... ] } }

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

/// The size of an element; none for a dtype that the format does not have.
std::optional<std::size_t> element_bytes(std::string_view dtype) {
  const auto found = std::find_if(kDTypes.begin(), kDTypes.end(), [&](const DType& known) { return known.name == dtype; });
  if (found == kDTypes.end()) return std::nullopt;
  return found->bytes;
}

/// The bytes of a tensor; none when they do not fit into 64 bits.
std::optional<std::uint64_t> tensor_bytes(std::span<const std::int64_t> shape, std::size_t element) {
  std::uint64_t bytes = element;
  for (const auto extent : shape) {
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes)) return std::nullopt;
  }
  return bytes;
}

/// A tensor as the header announces it.
struct Announced {
  NamedTensor tensor;
  std::uint64_t begin = 0, end = 0;  // of its bytes, counted from the start of the data
};

/// Reads one file's header. Every error starts with the file's name.
class HeaderReader {
 public:
  HeaderReader(const std::filesystem::path& path, std::uint64_t data_bytes) : path_(path), data_bytes_(data_bytes) {}

  struct Header {
    std::vector<Announced> tensors;  // in the order of their bytes
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
  Announced tensor(const std::string& name, const json& value) const;
  std::uint64_t natural(const std::string& name, std::string_view field, const json& value) const;
  void check_places(const std::vector<Announced>& tensors) const;

  const std::filesystem::path& path_;
  std::uint64_t data_bytes_;
};

HeaderReader::Header HeaderReader::read(const std::string& text) const {
  check(text.starts_with('{'), "the header must start with '{{', found {}", in_quotes(std::string_view(text).substr(0, 1)));
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
            [](const Announced& a, const Announced& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  check_places(header.tensors);
  return header;
}

/// JSON in which no object names a field twice and nothing is nested deeper than the format needs.
json HeaderReader::parse(const std::string& text) const {
  std::array<std::set<std::string>, kDeepest + 1> keys;  // of the objects that are open, by depth
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start) {
      check(depth <= kDeepest, "the header is nested deeper than the format's {} levels", kDeepest + 1);
      if (depth < kDeepest) keys.at(static_cast<std::size_t>(depth) + 1).clear();
    } else if (event == json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      check(keys.at(static_cast<std::size_t>(std::min(depth, kDeepest))).insert(key).second, "the name {} comes twice",
            in_quotes(key));
    }
    return true;
  };
  try {
    return json::parse(text, watch);
  } catch (const json::exception& error) {
    const auto* syntax = dynamic_cast<const json::parse_error*>(&error);
    check(false, "the header of {} bytes is not JSON, from byte {} on", text.size(), syntax != nullptr ? syntax->byte : 0);
    throw;
  }
}

std::map<std::string, std::string> HeaderReader::metadata(const json& value) const {
  check(value.is_object(), "{} must be an object, found {}", kMetadata, value.type_name());
  std::map<std::string, std::string> texts;
  for (const auto& [key, text] : value.items()) {
    check(text.is_string(), "{} {} must be a text, found {}", kMetadata, in_quotes(key), text.type_name());
    texts[key] = text.get<std::string>();
  }
  return texts;
}

std::uint64_t HeaderReader::natural(const std::string& name, std::string_view field, const json& value) const {
  check(value.is_number_unsigned(), "tensor {}: {} must hold numbers from 0 on, found {}", in_quotes(name), field,
        value.dump());
  const auto number = value.get<std::uint64_t>();
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  check(number <= most, "tensor {}: {} holds {}, at most {} is possible", in_quotes(name), field, number, most);
  return number;
}

Announced HeaderReader::tensor(const std::string& name, const json& value) const {
  check(value.is_object(), "tensor {} must be described by an object, found {}", in_quotes(name), value.type_name());
  for (const auto& [field, unused] : value.items()) {
    check(field == "dtype" || field == "shape" || field == "data_offsets",
          "tensor {}: expected the fields dtype, shape and data_offsets, found {}", in_quotes(name), in_quotes(field));
  }
  check(value.size() == 3, "tensor {}: the 3 fields dtype, shape and data_offsets are needed, found {}", in_quotes(name),
        value.size());
  const json& dtype = value["dtype"];
  const json& shape = value["shape"];
  const json& offsets = value["data_offsets"];
  check(dtype.is_string(), "tensor {}: dtype must be a text, found {}", in_quotes(name), dtype.type_name());
  check(shape.is_array(), "tensor {}: shape must be an array, found {}", in_quotes(name), shape.type_name());
  check(offsets.is_array() && offsets.size() == 2, "tensor {}: data_offsets must be 2 numbers, found {} of type {}",
        in_quotes(name), offsets.size(), offsets.type_name());

  Announced announced{.tensor = {name, dtype.get<std::string>(), {}, {}}};
  for (const auto& extent : shape) {
    announced.tensor.shape.push_back(static_cast<std::int64_t>(natural(name, "shape", extent)));
  }
  announced.begin = natural(name, "data_offsets", offsets[0]);
  announced.end = natural(name, "data_offsets", offsets[1]);
  const auto element = element_bytes(announced.tensor.dtype);
  check(element.has_value(), "tensor {}: the dtype {} is unknown; known: {}", in_quotes(name),
        in_quotes(announced.tensor.dtype), "BOOL, U8 to U64, I8 to I64, F8_E5M2, F8_E4M3, F16, BF16, F32, F64");
  check(announced.begin <= announced.end, "tensor {}: its bytes begin at {} and end at {}", in_quotes(name), announced.begin,
        announced.end);
  check(announced.end <= data_bytes_, "tensor {}: its bytes end at {}, the file has {} bytes of data", in_quotes(name),
        announced.end, data_bytes_);
  const auto bytes = tensor_bytes(announced.tensor.shape, *element);
  check(bytes.has_value(), "tensor {}: shape {} of {} has more bytes than 64 bits can count", in_quotes(name),
        describe_shape(announced.tensor.shape), announced.tensor.dtype);
  check(*bytes == announced.end - announced.begin, "tensor {}: shape {} of {} takes {} bytes, its offsets span {}",
        in_quotes(name), describe_shape(announced.tensor.shape), announced.tensor.dtype, *bytes,
        announced.end - announced.begin);
  return announced;
}

/// Bytes must follow one another, from the first of the data to the last.
void HeaderReader::check_places(const std::vector<Announced>& tensors) const {
  std::uint64_t end = 0;
  for (const auto& next : tensors) {
    check(next.begin >= end, "tensor {} begins at byte {}, inside another that ends at {}", in_quotes(next.tensor.name),
          next.begin, end);
    check(next.begin == end, "tensor {} begins at byte {}, but the data before it end at {}: a hole",
          in_quotes(next.tensor.name), next.begin, end);
    end = next.end;
  }
  check(end == data_bytes_, "the tensors end at byte {} of the data, the file has {}: {} bytes too many", end, data_bytes_,
        data_bytes_ - end);
}

/// The JSON of a header in the given order, and each tensor's place in the data.
struct Plan {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  std::vector<std::size_t> order;  // of the tensors' bytes
};

/// Bytes are laid out by falling size of the elements, so that each tensor is aligned when the data are.
Plan plan(const std::filesystem::path& path, std::span<const NamedTensor> tensors) {
  Plan result;
  std::vector<std::size_t> elements;
  for (const auto& tensor : tensors) {
    const auto element = element_bytes(tensor.dtype);
    require<InputError>(element.has_value(), "safetensors: {}: tensor {} has the unknown dtype {}", path.string(),
                        in_quotes(tensor.name), in_quotes(tensor.dtype));
    const auto bytes = tensor_bytes(tensor.shape, *element);
    require<InputError>(bytes == tensor.bytes.size(), "safetensors: {}: tensor {}: shape {} of {} does not take {} bytes",
                        path.string(), in_quotes(tensor.name), describe_shape(tensor.shape), tensor.dtype, tensor.bytes.size());
    require<InputError>(tensor.name != kMetadata && !result.header.contains(tensor.name),
                        "safetensors: {}: the name {} comes twice", path.string(), in_quotes(tensor.name));
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
  require<InputError>(kind != std::filesystem::file_type::not_found, "safetensors: {}: there is no such file", path.string());
  require<InputError>(kind == std::filesystem::file_type::regular, "safetensors: {}: expected a file, found something else",
                      path.string());
  std::ifstream file(path, std::ios::binary);
  const std::uint64_t size = std::filesystem::file_size(path, error);
  require<InputError>(file.is_open() && !error, "safetensors: {}: the file cannot be opened", path.string());
  require<InputError>(size >= kLengthBytes, "safetensors: {}: the file has {} bytes, the header's size alone takes {}",
                      path.string(), size, kLengthBytes);
  std::uint64_t header_bytes = 0;
  file.read(reinterpret_cast<char*>(&header_bytes), kLengthBytes);
  require<InputError>(header_bytes <= kMostHeader, "safetensors: {}: the header claims {} bytes, at most {} are allowed",
                      path.string(), header_bytes, kMostHeader);
  require<InputError>(header_bytes <= size - kLengthBytes, "safetensors: {}: the header claims {} bytes, the file has {} left",
                      path.string(), header_bytes, size - kLengthBytes);
  std::string text(header_bytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));

  Safetensors result;
  result.path_ = path;
  const std::uint64_t data_bytes = size - kLengthBytes - header_bytes;
  auto header = HeaderReader(path, data_bytes).read(text);
  result.content_ =
      allocating([&] { return std::vector<std::byte>(data_bytes); },
                 "safetensors: {}: its {} bytes of data do not fit into the memory that is left", path.string(), data_bytes);
  file.read(reinterpret_cast<char*>(result.content_.data()), static_cast<std::streamsize>(data_bytes));
  require<InputError>(file.good() && file.peek() == std::ifstream::traits_type::eof(),
                      "safetensors: {}: the file changed while it was read", path.string());
  for (auto& announced : header.tensors) {
    announced.tensor.bytes = std::span(result.content_).subspan(announced.begin, announced.end - announced.begin);
    result.tensors_.push_back(std::move(announced.tensor));
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
  auto [header, order] = plan(path, tensors);
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

std::string in_quotes(std::string_view name) {
  constexpr std::size_t kLongest = 80;
  const std::string shown(name.size() > kLongest ? std::string(name.substr(0, kLongest)) + "..." : std::string(name));
  return json(shown).dump(-1, ' ', true, json::error_handler_t::replace);
}

}  // namespace apam::nets

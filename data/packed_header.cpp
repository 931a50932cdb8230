#include "data/packed_header.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "kernels/runtime/error.h"
#include "kernels/runtime/sha256.h"

namespace apam::data {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian, and bytes are not swapped");

using OrderedJson = nlohmann::ordered_json;

constexpr std::string_view kPackedMagic{
    "\x89"
    "APAMPK\n",
    8};
constexpr std::uint32_t kPackedVersion = 1;
constexpr std::size_t kHashDigits = 64;
constexpr std::size_t kPrefix = kPackedMagic.size() + 2 * sizeof(std::uint32_t) + kHashDigits;
constexpr std::uint64_t kMaxPackedHeader = 16U << 20U, kRoomForNotes = 16U << 10U;
constexpr std::size_t kMaxParts = 16, kMaxClasses = 1U << 16U, kMaxText = 4096;
constexpr std::int64_t kMaxExtent = 1U << 14U;
constexpr std::uint64_t kMaxValues = 1U << 24U;                                      // per image
constexpr std::int64_t kMaxPackedImages = std::numeric_limits<std::int32_t>::max();  // limit of shuffled()
constexpr int kMaxHeaderDepth = 4;                                                   // { parts: [ { labels: { ... } } ] }

std::uint64_t aligned(std::uint64_t offset) { return (offset + kPackedAlignment - 1) / kPackedAlignment * kPackedAlignment; }

bool is_name(std::string_view text) {
  const auto valid = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; };
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), valid);
}

bool is_control(char letter) { return (letter >= 0 && letter < 0x20) || letter == 0x7f; }

std::string plain(std::string text) {
  std::replace_if(text.begin(), text.end(), is_control, '?');
  return text;
}

/// Throws InputError unless counts are within the limits. These keep the size of the file within 63 bits.
void check_limits(const PackedHeader& header, const std::string& file) {
  const ImageShape shape = header.shape;
  const auto extent = [](int value) { return value >= 1 && value <= kMaxExtent; };
  require<InputError>(extent(shape.height) && extent(shape.width) && extent(shape.channels) && shape.count() <= kMaxValues,
                      "packed: {}: images of {}, expected at least 1x1x1 and at most {} values", file, to_string(shape),
                      kMaxValues);
  require<InputError>(!header.class_names.empty() && header.class_names.size() <= kMaxClasses,
                      "packed: {}: {} classes, expected 1 to {}", file, header.class_names.size(), kMaxClasses);
  require<InputError>(!header.parts.empty() && header.parts.size() <= kMaxParts, "packed: {}: {} parts, expected 1 to {}", file,
                      header.parts.size(), kMaxParts);
  for (const PackedPart& part : header.parts) {
    require<InputError>(part.images >= 1 && part.images <= kMaxPackedImages,
                        "packed: {}: {} images in part {}, expected 1 to {}", file, part.images, part.name, kMaxPackedImages);
  }
}

OrderedJson to_json(const Section& section) {
  return {{"offset", section.offset}, {"bytes", section.bytes}, {"sha256", section.sha256}};
}

OrderedJson texts(const std::vector<std::string>& values) {
  OrderedJson list = OrderedJson::array();
  for (const std::string& value : values) list.push_back(plain(value));
  return list;
}

std::string dump(const PackedHeader& header) {
  OrderedJson parts = OrderedJson::array();
  for (const PackedPart& part : header.parts) {
    parts.push_back(
        {{"name", part.name}, {"images", part.images}, {"labels", to_json(part.labels)}, {"pixels", to_json(part.pixels)}});
  }
  OrderedJson json;
  json["name"] = header.name;
  json["location"] = plain(header.location);
  json["fingerprint"] = plain(header.fingerprint);
  json["label_order"] = header.label_order;
  json["shape"] = {header.shape.height, header.shape.width, header.shape.channels};
  json["class_names"] = texts(header.class_names);
  json["parts"] = std::move(parts);
  json["subtract"] = header.mean ? to_json(*header.mean) : OrderedJson(header.normalisation.subtract);
  json["divide"] = header.normalisation.divide;
  json["notes"] = texts(header.notes);
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

/// Parses and validates the text of a header. Errors start with the file name.
class HeaderReader {
 public:
  explicit HeaderReader(const std::filesystem::path& path) : path_(path.string()) {}

  PackedHeader read(std::string_view text) const;

  template <class... Args>
  void check(bool condition, fmt::format_string<Args...> format, Args&&... args) const {
    if (condition) return;
    fail<InputError>("packed: {}: {}", path_, fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  OrderedJson parse(std::string_view text) const;
  void check_keys(const OrderedJson& value, const char* what, std::initializer_list<const char*> keys) const;
  std::uint64_t integer(const OrderedJson& value, const char* what, std::uint64_t most) const;
  std::string text(const OrderedJson& value, const char* what) const;
  std::string name(const OrderedJson& value, const char* what) const;
  std::vector<std::string> text_list(const OrderedJson& value, const char* what, std::size_t most) const;
  std::vector<float> numbers(const OrderedJson& value, const char* what, std::size_t count) const;
  const OrderedJson& list(const OrderedJson& value, const char* what, std::size_t most) const;
  Section section(const OrderedJson& value, const char* what) const;
  PackedPart part(const OrderedJson& value) const;

  std::string path_;
};

/// Rejects duplicate keys and deeper nesting than the format's.
OrderedJson HeaderReader::parse(std::string_view text) const {
  std::array<std::set<std::string>, kMaxHeaderDepth + 1> keys;  // of the open objects, by depth
  const auto watch = [&](int depth, OrderedJson::parse_event_t event, OrderedJson& value) {
    if (event == OrderedJson::parse_event_t::object_start || event == OrderedJson::parse_event_t::array_start) {
      check(depth < kMaxHeaderDepth, "the header is nested deeper than {} levels", kMaxHeaderDepth);
      keys.at(static_cast<std::size_t>(depth) + 1).clear();
    } else if (event == OrderedJson::parse_event_t::key) {
      const bool first = keys.at(static_cast<std::size_t>(depth)).insert(value.get<std::string>()).second;
      check(first, "the header has a key twice");
    }
    return true;
  };
  try {
    return OrderedJson::parse(text, watch);
  } catch (const OrderedJson::exception& error) {
    const auto* syntax = dynamic_cast<const OrderedJson::parse_error*>(&error);
    check(false, "the header of {} bytes is invalid JSON at byte {}", text.size(), syntax != nullptr ? syntax->byte : 0);
    throw;
  }
}

void HeaderReader::check_keys(const OrderedJson& value, const char* what, std::initializer_list<const char*> keys) const {
  check(value.is_object(), "{} is of type {}, expected an object", what, value.type_name());
  for (const char* key : keys) check(value.contains(key), "{} has no {}", what, key);
  check(value.size() == keys.size(), "{} has {} keys, expected {}", what, value.size(), keys.size());
}

std::uint64_t HeaderReader::integer(const OrderedJson& value, const char* what, std::uint64_t most) const {
  check(value.is_number_unsigned(), "{} is of type {}, expected a whole number", what, value.type_name());
  const auto number = value.get<std::uint64_t>();
  check(number <= most, "{} is {}, expected at most {}", what, number, most);
  return number;
}

std::string HeaderReader::text(const OrderedJson& value, const char* what) const {
  check(value.is_string(), "{} is of type {}, expected a text", what, value.type_name());
  auto content = value.get<std::string>();
  check(content.size() <= kMaxText, "{} has {} bytes, expected at most {}", what, content.size(), kMaxText);
  check(std::none_of(content.begin(), content.end(), is_control), "{} has a control character", what);
  return content;
}

std::string HeaderReader::name(const OrderedJson& value, const char* what) const {
  auto content = text(value, what);
  check(is_name(content), "{} has other characters than a-z, 0-9, - and _, or not 1 to 64 of them", what);
  return content;
}

const OrderedJson& HeaderReader::list(const OrderedJson& value, const char* what, std::size_t most) const {
  check(value.is_array(), "{} is of type {}, expected a list", what, value.type_name());
  check(value.size() <= most, "{} has {} entries, expected at most {}", what, value.size(), most);
  return value;
}

std::vector<std::string> HeaderReader::text_list(const OrderedJson& value, const char* what, std::size_t most) const {
  std::vector<std::string> content;
  for (const OrderedJson& entry : list(value, what, most)) content.push_back(text(entry, what));
  return content;
}

std::vector<float> HeaderReader::numbers(const OrderedJson& value, const char* what, std::size_t count) const {
  std::vector<float> content;
  for (const OrderedJson& entry : list(value, what, count)) {
    check(entry.is_number(), "{} has an entry of type {}, expected a number", what, entry.type_name());
    const auto number = entry.get<double>();
    check(std::abs(number) <= std::numeric_limits<float>::max(), "{} has the value {}, expected a float32 number", what,
          number);
    content.push_back(static_cast<float>(number));
  }
  check(content.size() == count, "{} has {} values, expected {}", what, content.size(), count);
  return content;
}

Section HeaderReader::section(const OrderedJson& value, const char* what) const {
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  check_keys(value, what, {"offset", "bytes", "sha256"});
  Section section{.offset = integer(value["offset"], "an offset", kMost),
                  .bytes = integer(value["bytes"], "a size", kMost),
                  .sha256 = text(value["sha256"], "a SHA-256")};
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  check(section.sha256.size() == kHashDigits && std::all_of(section.sha256.begin(), section.sha256.end(), is_digit),
        "the SHA-256 of {} is malformed, expected {} hexadecimal digits", what, kHashDigits);
  return section;
}

PackedPart HeaderReader::part(const OrderedJson& value) const {
  check_keys(value, "a part", {"name", "images", "labels", "pixels"});
  return {.name = name(value["name"], "the name of a part"),
          .images = static_cast<std::int64_t>(integer(value["images"], "a number of images", kMaxPackedImages)),
          .labels = section(value["labels"], "labels"),
          .pixels = section(value["pixels"], "pixels")};
}

PackedHeader HeaderReader::read(std::string_view content) const {
  const OrderedJson json = parse(content);
  check_keys(
      json, "the header",
      {"name", "location", "fingerprint", "label_order", "shape", "class_names", "parts", "subtract", "divide", "notes"});
  PackedHeader header;
  header.name = name(json["name"], "the name");
  header.location = text(json["location"], "the location");
  header.fingerprint = text(json["fingerprint"], "the fingerprint");
  header.label_order = text(json["label_order"], "the label order");
  const OrderedJson& shape = list(json["shape"], "the shape", 3);
  check(shape.size() == 3, "the shape has {} extents, expected 3", shape.size());
  const auto extent = [&](std::size_t i) { return static_cast<int>(integer(shape[i], "an extent", kMaxExtent)); };
  header.shape = {extent(0), extent(1), extent(2)};
  header.class_names = text_list(json["class_names"], "the list of class names", kMaxClasses);
  for (const OrderedJson& entry : list(json["parts"], "the list of parts", kMaxParts)) {
    header.parts.push_back(part(entry));
    const auto same = [&](const PackedPart& other) { return other.name == header.parts.back().name; };
    check(std::count_if(header.parts.begin(), header.parts.end(), same) == 1, "part {} exists twice", header.parts.back().name);
  }
  check_limits(header, path_);
  const auto channels = static_cast<std::size_t>(header.shape.channels);
  header.normalisation.divide = numbers(json["divide"], "the list of divisors", channels);
  for (const float divisor : header.normalisation.divide) check(divisor != 0, "a divisor is 0");
  if (json["subtract"].is_object()) {
    header.mean = section(json["subtract"], "the mean image");
  } else {
    header.normalisation.subtract = numbers(json["subtract"], "the list of values to subtract", channels);
  }
  header.notes = text_list(json["notes"], "the list of notes", kMaxNotes);
  return header;
}

/// The name and the section of everything after the header, in order.
template <class Visit>
void for_each_section(PackedHeader& header, Visit&& visit) {
  for (PackedPart& part : header.parts) {
    const auto images = static_cast<std::uint64_t>(part.images);
    visit("the labels of " + part.name, part.labels, images * sizeof(std::int32_t));
    visit("the pixels of " + part.name, part.pixels, images * header.shape.count());
  }
  if (header.mean) visit("the mean image", *header.mean, header.shape.count() * sizeof(float));
}

}  // namespace

std::uint64_t lay_out(PackedHeader& header, std::uint64_t header_bytes) {
  check_limits(header, header.name);
  std::uint64_t end = header_bytes;
  for_each_section(header, [&](const std::string&, Section& section, std::uint64_t bytes) {
    section.offset = aligned(end);
    section.bytes = bytes;
    end = section.end();
  });
  return end;
}

std::uint64_t header_space(const PackedHeader& header) {
  PackedHeader widest = header;
  widest.notes.clear();
  for_each_section(widest, [&](const std::string&, Section& section, std::uint64_t) {
    section = {std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::max(),
               std::string(kHashDigits, '0')};
  });
  return aligned(kPrefix + dump(widest).size() + kRoomForNotes);
}

std::string encode(const PackedHeader& header, std::uint64_t header_bytes) {
  std::string text = dump(header);
  require<InputError>(kPrefix + text.size() <= header_bytes && header_bytes <= kMaxPackedHeader,
                      "packed: the header of {} needs {} bytes, expected at most {}", header.name, kPrefix + text.size(),
                      std::min(header_bytes, kMaxPackedHeader));
  text.resize(header_bytes - kPrefix, ' ');
  const std::array<std::uint32_t, 2> numbers{kPackedVersion, static_cast<std::uint32_t>(text.size())};
  Sha256 hash;
  hash.add(text);
  std::string bytes(kPackedMagic);
  bytes.append(reinterpret_cast<const char*>(numbers.data()), sizeof(numbers));
  return bytes + hash.hex() + text;
}

PackedHeader decode(const std::filesystem::path& path, std::uint64_t file_bytes, const ReadAt& read) {
  const HeaderReader reader(path);
  std::array<std::uint8_t, kPrefix> prefix{};
  const std::uint64_t available = std::min<std::uint64_t>(file_bytes, kPrefix);
  read(0, std::span(prefix).first(available));
  const std::string_view start(reinterpret_cast<const char*>(prefix.data()), available);
  reader.check(start.starts_with(kPackedMagic), "is not a packed data set (made by apam data pack)");
  reader.check(file_bytes >= kPrefix, "has {} bytes, expected at least {}", file_bytes, kPrefix);
  std::array<std::uint32_t, 2> numbers{};
  std::memcpy(numbers.data(), prefix.data() + kPackedMagic.size(), sizeof(numbers));
  reader.check(numbers[0] == kPackedVersion, "has format version {}, expected {}", numbers[0], kPackedVersion);
  const std::uint64_t header_bytes = kPrefix + std::uint64_t{numbers[1]};
  reader.check(header_bytes <= kMaxPackedHeader && header_bytes % kPackedAlignment == 0,
               "has a header of {} bytes, expected a multiple of {} up to {}", header_bytes, kPackedAlignment,
               kMaxPackedHeader);
  reader.check(header_bytes <= file_bytes, "has {} bytes, expected a header of {}", file_bytes, header_bytes);
  std::string text(numbers[1], '\0');
  read(kPrefix, std::span(reinterpret_cast<std::uint8_t*>(text.data()), text.size()));
  Sha256 hash;
  hash.add(text);
  const std::string actual = hash.hex();
  const std::string_view expected = start.substr(kPrefix - kHashDigits);
  reader.check(actual == expected, "the SHA-256 of the header is {}, expected the value before it", actual);

  PackedHeader header = reader.read(text);
  PackedHeader laid_out = header;
  const std::uint64_t end = lay_out(laid_out, header_bytes);
  std::vector<Section> places;
  for_each_section(laid_out, [&](const std::string&, Section& section, std::uint64_t) { places.push_back(section); });
  std::size_t index = 0;
  for_each_section(header, [&](const std::string& what, Section& section, std::uint64_t) {
    const Section& place = places[index++];
    reader.check(section.bytes == place.bytes, "{} have {} bytes, expected {}", what, section.bytes, place.bytes);
    reader.check(section.offset == place.offset, "{} start at byte {}, expected {}: sections overlap or leave a gap", what,
                 section.offset, place.offset);
  });
  reader.check(file_bytes == end, "has {} bytes, expected {}", file_bytes, end);
  return header;
}

std::string content_sha256(const PackedHeader& header) {
  Sha256 hash;
  const auto add = [&](const std::string& line) { hash.add(line + '\n'); };
  add(to_string(header.shape));
  for (const std::string& name : header.class_names) add("class " + name);
  for (const PackedPart& part : header.parts) {
    add(fmt::format("part {} {} {} {}", part.name, part.images, part.labels.sha256, part.pixels.sha256));
  }
  return hash.hex();
}

}  // namespace apam::data

#include "apam/training/json_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace apam::training {
namespace {

/// The inverse, by the rule in json_text.h.
std::string bytes_of(std::string_view text) {
  if (!text.starts_with("bytes:")) return std::string(text);
  std::string bytes;
  for (text.remove_prefix(6); !text.empty();) {
    const bool escaped = text.front() == '%';
    bytes += escaped ? static_cast<char>(std::stoi(std::string(text.substr(1, 2)), nullptr, 16)) : text.front();
    text.remove_prefix(escaped ? 3 : 1);
  }
  return bytes;
}

TEST(JsonText, LeavesUtf8AsItIs) {
  for (const std::string text :
       {"", "plain", "/tmp/100%/a b", "Zürich/日本/🦊", "line\nbreak\x01", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
        "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_EQ(json_text(text), text);
  }
}

TEST(JsonText, EscapesBytesThatAreNotUtf8) {
  EXPECT_EQ(json_text("/tmp/\xff-ü 100%"), "bytes:/tmp/%FF-ü 100%25");
  EXPECT_EQ(json_text("caf\xe9"), "bytes:caf%E9");                 // Latin-1
  EXPECT_EQ(json_text("\xc0\xaf"), "bytes:%C0%AF");                // overlong
  EXPECT_EQ(json_text("\xe0\x9f\xbf"), "bytes:%E0%9F%BF");         // overlong
  EXPECT_EQ(json_text("\xf0\x8f\xbf\xbf"), "bytes:%F0%8F%BF%BF");  // overlong
  EXPECT_EQ(json_text("\xed\xa0\x80"), "bytes:%ED%A0%80");         // a surrogate
  EXPECT_EQ(json_text("\xf4\x90\x80\x80"), "bytes:%F4%90%80%80");  // above U+10FFFF
  EXPECT_EQ(json_text("\xf5"), "bytes:%F5");
  EXPECT_EQ(json_text("a\xe6\x97"), "bytes:a%E6%97");      // truncated
  EXPECT_EQ(json_text("bytes:%41"), "bytes:bytes:%2541");  // looks like an escape
}

TEST(JsonText, IsReversible) {
  std::mt19937 random(7);
  constexpr std::string_view kLetters = "a%:\xc3\xbc\xe6\x97\xa5\xff\xed\xa0\x80\xf0\x9f\xa6\x8a";
  for (int i = 0; i < 20'000; ++i) {
    std::string text = i % 4 == 0 ? "bytes:" : "";
    for (std::size_t n = random() % 12; n > 0; --n) {
      text += i % 2 == 0 ? kLetters[random() % kLetters.size()] : static_cast<char>(1 + random() % 255);
    }
    const std::string json = nlohmann::json(json_text(text)).dump();  // throws unless it is UTF-8
    ASSERT_EQ(bytes_of(nlohmann::json::parse(json).get<std::string>()), text) << json;
  }
}

}  // namespace
}  // namespace apam::training

// Expected errors, checked by type and by the names and values in the message. The wording is free to change.
#pragma once

#include <gtest/gtest.h>

#include <cctype>
#include <exception>
#include <string_view>
#include <vector>

namespace apam::support {

/// The position of `word` in `text` at or after `from`, not inside a longer word or number; npos if there is none.
inline std::size_t find_word(std::string_view text, std::string_view word, std::size_t from = 0) {
  const auto joined = [&](std::size_t left) {  // characters left and left + 1 belong to one word
    const auto in_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
    return left + 1 < text.size() && in_word(text[left]) && in_word(text[left + 1]);
  };
  for (auto at = text.find(word, from); at != std::string_view::npos; at = text.find(word, at + 1)) {
    if ((at == 0 || !joined(at - 1)) && !joined(at + word.size() - 1)) return at;
  }
  return std::string_view::npos;
}

/// Whether `message` is one line that contains `words` in this order.
inline testing::AssertionResult has_words(std::string_view message, const std::vector<std::string_view>& words) {
  if (message.find('\n') != std::string_view::npos) return testing::AssertionFailure() << "several lines: " << message;
  std::size_t from = 0;
  for (const std::string_view word : words) {
    const auto at = find_word(message, word, from);
    if (at == std::string_view::npos) return testing::AssertionFailure() << "'" << word << "' missing in: " << message;
    from = at + word.size();
  }
  return testing::AssertionSuccess();
}

/// Whether `action` throws an E whose message is one line that contains `words` in this order.
template <class E, class Action>
testing::AssertionResult throws(const std::vector<std::string_view>& words, Action&& action) {
  try {
    action();
  } catch (const E& error) {
    return has_words(error.what(), words);
  } catch (const std::exception& error) {
    return testing::AssertionFailure() << "error of another type: " << error.what();
  }
  return testing::AssertionFailure() << "no error";
}

}  // namespace apam::support

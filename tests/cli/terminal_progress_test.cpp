#include "apam/cli/terminal_progress.h"

#include <gtest/gtest.h>

#include <locale>
#include <sstream>
#include <string>

namespace apam::cli {
namespace {

constexpr training::Status kStatus{.epochs = 2, .updates = 5000, .seconds = 62, .images_per_second = 1234.5, .loss = 1.5};

TEST(TerminalProgress, RedrawsOneLine) {
  std::ostringstream out;
  {
    TerminalProgress progress(out, 200);
    EXPECT_FALSE(progress.due(0.1));
    EXPECT_TRUE(progress.due(0.2));
    progress.show(kStatus);
    EXPECT_FALSE(progress.due(62.1));
    EXPECT_TRUE(progress.due(62.3));
    progress.show(kStatus);
    progress.note("a note");
    progress.show(kStatus);
  }
  const std::string line = "\r\x1b[K" + describe(kStatus);
  EXPECT_EQ(out.str(), line + line + "\r\x1b[Ka note\n" + line + "\n");
}

TEST(TerminalProgress, NeverFillsTheLastColumn) {
  std::ostringstream out;
  TerminalProgress progress(out, 20);
  progress.show(kStatus);
  EXPECT_EQ(out.str(), "\r\x1b[K" + describe(kStatus).substr(0, 19));
}

TEST(TerminalProgress, WritesAPlainLineEveryHalfMinuteWithoutATerminal) {
  std::ostringstream out;
  TerminalProgress progress(out, 0);
  EXPECT_FALSE(progress.due(29.9));
  EXPECT_TRUE(progress.due(30));
  progress.show(kStatus);
  EXPECT_FALSE(progress.due(91.9));
  EXPECT_TRUE(progress.due(92));
  progress.note("a note");
  progress.close();
  EXPECT_EQ(out.str(), describe(kStatus) + "\na note\n");
}

TEST(TerminalProgress, FindsEscapeCodesInTheEnvironment) {
  EXPECT_TRUE(takes_escape_codes("xterm-256color", nullptr));
  EXPECT_TRUE(takes_escape_codes("xterm", ""));  // like not set
  EXPECT_FALSE(takes_escape_codes("xterm", "1"));
  EXPECT_FALSE(takes_escape_codes("dumb", nullptr));
  EXPECT_FALSE(takes_escape_codes("", nullptr));
  EXPECT_FALSE(takes_escape_codes(nullptr, nullptr));
}

/// Commas for points, and points between thousands.
class Continental : public std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

TEST(TerminalProgress, WritesTheSameNumbersInEveryLocale) {
  const std::string plain = describe(kStatus);
  const std::locale before = std::locale::global(std::locale(std::locale::classic(), new Continental));
  std::ostringstream out;
  {
    TerminalProgress progress(out, 0);
    progress.show(kStatus);
  }
  const std::string sum = (std::ostringstream() << 1234.5).str();
  std::locale::global(before);
  EXPECT_EQ(sum, "1.234,5");  // the locale was in effect
  EXPECT_EQ(out.str(), plain + "\n");
}

}  // namespace
}  // namespace apam::cli

// ZIP archives: every form that npz files have, read in pieces of any size. Malformed ones are in npz_malformed_test.cpp.
#include "data/zip_archive.h"

#include <gtest/gtest.h>

#include "tests/data/npz_writer.h"

namespace apam::data {
namespace {

Bytes pattern(std::size_t size) {
  Bytes bytes;
  for (std::size_t i = 0; i < size; ++i) bytes.push_back(static_cast<std::uint8_t>(i * i / 7 + i / 300));
  return bytes;
}

/// The content of an entry, read in pieces of `step` bytes.
Bytes content_of(const ZipArchive& archive, std::string_view name, std::size_t step) {
  const ZipEntry* entry = archive.find(name);
  if (entry == nullptr) throw std::runtime_error("no entry");
  ZipReader reader(archive, *entry);
  Bytes content;
  while (reader.left() > 0) {
    Bytes piece(std::min<std::uint64_t>(step, reader.left()));
    reader.read(piece);
    put(content, piece);
  }
  return content;
}

TEST(ZipArchive, ReadsEveryForm) {
  const TemporaryFolder folder;
  const Bytes large = pattern(300000), small = pattern(5);
  for (int form = 0; form < 64; ++form) {
    const auto has = [&](int bit) { return (form >> bit & 1) != 0; };
    std::vector<ZipMember> members;
    for (const auto& [name, content] :
         {std::pair{"large.npy", large}, std::pair{"empty.npy", Bytes{}}, std::pair{"small.npy", small}}) {
      members.push_back(
          {.name = name, .content = content, .deflate = has(0), .zip64 = has(1), .zip64_entry = has(2), .descriptor = has(3)});
    }
    const ZipEnd end{.zip64 = has(4), .comment = has(5) ? "a comment" : ""};
    const ZipArchive archive("test", folder.write("a.npz", zip(members, end)));
    ASSERT_EQ(archive.entries().size(), 3U);
    EXPECT_EQ(archive.find("other"), nullptr);
    EXPECT_EQ(archive.entries()[0].size, large.size());
    for (const std::size_t step : {large.size(), std::size_t{65536}, std::size_t{1000}}) {
      ASSERT_EQ(content_of(archive, "large.npy", step), large) << form << ' ' << step;
    }
    ASSERT_EQ(content_of(archive, "small.npy", 1), small) << form;
    ASSERT_EQ(content_of(archive, "empty.npy", 1), Bytes{}) << form;
  }
}

TEST(ZipArchive, SkipsAndRefusesToReadBeyondTheEnd) {
  const TemporaryFolder folder;
  const Bytes content = pattern(200000);
  for (const bool deflate : {false, true}) {
    const ZipArchive archive("test", folder.write("a.npz", zip({{.name = "a", .content = content, .deflate = deflate}})));
    ZipReader reader(archive, archive.entries()[0]);
    reader.skip(150000);
    Bytes piece(3);
    reader.read(piece);
    EXPECT_TRUE(std::equal(piece.begin(), piece.end(), content.begin() + 150000));
    EXPECT_EQ(reader.left(), 49997U);
    piece.resize(49998);
    EXPECT_TRUE(throws<InputError>({"test", "a", "49997", "150003", "49998"}, [&] { reader.read(piece); }));
  }
}

// Runs of equal bytes: deflate's longest matches end where a piece ends, and zlib holds output back.
TEST(ZipArchive, ReadsRunsInPiecesOfAnySize) {
  const TemporaryFolder folder;
  const Bytes zeros(100000, 0);
  const ZipArchive archive("test", folder.write("a.npz", zip({{.name = "a", .content = zeros, .deflate = true}})));
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{257}, std::size_t{99999}}) {
    EXPECT_EQ(content_of(archive, "a", step), zeros) << step;
  }
}

}  // namespace
}  // namespace apam::data

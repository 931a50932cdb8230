// The cache of packed folders.
#include "data/pack_cache.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>

#include "data/packed_file.h"
#include "tests/data/counted_source.h"
#include "tests/data/support.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

/// A folder to be packed on first use. Counts how often it is.
class Cache {
 public:
  Cache() { touch("train/a"); }

  void touch(const std::string& name) const { folder.write("set/" + name, {1, 2, 3}); }
  fs::path set() const { return folder.path() / "set"; }

  std::shared_ptr<const PackedFile> open() {
    return open_cached({.name = "cinic10",
                        .folder = set(),
                        .cache = folder.path() / "cache",
                        .in_folder = in_folder,
                        .open_source = [&]() -> std::unique_ptr<Source> {
                          ++packed;
                          return std::make_unique<CountedSource>(std::vector<SourcePart>{{"train", 3}, {"test", 2}});
                        }});
  }

  TemporaryFolder folder;
  bool in_folder = true;
  int packed = 0;
};

TEST(PackCache, PacksAFolderOnFirstUse) {
  Cache cache;
  EXPECT_EQ(cache.open()->path(), cache.set() / "cinic10.apam");
  EXPECT_EQ(cache.open()->header().parts[0].images, 3);
  EXPECT_EQ(cache.packed, 1);
}

TEST(PackCache, PacksAgainAfterAChangeOrDamage) {
  Cache cache;
  cache.open();
  cache.touch("train/b");
  cache.open();
  EXPECT_EQ(cache.packed, 2) << "a new file";
  fs::last_write_time(cache.set() / "train" / "a", fs::file_time_type::clock::now() + std::chrono::hours(1));
  cache.open();
  EXPECT_EQ(cache.packed, 3) << "a newer file";
  fs::resize_file(cache.set() / "cinic10.apam", 100);
  cache.open();
  EXPECT_EQ(cache.packed, 4) << "a damaged cache";
  cache.touch(".hidden");
  cache.touch("other.apam.partial");
  cache.open();
  EXPECT_EQ(cache.packed, 4) << "files that do not count";
}

TEST(PackCache, UsesTheCacheFolderIfTheFolderMustNotChange) {
  Cache cache;
  cache.in_folder = false;
  const fs::path file = cache.open()->path();
  EXPECT_EQ(file.parent_path(), cache.folder.path() / "cache");
  EXPECT_TRUE(file.filename().native().starts_with("cinic10-"));
  EXPECT_EQ(cache.open()->path(), file);
  EXPECT_EQ(cache.packed, 1);
}

TEST(PackCache, UsesTheCacheFolderIfTheFolderIsReadOnly) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  Cache cache;
  fs::permissions(cache.set(), fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_EQ(cache.open()->path().parent_path(), cache.folder.path() / "cache");
  fs::permissions(cache.set(), fs::perms::owner_all);
}

}  // namespace
}  // namespace apam::data

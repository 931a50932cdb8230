// The official npz files of ImageNet32: images, labels, mean, order of the classes.
#include <gtest/gtest.h>

#include <cstdlib>

#include "data/imagenet32_npz.h"
#include "data/npy.h"
#include "tests/data/npz_writer.h"

namespace apam::data {
namespace {

namespace fs = std::filesystem;

struct Images {
  std::vector<std::int32_t> labels;
  std::vector<Bytes> pixels;
};

Images read_all(Source& source, std::size_t part, std::int64_t first = 0) {
  Images images;
  source.read(part, first, [&](std::span<const std::uint8_t> pixels, std::int32_t label) {
    images.labels.push_back(label);
    images.pixels.emplace_back(pixels.begin(), pixels.end());
  });
  return images;
}

/// Whether `pixels` (H, W, C) are those of imagenet32_members() for `image`.
bool is_image(const Bytes& pixels, std::size_t image) {
  bool same = pixels.size() == 3072;
  for (std::size_t i = 0; same && i < 3072; ++i) same = pixels[i] == cifar10_byte(image, i % 3 * 1024 + i / 3);
  return same;
}

TEST(Imagenet32Npz, DescribesTheFiles) {
  const TemporaryFolder folder;
  write_imagenet32(folder);
  const auto source = open_imagenet32_npz(folder.path(), LabelOrder::devkit);
  const SourceInfo& info = source->info();
  EXPECT_EQ(info.name, "imagenet32");
  EXPECT_EQ(info.location, folder.path().string());
  EXPECT_EQ(info.shape, (ImageShape{32, 32, 3}));
  ASSERT_EQ(info.class_names.size(), 1000U);
  EXPECT_EQ(info.class_names[0], "1");
  EXPECT_EQ(info.class_names[999], "1000");
  ASSERT_EQ(info.parts.size(), 2U);
  EXPECT_EQ(info.parts[0].name, "train");
  EXPECT_EQ(info.parts[0].images, 5);
  EXPECT_EQ(info.parts[1].name, "test");
  EXPECT_EQ(info.parts[1].images, 2);
  EXPECT_EQ(info.normalisation.divide, (std::vector<float>{1, 1, 1}));
  ASSERT_EQ(info.normalisation.subtract.size(), 3072U);
  for (std::size_t i = 0; i < 3072; ++i) {  // (H, W, C)
    ASSERT_EQ(info.normalisation.subtract[i], static_cast<float>(mean_value(i % 3 * 1024 + i / 3) / 255.0)) << i;
  }
}

TEST(Imagenet32Npz, ReadsImagesInOrderFromAnyPosition) {
  const TemporaryFolder folder;
  write_imagenet32(folder, 150);
  const auto source = open_imagenet32_npz(folder.path(), LabelOrder::devkit);
  for (const std::size_t first : {0U, 1U, 2U, 3U, 4U, 67U, 152U, 153U}) {
    const Images images = read_all(*source, 0, static_cast<std::int64_t>(first));
    ASSERT_EQ(images.labels.size(), 153 - first);
    for (std::size_t i = first; i < 153; ++i) {
      const std::int32_t label = i < 3 ? std::vector{0, 16, 1}[i] : 999 - static_cast<int>(i - 3);
      ASSERT_EQ(images.labels[i - first], label) << i;
      ASSERT_TRUE(is_image(images.pixels[i - first], i)) << i;
    }
  }
  const Images test = read_all(*source, 1);
  EXPECT_EQ(test.labels, (std::vector<std::int32_t>{4, 999}));
  EXPECT_TRUE(is_image(test.pixels[1], 201));
  EXPECT_TRUE(throws<InputError>({"imagenet32", "154", "train", "153"}, [&] { read_all(*source, 0, 154); }));
  EXPECT_TRUE(throws<InputError>({"imagenet32", "2"}, [&] { read_all(*source, 2); }));
}

TEST(Imagenet32Npz, ReadsDeflatedFilesAndOtherTypesOfLabelsAndMean) {
  const TemporaryFolder folder;
  write_imagenet32(folder);
  auto members = imagenet32_members({0, 0}, true, 3);
  members[1].content = npy("<i4", "(2,)", {0xe8, 3, 0, 0, 9, 0, 0, 0}, 2);
  for (ZipMember& member : members) member.deflate = true;
  folder.write("train_data_batch_2.npz", zip({members[2], members[0], members[1]}, {.zip64 = true}));
  const auto source = open_imagenet32_npz(folder.path(), LabelOrder::devkit);
  const Images images = read_all(*source, 0, 3);
  EXPECT_EQ(images.labels, (std::vector<std::int32_t>{999, 8}));
  EXPECT_TRUE(is_image(images.pixels[0], 3) && is_image(images.pixels[1], 4));
}

TEST(Imagenet32Npz, FindsFilesInSubfolders) {
  for (const std::string below : {"imagenet32/", "Imagenet32_train_npz/"}) {
    const TemporaryFolder folder;
    write_imagenet32(folder, 1, below);
    EXPECT_EQ(open_imagenet32_npz(folder.path(), LabelOrder::devkit)->info().parts[0].images, 4);
    fs::create_directory(folder.path() / "Imagenet32_val_npz");
    fs::rename(folder.path() / below / "val_data.npz", folder.path() / "Imagenet32_val_npz/val_data.npz");
    EXPECT_EQ(open_imagenet32_npz(folder.path(), LabelOrder::devkit)->info().parts[1].images, 2);
  }
}

/// A map in which id n00000001 is number 1000, n00000002 is 999, ...
std::string reversed_map() {
  std::string text;
  for (int number = 1; number <= 1000; ++number) text += fmt::format("n{:08} {} name_of_{}\n", 1001 - number, number, number);
  return text;
}

fs::path write_text(const TemporaryFolder& folder, const std::string& name, std::string_view text) {
  return folder.write(name, Bytes(text.begin(), text.end()));
}

TEST(Imagenet32Npz, OrdersLabelsByWordNetId) {
  const TemporaryFolder folder;
  write_imagenet32(folder);
  EXPECT_TRUE(throws<InputError>({"imagenet32", "wnid", (folder.path() / "map_clsloc.txt").native()},
                                 [&] { open_imagenet32_npz(folder.path(), LabelOrder::wnid); }));
  write_text(folder, "map_clsloc.txt", reversed_map());
  const auto sorted = open_imagenet32_npz(folder.path(), LabelOrder::wnid);
  EXPECT_EQ(sorted->info().class_names[0], "n00000001");
  EXPECT_EQ(read_all(*sorted, 0).labels, (std::vector<std::int32_t>{999, 983, 998, 0, 1}));
  const auto devkit = open_imagenet32_npz(folder.path(), LabelOrder::devkit);
  EXPECT_EQ(devkit->info().class_names[0], "n00001000");
  EXPECT_EQ(read_all(*devkit, 0).labels, (std::vector<std::int32_t>{0, 16, 1, 999, 998}));
}

TEST(LabelOrder, HasNames) {
  for (const auto name : kLabelOrders) EXPECT_EQ(to_string(parse_label_order(name)), name);
  EXPECT_TRUE(throws<InputError>({"WNID", "devkit", "wnid"}, [] { parse_label_order("WNID"); }));
}

TEST(LabelOrder, RejectsMalformedMaps) {
  const TemporaryFolder folder;
  const std::string good = reversed_map();
  const auto replaced = [&](std::string_view from, std::string_view to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  const std::vector<std::pair<std::string, std::vector<std::string_view>>> maps = {
      {good + "n00001001 1 more\n", {"1000"}},
      {good.substr(0, good.rfind("n0")), {"999", "1000"}},
      {replaced("n00000998 3", "x00000998 3"), {"3", "x00000998"}},
      {replaced("n00000998 3", "n998 3"), {"3", "n998"}},
      {replaced("n00000998 3", "n00000998 0"), {"3", "0", "1", "1000"}},
      {replaced("n00000998 3", "n00000998 1001"), {"3", "1001", "1000"}},
      {replaced("n00000998 3", "n00000998 3x"), {"3", "3x", "1000"}},
      {replaced("n00000998 3", "n00000998 2"), {"3", "2", "n00000998", "n00000999"}},
      {replaced("n00000998 3", "n00000999 3"), {"n00000999", "twice"}},
      {"\n" + good, {"1"}},
  };
  for (const auto& [text, words] : maps) {
    const fs::path path = write_text(folder, "map_clsloc.txt", text);
    std::vector<std::string_view> all = words;
    all.insert(all.begin(), {"test", path.native()});
    for (const LabelOrder order : {LabelOrder::devkit, LabelOrder::wnid}) {
      EXPECT_TRUE(throws<InputError>(all, [&] { read_class_order("test", path, order); }));
    }
  }
  const fs::path path = write_text(folder, "map_clsloc.txt", good);
  EXPECT_EQ(read_class_order("test", path, LabelOrder::wnid).labels[2], 997);
}

TEST(Imagenet32Npz, ReadsFilesOfNumPy) {
  if (std::system("/usr/bin/python3 -c 'import numpy' 2>/dev/null") != 0) GTEST_SKIP() << "/usr/bin/python3 has no NumPy";
  const TemporaryFolder folder;
  write_text(folder, "write.py", R"(
import sys
import numpy as np

folder = sys.argv[1]
data = np.arange(4 * 3072, dtype=np.uint32).reshape(4, 3072)
data = (data * 7 + data // 256).astype(np.uint8)
mean = np.linspace(0, 255, 3072)
np.savez(folder + "/train_data_batch_1.npz", data=data[:3], labels=np.array([1, 500, 1000]), mean=mean)
np.savez_compressed(folder + "/train_data_batch_2.npz", data=data[3:], labels=np.array([2], dtype=np.int32), mean=mean)
np.savez(folder + "/val_data.npz", data=data[1:], labels=[3, 4, 5])
np.save(folder + "/image_mean.npy", mean.astype(np.float32).reshape(3, 32, 32))
)");
  const std::string command = fmt::format("/usr/bin/python3 '{0}/write.py' '{0}'", folder.path().string());
  ASSERT_EQ(std::system(command.c_str()), 0);
  const auto source = open_imagenet32_npz(folder.path(), LabelOrder::devkit);
  const Images train = read_all(*source, 0), test = read_all(*source, 1);
  EXPECT_EQ(train.labels, (std::vector<std::int32_t>{0, 499, 999, 1}));
  EXPECT_EQ(test.labels, (std::vector<std::int32_t>{2, 3, 4}));
  for (std::size_t n = 0; n < 4; ++n) {
    for (std::size_t i = 0; i < 3072; ++i) {
      const std::size_t place = n * 3072 + i % 3 * 1024 + i / 3;
      ASSERT_EQ(train.pixels[n][i], static_cast<std::uint8_t>(place * 7 + place / 256)) << n << ' ' << i;
    }
  }
  EXPECT_EQ(test.pixels[2], train.pixels[3]);
  EXPECT_EQ(source->info().normalisation.subtract.back(), 1.0F);
  const Npy mean = read_npy(folder.path() / "image_mean.npy");
  EXPECT_EQ(to_string(mean.header), "float32 (3, 32, 32)");
  EXPECT_EQ(mean.number(3071), 255.0);
}

}  // namespace
}  // namespace apam::data

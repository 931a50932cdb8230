#include "data/first_images.h"

#include <string_view>
#include <utility>

#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

class FirstImages final : public Dataset {
 public:
  FirstImages(std::shared_ptr<const Dataset> whole, std::int64_t train, std::int64_t test)
      : Dataset(info_of(*whole, train, test)), whole_(std::move(whole)) {}

  Sample read(Split split, std::int64_t index, std::span<std::uint8_t> scratch) const override {
    return whole_->read(split, index, scratch);
  }
  std::int32_t label(Split split, std::int64_t index) const override { return whole_->label(split, index); }

 private:
  static DatasetInfo info_of(const Dataset& whole, std::int64_t train, std::int64_t test) {
    DatasetInfo info = whole.info();
    info.train_images = train;
    info.test_images = test;
    return info;
  }

  std::shared_ptr<const Dataset> whole_;
};

std::int64_t checked(std::string_view name, std::string_view kind, std::optional<std::int64_t> wanted, std::int64_t images) {
  require<InputError>(!wanted || (*wanted >= 1 && *wanted <= images), "data: the first {} {} images requested, {} has {}",
                      wanted.value_or(0), kind, name, images);
  return wanted.value_or(images);
}

}  // namespace

std::shared_ptr<const Dataset> first_images(std::shared_ptr<const Dataset> dataset, std::optional<std::int64_t> train,
                                            std::optional<std::int64_t> test) {
  const DatasetInfo& info = dataset->info();
  const std::int64_t train_images = checked(info.name, "training", train, info.train_images);
  const std::int64_t test_images = checked(info.name, "test", test, info.test_images);
  if (train_images == info.train_images && test_images == info.test_images) return dataset;
  return std::make_shared<const FirstImages>(std::move(dataset), train_images, test_images);
}

}  // namespace apam::data

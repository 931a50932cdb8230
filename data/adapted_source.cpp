#include "data/adapted_source.h"

#include <utility>

#include "kernels/runtime/error.h"

namespace apam::data {
namespace {

class DatasetSource final : public Source {
 public:
  explicit DatasetSource(std::shared_ptr<const Dataset> dataset) : dataset_(std::move(dataset)) {
    const DatasetInfo& info = dataset_->info();
    info_ = {.name = info.name,
             .location = info.source,
             .shape = info.shape,
             .class_names = info.class_names,
             .parts = {},
             .normalisation = info.normalisation};
    for (const auto& [split, name] :
         {std::pair{Split::train, "train"}, std::pair{Split::valid, "valid"}, std::pair{Split::test, "test"}}) {
      if (info.images(split) == 0) continue;
      info_.parts.push_back({name, info.images(split)});
      splits_.push_back(split);
    }
  }

  void read(std::size_t part, std::int64_t first, const Consumer& consume) override {
    std::vector<std::uint8_t> scratch(info_.shape.count());
    for (std::int64_t i = first; i < info_.parts[part].images; ++i) {
      const Sample sample = dataset_->read(splits_[part], i, scratch);
      consume(sample.pixels, sample.label);
    }
  }

 private:
  std::shared_ptr<const Dataset> dataset_;
  std::vector<Split> splits_;  // by part
};

class RenamedSource final : public Source {
 public:
  RenamedSource(std::unique_ptr<Source> source, Identity identity) : source_(std::move(source)) {
    info_ = source_->info();
    info_.name = std::move(identity.name);
    info_.class_names = std::move(identity.class_names);
    info_.normalisation = std::move(identity.normalisation);
  }

  void read(std::size_t part, std::int64_t first, const Consumer& consume) override {
    const auto classes = static_cast<std::int32_t>(info_.class_names.size());
    std::int64_t index = first;
    source_->read(part, first, [&](std::span<const std::uint8_t> pixels, std::int32_t label) {
      require<InputError>(label < classes, "{}: {} image {} of {} has label {}, expected 0 to {}", info_.name, info_.location,
                          index, info_.parts[part].name, label, classes - 1);
      consume(pixels, label);
      ++index;
    });
  }

  std::vector<std::string> notes() const override { return source_->notes(); }

 private:
  std::unique_ptr<Source> source_;
};

}  // namespace

std::unique_ptr<Source> source_of(std::shared_ptr<const Dataset> dataset) {
  return std::make_unique<DatasetSource>(std::move(dataset));
}

std::unique_ptr<Source> renamed(std::unique_ptr<Source> source, Identity identity) {
  return std::make_unique<RenamedSource>(std::move(source), std::move(identity));
}

}  // namespace apam::data

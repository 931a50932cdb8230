// Images that steps augment on the device have the bits, and the labels, of those that a loader prepares.
#include "engine/resident_images.h"

#include <gtest/gtest.h>

#include "apam/training/net_gradient_source.h"
#include "data/batches.h"
#include "engine/ops/ops.h"

namespace apam::training {
namespace {

constexpr data::ImageShape kShape{9, 7, 3};

std::shared_ptr<const data::Dataset> small_data(int classes = 5) {
  data::DatasetOptions options{.name = "synthetic"};
  options.synthetic = {.shape = kShape, .classes = classes, .train_images = 23, .test_images = 1};
  return data::open_dataset(options);
}

/// The data set with a mean image to subtract.
class WithMeanImage final : public data::Dataset {
 public:
  explicit WithMeanImage(std::shared_ptr<const data::Dataset> of) : Dataset(info_of(*of)), of_(std::move(of)) {}
  data::Sample read(data::Split split, std::int64_t index, std::span<std::uint8_t> scratch) const override {
    return of_->read(split, index, scratch);
  }

 private:
  static data::DatasetInfo info_of(const data::Dataset& of) {
    data::DatasetInfo info = of.info();
    info.normalisation.subtract.clear();
    for (std::size_t i = 0; i < kShape.count(); ++i) {
      info.normalisation.subtract.push_back(0.01F * static_cast<float>(i % 97));
    }
    return info;
  }
  std::shared_ptr<const data::Dataset> of_;
};

struct Variant {
  const char* name;
  data::Augmentation augmentation;
  bool mean_image;
};
void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name; }

class Resident : public testing::TestWithParam<Variant> {};

TEST_P(Resident, images_and_labels_are_those_of_the_loader) {
  auto dataset = small_data();
  if (GetParam().mean_image) dataset = std::make_shared<WithMeanImage>(dataset);
  const data::Batches batches(dataset, {.batch = 6, .augmentation = GetParam().augmentation, .seed = 77});
  Exec exec;
  const engine::ParameterArena arena(exec.device(), {});
  engine::Tape tape(exec, arena);
  const auto resident = resident_images(exec, batches);
  data::Batch batch(kShape, 6);
  for (std::int64_t number = 0; number < 3 * batches.per_epoch(); ++number) {
    const data::Request request = batches.whole(number);
    batches.prepare(request, batch);
    const auto indices = batches.indices(request);
    const std::vector<std::int32_t> images(indices.begin(), indices.end());
    const std::int64_t epoch = batches.epoch(number);
    std::vector<std::int32_t> labels(images.size());
    tape.begin(engine::Mode::inference);
    const engine::Var y = engine::augment(tape, resident, {std::span(images), std::span(&epoch, 1), resident.seed()},
                                          Span<std::int32_t>(std::span(labels)));
    EXPECT_TRUE(std::ranges::equal(y.floats().host(), batch.images().host())) << "batch " << number;
    EXPECT_TRUE(std::ranges::equal(labels, batch.labels().host())) << "batch " << number;
  }
}

INSTANTIATE_TEST_SUITE_P(Augmentations, Resident,
                         testing::Values(Variant{"none", data::kNoAugmentation, false},
                                         Variant{"standard", data::kStandardAugmentation, false},
                                         Variant{"crop", {.padding = 2, .flip = false}, false},
                                         Variant{"flip", {.padding = 0, .flip = true}, false},
                                         Variant{"mean_image", data::kStandardAugmentation, true}),
                         [](const auto& variant) { return variant.param.name; });

/// Logits from the pixels themselves.
engine::Var flattened(const engine::Var& images) { return engine::avg_pool(images, kShape.width); }

TEST(ResidentSteps, select_images_in_place_of_loading_them) {
  const data::Batches batches(small_data(3), {.batch = 6, .augmentation = data::kStandardAugmentation});
  const std::int64_t number = 2 * batches.per_epoch() + 1;  // in epoch 2
  Exec exec;
  const engine::ParameterArena arena(exec.device(), {});
  const auto resident = resident_images(exec, batches);
  const engine::Shape shape = batch_shape(batches, 6);
  engine::TrainingStep loading(exec, arena, flattened, shape, 3), selecting(exec, arena, flattened, shape, 3, &resident);
  data::Batch batch(kShape, 6);
  batches.prepare(batches.whole(number), batch);
  const auto indices = batches.indices(batches.whole(number));
  const std::vector<std::int32_t> images(indices.begin(), indices.end());
  loading.load(batch.images(), batch.labels(), 1.0F);
  const auto loaded = loading.score(loading.compute_gradients());
  selecting.select(images, batches.epoch(number), 1.0F);
  const auto selected = selecting.score(selecting.compute_gradients());
  EXPECT_THROW(selecting.load(batch.images(), batch.labels(), 1.0F), KernelError);
  EXPECT_THROW(loading.select(images, 0, 1.0F), KernelError);
  EXPECT_THROW(selecting.select(std::vector<std::int32_t>{23}, 0, 1.0F), InputError);
  EXPECT_THROW(selecting.select(std::vector<std::int32_t>(7), 0, 1.0F), ShapeError);
  EXPECT_EQ(selected.rows, 6);
  EXPECT_EQ(selected.loss_sum, loaded.loss_sum);
  EXPECT_EQ(selected.top1, loaded.top1);
}

}  // namespace
}  // namespace apam::training

// Batches, identified by a number.
//
// Numbers run over all epochs. Batch b belongs to epoch e = b / B, where B = ceil(n / batch) is the number of batches per epoch
// of n images. It contains the images from position (b mod B) * batch of that epoch's order. An epoch covers every image
// exactly once; its last batch may be short. Order and augmentation are pure functions of (seed, epoch, image), so the content
// of a batch does not depend on the process, thread or time that it is prepared in.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "data/augmentation.h"
#include "data/dataset.h"
#include "data/permutations.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/parallel.h"

namespace apam::data {

enum class Order : std::uint8_t { shuffled, sequential };

/// Parses "shuffled" or "sequential". Throws InputError otherwise.
Order parse_order(std::string_view text);

struct BatchOptions {
  Split split = Split::train;
  std::int64_t batch = 100;  ///< images per batch
  Order order = Order::shuffled;
  Augmentation augmentation = kStandardAugmentation;
  std::uint64_t seed = 0;
};

/// Options for evaluation: the images of a split in order, without augmentation.
BatchOptions evaluation_batches(std::int64_t batch, Split split = Split::test);

/// A batch, or the rows [begin, end) of a batch that is split between processes.
struct Request {
  std::int64_t batch = 0;  ///< counted over all epochs
  Range rows{};
  std::int64_t count() const { return rows.end - rows.begin; }
};

/// Reusable memory for a prepared batch. Move-only.
class Batch {
 public:
  Batch() = default;
  /// Room for `rows` images.
  Batch(ImageShape shape, std::int64_t rows);

  const Request& request() const { return request_; }
  std::int64_t count() const { return request_.count(); }
  std::int64_t capacity() const { return capacity_; }
  ImageShape shape() const { return shape_; }
  ConstSpan<float> images() const;  ///< (N, H, W, C), normalised
  Labels labels() const;            ///< (N)

 private:
  friend class Batches;

  ImageShape shape_{};
  std::int64_t capacity_ = 0;
  Request request_{};
  Buffer images_;                     // (capacity, H, W, C) float32
  Buffer labels_;                     // (capacity) int32
  std::vector<std::uint8_t> pixels_;  // (H, W, C): scratch for the dataset
  std::vector<float> row_;            // (W, C): scratch for the writer
};

/// Determines the content of every batch, and prepares batches.
class Batches {
 public:
  /// Throws InputError unless options.batch >= 1.
  Batches(std::shared_ptr<const Dataset> dataset, const BatchOptions& options);

  const Dataset& dataset() const { return *dataset_; }
  const BatchOptions& options() const { return options_; }
  std::int64_t images() const { return images_; }        ///< images per epoch
  std::int64_t per_epoch() const { return per_epoch_; }  ///< batches per epoch
  std::int64_t epoch(std::int64_t batch) const { return batch / per_epoch_; }
  std::int64_t rows(std::int64_t batch) const;  ///< images in this batch: options().batch, or fewer at the end of an epoch

  /// All of batch `batch` (>= 0).
  Request whole(std::int64_t batch) const { return {batch, {0, rows(batch)}}; }

  /// The rows of part `part` of `parts`. The parts partition the batch; their sizes differ by at most one. Some are empty if
  /// there are more parts than rows.
  Request share(std::int64_t batch, std::int64_t part, std::int64_t parts) const {
    return {batch, split(rows(batch), part, parts)};
  }

  /// Throws ShapeError unless the batch number is valid and the batch has these rows.
  void check(const Request& request) const;

  /// Writes the requested rows to `out`. Allocates only the order of a new epoch. Thread-safe for distinct `out`. Throws what
  /// check() and Dataset::read throw, and ShapeError if `out` is too small.
  void prepare(const Request& request, Batch& out) const;

  /// The image indices of the requested rows, in order.
  std::vector<std::int64_t> indices(const Request& request) const;

 private:
  template <class Body>
  void for_each_image(const Request& request, Body&& body) const;  // body(row within the request, image)

  std::shared_ptr<const Dataset> dataset_;
  BatchOptions options_;
  std::int64_t images_;
  std::int64_t per_epoch_;
  ImageWriter writer_;
  std::unique_ptr<Permutations> permutations_;  // null for sequential order
};

}  // namespace apam::data

// What a net requests of the kernels in a training step, an update and an evaluation: recorded by the request listener of an
// Exec while the net itself runs once, on one image. Problems are proportional to the number of images, so those of a batch
// follow.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/ops/all.h"

namespace apam::cases {

/// A net as the published runs train it.
struct TrainedNet {
  std::string_view name;
  int classes = 10;
  int batch = 100;  ///< images per step
};

/// One row per net of nets/.
std::span<const TrainedNet> trained_nets();

enum class Phase : std::uint8_t { training, update, evaluation };

template <class Op>
struct Request {
  typename Op::Problem problem;
  typename Op::Pass pass;
  Phase phase;
  std::string layer;  ///< "layer2.0.conv1" for the backward passes of layers with parameters, "sgd" for an update, else empty
};

class NetRequests {
 public:
  std::string name;  ///< of the net

  /// In order of request.
  template <class Op>
  const std::vector<Request<Op>>& of() const {
    return std::get<List<Op>>(lists_);
  }
  template <class Op>
  std::vector<Request<Op>>& of() {
    return std::get<List<Op>>(lists_);
  }

 private:
  template <class Op>
  using List = std::vector<Request<Op>>;
  kernels::PerOperation<List> lists_;
};

/// For `batch` images. The flat vectors of updates, which do not depend on the batch, have their full size at the batch of the
/// published runs and shrink in proportion below it, so that quick runs are quick.
NetRequests requests_of(const TrainedNet& net, int batch);

}  // namespace apam::cases

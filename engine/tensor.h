// A float32 tensor: a shape over memory that somebody else owns. A value; copying it copies no data.
#pragma once

#include "engine/shape.h"
#include "kernels/runtime/device_span.h"

namespace apam::engine {

/// Dense, outermost dimension first; images are (N, H, W, C).
struct Tensor {
  Shape shape;
  Out data;

  Tensor() = default;
  /// Throws ShapeError unless `data` has exactly the elements of `shape`.
  Tensor(const Shape& extents, Out values) : shape(extents), data(values) {
    require<ShapeError>(values.size() == extents.size(), "tensor: {} elements of memory for shape {}", values.size(), extents);
  }
};

}  // namespace apam::engine

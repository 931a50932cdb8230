// A tensor: a shape and a non-owning view of memory, of a type known at run time. Copies share the data.
#pragma once

#include "engine/shape.h"
#include "kernels/runtime/span.h"

namespace apam::engine {

/// Dense, outermost dimension first; images are (N, H, W, C).
struct Tensor {
  Shape shape;
  Out data;

  Tensor() = default;
  /// Throws ShapeError unless `data` has exactly the elements of `shape`.
  Tensor(const Shape& extents, Out values) : shape(extents), data(values) {
    require<ShapeError>(values.size() == extents.size(), "tensor: shape {} does not match memory of {} elements", extents,
                        values.size());
  }
};

}  // namespace apam::engine

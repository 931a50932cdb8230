#include "kernels/ops/augment.h"

namespace apam::kernels {

std::string Augment::Problem::describe() const {
  return fmt::format("{}x{}x{}x{}, padding {}{}{}{}", n, h, w, c, padding, flip ? ", flip" : "",
                     mean_image ? ", mean image" : "", suffix(type));
}

}  // namespace apam::kernels

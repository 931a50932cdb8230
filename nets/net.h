// A net: structure without state. The constructor registers the parameters in a layout; forward() runs on any tape whose
// parameter arena has that layout.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "engine/step.h"

namespace apam::nets {

class Net {
 public:
  virtual ~Net() = default;

  /// images (N, 32, 32, 3), normalised -> logits (N, classes) or (N, 1, 1, classes).
  virtual engine::Var forward(const engine::Var& images) const = 0;

  const engine::ParameterLayout& layout() const { return layout_; }
  int classes() const { return classes_; }

 protected:
  explicit Net(int classes);  ///< Throws InputError unless classes >= 1.

  engine::ParameterLayout layout_;

 private:
  int classes_;
};

/// The net as the function that a step runs. Must not outlive the net.
engine::Forward forward_of(const Net& net);

/// An entry of the table of nets.
struct NetEntry {
  std::string_view name;
  std::string_view summary;
  std::unique_ptr<Net> (*make)(int classes);
};

/// All nets: allcnn, resnet18, wrn28-5.
std::span<const NetEntry> all_nets();

/// Throws InputError for an unknown name.
std::unique_ptr<Net> make_net(std::string_view name, int classes);

}  // namespace apam::nets

// The table of nets, and the base class.
#include <array>

#include "nets/allcnn.h"
#include "nets/net.h"
#include "nets/resnet18.h"
#include "nets/wide_resnet.h"

namespace apam::nets {
namespace {

template <class N>
std::unique_ptr<Net> make(int classes) {
  return std::make_unique<N>(classes);
}

constexpr std::array<NetEntry, 3> kNets{{
    {"allcnn", "AllCNN: nine 3x3 convolutions with batch norm", make<AllCnn>},
    {"resnet18", "ResNet18 for 32x32 images", make<ResNet18>},
    {"wrn28-5", "WRN-28-5: wide residual network of depth 28, width 5", make<WideResNet>},
}};

}  // namespace

Net::Net(int classes) : classes_(classes) {
  require<InputError>(classes >= 1, "net: expected at least 1 class, got {}", classes);
}

engine::Forward forward_of(const Net& net) {
  return [&net](const engine::Var& images) { return net.forward(images); };
}

std::span<const NetEntry> all_nets() { return kNets; }

std::unique_ptr<Net> make_net(std::string_view name, int classes) {
  std::string known;
  for (const auto& entry : kNets) {
    if (entry.name == name) return entry.make(classes);
    known += fmt::format("{}{}", known.empty() ? "" : ", ", entry.name);
  }
  fail<InputError>("net: expected one of {}, got '{}'", known, name);
}

}  // namespace apam::nets

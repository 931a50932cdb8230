// Operands of vector kernels: pointers to the type in which activations are stored.
#pragma once

#include <type_traits>

#include "kernels/cpu/isa.h"
#include "kernels/runtime/span.h"

namespace apam::kernels::cpu {

/// The elements of an operand as T, which is float or Bits16. Throws TypeError if they are of another type.
template <class T>
const T* elements(In operand, std::string_view name) {
  if constexpr (std::is_same_v<T, Bits16>) {
    return reinterpret_cast<const Bits16*>(operand.as<BFloat16>(name).data());
  } else {
    return operand.as<T>(name).data();
  }
}
template <class T>
T* elements(Out operand, std::string_view name) {
  return const_cast<T*>(elements<T>(In(operand), name));
}

template <class T>
const ActivationKernels<T>& activation_kernels_of(const Isa& isa) {
  if constexpr (std::is_same_v<T, Bits16>) {
    return isa.bfloat16;
  } else {
    return isa.float32;
  }
}

/// make.template operator()<T>() for the type in which a problem stores activations.
template <class Make>
auto with_storage(DType type, const Make& make) {
  return type == DType::bfloat16 ? make.template operator()<Bits16>() : make.template operator()<float>();
}

}  // namespace apam::kernels::cpu

// Run-time choice of the instruction set. The binary contains the vector kernels once per instruction set; the program uses
// the best set that its processor supports.
//
//   vector/portable.h, avx2.h, avx512.h   one vector type per instruction set: width, load, store, fma, ...
//   vector/*.h                            the kernels, templates on the vector type
//   vector/build_*.cpp                    one per instruction set, compiled with its flags: instantiates the kernels and
//                                         exports them as one table of function pointers (struct Isa)
//   bf16/                                 convolution in products of bfloat16, as a second table (struct TileKernels16)
//   all other files in this folder        shapes, threads and workspace; they call the kernels through the table
//
// No weak symbols. An inline function that is compiled in build_avx512.cpp may contain AVX-512 instructions. If it were a weak
// symbol, the linker could keep this copy for the whole program, which would then crash on processors without AVX-512. So
// build_*.cpp must not define weak symbols:
// - vector types are in unnamed namespaces, which gives templates instantiated with them internal linkage;
// - headers in vector/ include only each other, <cstdint> and the compiler's intrinsics;
// - a test inspects the object files (tests/kernels/cpu/symbols.cmake).
//
// Rounding. build_*.cpp are compiled with -ffp-contract=off: a fused multiply-add is used only where the code calls fma. The
// result of an element-wise kernel is therefore the same, bit for bit, at any position in the array, for any number of
// threads, and on all instruction sets with fma.
#pragma once

#include <span>
#include <string_view>

#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

/// The vector instruction sets of this build that the processor supports, best last. The first is always "portable".
std::span<const Isa* const> available_isas();

/// These, then "avx512" with products of bfloat16: "avx512_bf16" if the processor has AVX512-BF16, "amx" if it has AMX and
/// Linux permits it (kernels/cpu/bf16/amx_support.h).
std::span<const Isa* const> all_isas();

/// The fastest of all_isas().
const Isa& best_isa();

/// The one of all_isas() with that name. Throws InputError if there is none.
const Isa& find_isa(std::string_view name);

/// The best instruction set, or the one named by the environment variable APAM_ISA. Fixed at the first call. Throws InputError
/// as find_isa() does.
const Isa& default_isa();

/// The register tile with the fewest cycles per row for a product with `columns` columns. Model: one vector multiply-add and
/// one load per cycle, charging padded columns; ties go to the first tile in the list.
const TileKernels& best_tile(const Isa& isa, std::int64_t columns);

}  // namespace apam::kernels::cpu

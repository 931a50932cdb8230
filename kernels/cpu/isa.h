// Instruction sets: one binary carries the vector kernels once for each instruction set and picks one at run time.
//
// How it is built. A vector type (vector/portable.h, avx2.h, avx512.h) wraps one instruction set; the kernels in vector/
// are templates on it. For each instruction set one file (vector/build_*.cpp), and nothing else, is compiled with its
// compiler options: it includes the vector type and the templates, and exports one table of function pointers (struct Isa).
// Everything else of this folder is ordinary code: it deals with shapes, threads and workspace and calls through the table.
//
// What must not happen: an inline function of the standard library or of ours, compiled in build_avx512.cpp, being kept by
// the linker for everyone, so that a machine without AVX-512 dies in code that has nothing to do with it. Therefore the
// vector types live in unnamed namespaces, which gives every template made for them internal linkage; headers in vector/
// include nothing but <cstdint> and the compiler's intrinsics; and a test checks that the objects define no weak symbol.
//
// How it rounds. These files are compiled without floating-point contraction: a fused multiply-add stands where the code
// says fma, everywhere else each operation rounds on its own. Element-wise results are thus the same in any position,
// for any number of threads, and for all instruction sets that have fma.
#pragma once

#include <span>
#include <string_view>

#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

/// Instruction sets of this build that the processor can run, best last. The first is "portable", which always runs.
std::span<const Isa* const> available_isas();

/// The available instruction set of that name. Throws InputError when there is none.
const Isa& find_isa(std::string_view name);

/// The best available one, or the one that the environment variable APAM_ISA names. Settled at the first call.
const Isa& default_isa();

/// The register tile for a product of so many columns: the one that takes the fewest cycles a row, counting columns that are
/// computed in vain, and as many multiply-adds a cycle as loads; of those that tie, the first.
const TileKernels& best_tile(const Isa& isa, std::int64_t columns);

}  // namespace apam::kernels::cpu

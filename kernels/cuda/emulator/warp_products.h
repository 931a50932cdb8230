// wgmma: products that a warpgroup issues and that run later. Each warp multiplies 16 of the 64 rows of a; its products run
// when it waits for their group, not before, and read their operands then.
//
// The sums in registers are NaN while a product is in flight. A descriptor names an operand in shared memory with the swizzle
// of 128 bytes, the only one known here, after the PTX manual (section "Matrix descriptor") and the layouts of CUTLASS:
//   by row     element (row, depth) at start + row / 8 * stride + row % 8 * 128 + depth * 2
//   by depth   element (row, depth) at start + row / 64 * leading + depth / 8 * stride + depth % 8 * 128 + row % 64 * 2
// and then bits 4 .. 6 of the address change by bits 7 .. 9.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "kernels/cuda/emulator/shadow.h"

namespace apam::kernels::cuda::emulator {

/// An instruction: a (64 x 16) times b (16 x columns).
struct Product {
  std::uint64_t a, b;  // descriptors
  bool a_by_depth, b_by_depth;
  int columns;

  bool operator==(const Product&) const = default;
};

/// What a warpgroup has issued: its warps must issue the same.
class GroupProducts {
 public:
  /// Product number `index` of one of the warps. Throws Stop if another warp has issued another one.
  void agree(std::size_t index, const Product& product, const Site& site);

 private:
  std::vector<Product> issued_;
};

class WarpProducts {
 public:
  /// `warp`: its number in the block.
  WarpProducts(int warp, GroupProducts& group) : warp_(warp), group_(&group) {}

  /// The sums' registers may be read by products.
  void fence() { fenced_ = true; }
  /// `sums`: those of each lane. `thread` is the last lane that came.
  void issue(SharedMemory& memory, int thread, const Product& product, const std::array<float*, 32>& sums, const Site& site);
  void commit();
  void wait(SharedMemory& memory, std::size_t groups_left);

  bool idle() const { return open_.empty() && groups_.empty(); }

 private:
  struct Sums {  // in flight
    std::array<float*, 32> registers{};
    std::vector<float> values;  // (lanes, columns / 2)
    int columns = 0, products = 0;
    Site site;
  };
  struct Pending {
    Product product;
    std::shared_ptr<Sums> sums;
    std::uint16_t site;
  };

  std::shared_ptr<Sums> sums_of(const std::array<float*, 32>& registers, int columns, const Site& site);
  void multiply(const SharedMemory& memory, const Product& product, Sums& sums) const;
  static void store(SharedMemory& memory, const Sums& sums);
  /// visit(operand's address, first row, first depth) for each 16 bytes of the operands: 8 depths if by row, else 8 rows.
  template <class A, class B>
  void for_chunks(const Product& product, const A& visit_a, const B& visit_b) const;

  int warp_;
  GroupProducts* group_;
  std::size_t issued_ = 0;
  bool fenced_ = false;  // since the last wait
  std::vector<Pending> open_;
  std::deque<std::vector<Pending>> groups_;
  std::vector<std::shared_ptr<Sums>> in_flight_;
};

}  // namespace apam::kernels::cuda::emulator

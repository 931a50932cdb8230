#include "kernels/cuda/wgmma_products.h"

#include "kernels/cuda/gather_product.h"
#include "kernels/cuda/tma_product.h"
#include "kernels/cuda/weight_product.h"

namespace apam::kernels::cuda {

template <class K>
void launch_wgmma(Exec& exec, Extent blocks, const typename K::Args& args) {
  launch<K>(exec, blocks, args);
}

namespace {

template <int rows, int columns, Layout b>
using Gather = GatherProduct<WgmmaTile<rows, columns, Layout::by_row, b>, true>;
template <int rows, int columns, Layout b>
using GatherByElement = GatherProduct<WgmmaTile<rows, columns, Layout::by_row, b>, false>;
template <int rows, int columns, Layout b>
using ByTma = TmaProduct<WgmmaTile<rows, columns, Layout::by_row, b>>;
using Args = GatherArgs<BFloat16>;

template <int rows, int columns>
using WeightTile = WgmmaTile<rows, columns, Layout::by_depth, Layout::by_depth>;
template <class Tile>
using Weight = WeightProduct<Tile, AlignedWindows<Tile>, true>;
template <class Tile>
using PackedWeight = WeightProduct<Tile, PackedWindows<Tile>, false>;

}  // namespace

// Forward, then backward for the input.
template void launch_wgmma<Gather<64, 64, Layout::by_row>>(Exec&, Extent, const Args&);
template void launch_wgmma<Gather<128, 64, Layout::by_row>>(Exec&, Extent, const Args&);
template void launch_wgmma<Gather<128, 128, Layout::by_row>>(Exec&, Extent, const Args&);
template void launch_wgmma<GatherByElement<64, 64, Layout::by_row>>(Exec&, Extent, const Args&);
template void launch_wgmma<GatherByElement<128, 64, Layout::by_row>>(Exec&, Extent, const Args&);
template void launch_wgmma<GatherByElement<128, 128, Layout::by_row>>(Exec&, Extent, const Args&);
template void launch_wgmma<Gather<64, 64, Layout::by_depth>>(Exec&, Extent, const Args&);
template void launch_wgmma<Gather<128, 64, Layout::by_depth>>(Exec&, Extent, const Args&);
template void launch_wgmma<Gather<128, 128, Layout::by_depth>>(Exec&, Extent, const Args&);
template void launch_wgmma<GatherByElement<64, 64, Layout::by_depth>>(Exec&, Extent, const Args&);
template void launch_wgmma<GatherByElement<128, 64, Layout::by_depth>>(Exec&, Extent, const Args&);
template void launch_wgmma<GatherByElement<128, 128, Layout::by_depth>>(Exec&, Extent, const Args&);
template void launch_wgmma<ByTma<64, 64, Layout::by_row>>(Exec&, Extent, const TmaArgs&);
template void launch_wgmma<ByTma<128, 64, Layout::by_row>>(Exec&, Extent, const TmaArgs&);
template void launch_wgmma<ByTma<128, 128, Layout::by_row>>(Exec&, Extent, const TmaArgs&);
template void launch_wgmma<ByTma<64, 64, Layout::by_depth>>(Exec&, Extent, const TmaArgs&);
template void launch_wgmma<ByTma<128, 64, Layout::by_depth>>(Exec&, Extent, const TmaArgs&);
template void launch_wgmma<ByTma<128, 128, Layout::by_depth>>(Exec&, Extent, const TmaArgs&);

// Backward for the weights.
template void launch_wgmma<Weight<WeightTile<64, 64>>>(Exec&, Extent, const WeightArgs<BFloat16>&);
template void launch_wgmma<Weight<WeightTile<128, 64>>>(Exec&, Extent, const WeightArgs<BFloat16>&);
template void launch_wgmma<Weight<WeightTile<128, 128>>>(Exec&, Extent, const WeightArgs<BFloat16>&);
template void launch_wgmma<PackedWeight<WeightTile<64, 64>>>(Exec&, Extent, const WeightArgs<BFloat16>&);
template void launch_wgmma<PackedWeight<WeightTile<128, 64>>>(Exec&, Extent, const WeightArgs<BFloat16>&);
template void launch_wgmma<PackedWeight<WeightTile<128, 128>>>(Exec&, Extent, const WeightArgs<BFloat16>&);

}  // namespace apam::kernels::cuda

// What cuDNN has answered before in this process. Proposals of the heuristics take tens of milliseconds per graph, and are
// wanted whenever it is asked whether a problem is supported; a plan that is compiled when it is made takes half a second, and
// is wanted again after a comparison. Any thread may call; a plan belongs to one caller at a time.
#pragma once

#include "kernels/cudnn/plan.h"

namespace apam::kernels::cudnn {

/// The properties of a GPU.
const Properties& properties_of_gpu(int index);

/// The first few candidates() of a graph on a GPU. Graphs of the same name are the same.
const std::vector<Candidate>& first_candidates(const Graph&, int gpu, const Rules&);

/// A plan on a GPU: one that was given back, else a new one. Throws NotSupported.
Plan take_plan(std::shared_ptr<const Graph>, int gpu, const Engine&);
/// Work that uses the plan may still be in flight.
void give_back(Plan, int gpu);

}  // namespace apam::kernels::cudnn

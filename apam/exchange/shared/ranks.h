// Sets up the memory that all ranks of a training share: rank 0 creates it, the others attach.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "apam/exchange/error.h"
#include "apam/exchange/shared/all_reduce.h"
#include "apam/exchange/shared/first_arrivals.h"
#include "apam/exchange/shared/transports.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/shared_memory.h"

namespace apam::exchange::shared {

/// The ranks cannot share memory. The text is the same on all ranks: "rank 2: is on host b, rank 0 is on a".
class NotShared : public ExchangeError {
 public:
  using ExchangeError::ExchangeError;
};

/// All-gather: the text of each rank, by rank. Collective.
using GatherTexts = std::function<std::vector<std::string>(std::string_view text)>;

/// What a rank of asynchronous training needs for its transport. The memory is in use until the last rank has ended.
struct SharedRank {
  SharedMemory memory;
  Segment segment;
  ProcessWatch others;     ///< rank 0: of the workers, by worker; others: of rank 0
  ProcessWatch followers;  ///< rank 0: of the other masters, in order; others: of none

  // With values on GPUs:
  Buffer written{};                      ///< on the GPU of this rank: versions of rank 0, contribution of others
  std::vector<ImportedMemory> mapped{};  ///< of rank 0: contributions, by worker; of others: versions
};

/// Collective. `colocated`: as in roles.h. Versions are read-only for ranks that are only workers. If a rank is on another host
/// or the system of a rank refuses, all ranks throw the same NotShared.
SharedRank share_memory(int rank, const SegmentLayout& layout, bool colocated, const GatherTexts& gather);

/// The same for ranks on GPUs, this one on `device`, with layout.on_gpus, one master and no colocated ranks. Every rank checks
/// that it sees what the others have written to memory of their GPUs; if not, all ranks throw NotShared.
SharedRank share_memory_of_gpus(int rank, const SegmentLayout& layout, Device device, const GatherTexts& gather);

/// What a rank of synchronous training needs for its all-reduce.
struct SharedPeer {
  SharedMemory memory;
  Group group;
  ProcessWatch others;  ///< of all other ranks
};

/// Collective, with the same errors.
SharedPeer share_memory(int rank, const GroupLayout& layout, const GatherTexts& gather);

/// The same with backup ranks.
struct SharedBackup {
  SharedMemory memory;
  BackupGroup group;
  ProcessWatch others;  ///< of all other ranks
};

SharedBackup share_memory(int rank, const BackupLayout& layout, const GatherTexts& gather);

}  // namespace apam::exchange::shared

#pragma once

// The contract of top_positions() on Hopper. A row is shared by a cluster of blocks, each reading its part once. A sample of the row gives a bound
// that the k best very likely lie above, so that a block keeps few candidates; if the sample has misled, or there are too many, the result is exact all
// the same, only later. In the end each block gathers the keys of all the cluster's candidates and finds the cut among them by a radix search.
// Short rows are held in the registers of one block.

#include "inference/cuda/top_positions.h"

namespace gauntlet::kernels {

/// How the work is divided. Any plan gives the same result.
struct TopPositionsPlan {
  int blocks = 1;            ///< of a row: 1, 2, 4 or 8; 0: one that holds the row in registers, 16 scores a thread
  int threads = 512;         ///< of a block: 256 or 512; 1024 too where it holds the row
  int stages = 3;            ///< of the ring that a block reads through, 16 scores a thread each; holds blocks × k scores or more
  int candidates = 4352;     ///< that a block has room for: more than k, at least 4096, fewer than 2^16
  bool sampled = true;
};

TopPositionsPlan plan_top_positions(const TopPositionsArgs& args);

/// True where top_positions_cluster() accepts the arguments and the current device is of compute capability 9.0.
bool top_positions_cluster_takes(const TopPositionsArgs& args);
void top_positions_cluster(const TopPositionsArgs& args, CudaStream stream);
void top_positions_cluster(const TopPositionsArgs& args, const TopPositionsPlan& plan, CudaStream stream);

}  // namespace gauntlet::kernels

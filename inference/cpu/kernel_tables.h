#pragma once

// One table for each instruction set; kernels.cpp chooses.

#include "inference/cpu/kernels.h"

namespace gauntlet {

const CpuKernels& baseline_kernels();
const CpuKernels& avx2_kernels();
const CpuKernels& avx512_kernels();
const CpuKernels& avx512_vnni_kernels();

}  // namespace gauntlet

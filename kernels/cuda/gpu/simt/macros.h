// The one macro of kernels: DEVICE marks a function that runs on the device.
#pragma once

#define DEVICE __device__ __forceinline__

// The one macro of kernels: DEVICE marks a function that runs on the device. On the emulator it is an ordinary function.
#pragma once

#define DEVICE inline

// cuDNN 9, loaded at run time, so that a program built with it also starts on a machine without it. The headers are those of
// the build; only functions of the graph API are used, none of them deprecated.
//
// Where it is looked for (kernels/runtime/loaded_library.h): $APAM_CUDNN, libcudnn.so.9, or where the build found it. The copy
// of a PyTorch wheel, site-packages/nvidia/cudnn/lib, will do.
#pragma once

#include <cudnn.h>

#include <string>

#include "kernels/runtime/error.h"

namespace apam::kernels::cudnn {

/// The functions of cuDNN, under the library's names without "cudnn".
struct Library {
  decltype(&cudnnGetVersion) get_version;
  decltype(&cudnnGetErrorString) get_error_string;
  decltype(&cudnnGetLastErrorString) get_last_error_string;
  decltype(&cudnnCreate) create;
  decltype(&cudnnDestroy) destroy;
  decltype(&cudnnSetStream) set_stream;
  decltype(&cudnnBackendCreateDescriptor) create_descriptor;
  decltype(&cudnnBackendDestroyDescriptor) destroy_descriptor;
  decltype(&cudnnBackendSetAttribute) set_attribute;
  decltype(&cudnnBackendGetAttribute) get_attribute;
  decltype(&cudnnBackendFinalize) finalize;
  decltype(&cudnnBackendExecute) execute;

  std::string version;  ///< "9.19.0"
  std::string path;
};

/// Loaded by the first call. Throws DeviceError with absence() if that fails.
const Library& library();

/// Why cuDNN cannot be used; empty if it can.
const std::string& absence();

/// cuDNN cannot run this graph, or not with this engine. Other failures are DeviceErrors.
class NotSupported : public KernelError {
 public:
  using KernelError::KernelError;
};

/// Throws NotSupported or DeviceError unless a call succeeded: "cudnn: WHAT: CUDNN_STATUS_...: reason".
void check(cudnnStatus_t status, const std::string& what);

}  // namespace apam::kernels::cudnn

#include "kernels/cudnn/library.h"

#include <array>
#include <string_view>

#include "kernels/cudnn/built_with.h"
#include "kernels/providers.h"
#include "kernels/runtime/loaded_library.h"

namespace apam::kernels::cudnn {
namespace {

constexpr const char* kFile = "libcudnn.so.9";
constexpr std::size_t kOldest = 90800;  // the first that builds plans from the properties of a device

Library functions_of(const OpenLibrary& opened) {
  Library library{};
  library.path = opened.path();
  opened.find(library.get_version, "cudnnGetVersion");
  opened.find(library.get_error_string, "cudnnGetErrorString");
  opened.find(library.get_last_error_string, "cudnnGetLastErrorString");
  opened.find(library.create, "cudnnCreate");
  opened.find(library.destroy, "cudnnDestroy");
  opened.find(library.set_stream, "cudnnSetStream");
  opened.find(library.create_descriptor, "cudnnBackendCreateDescriptor");
  opened.find(library.destroy_descriptor, "cudnnBackendDestroyDescriptor");
  opened.find(library.set_attribute, "cudnnBackendSetAttribute");
  opened.find(library.get_attribute, "cudnnBackendGetAttribute");
  opened.find(library.finalize, "cudnnBackendFinalize");
  opened.find(library.execute, "cudnnBackendExecute");
  const std::size_t version = library.get_version();
  library.version = fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  require<DeviceError>(version >= kOldest, "{} is cuDNN {}, 9.8 or newer is required", library.path, library.version);
  return library;
}

const LoadedLibrary<Library>& loaded() {
  static const auto result = load_library<Library>(library_places("APAM_CUDNN", kFile, kLibraryOfBuild), functions_of);
  return result;
}

}  // namespace

const Library& library() { return loaded().get("cudnn"); }

const std::string& absence() { return loaded().absence; }

std::string status() { return loaded().status(); }

void check(cudnnStatus_t status, const std::string& what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  constexpr int kNotSupported = 3;  // thousands of the status: CUDNN_STATUS_NOT_SUPPORTED and its variants
  std::array<char, 512> reason{};
  library().get_last_error_string(reason.data(), reason.size());
  const std::string_view text(reason.data());
  const std::string line(text.substr(0, text.find('\n')));
  const std::string message =
      fmt::format("cudnn: {}: {}{}{}", what, library().get_error_string(status), line.empty() ? "" : ": ", line);
  if (static_cast<int>(status) / 1000 == kNotSupported) throw NotSupported(message);
  throw DeviceError(message);
}

}  // namespace apam::kernels::cudnn

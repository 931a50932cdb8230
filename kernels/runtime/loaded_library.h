// Vendors' libraries that are loaded at run time, so that a program built with them also starts on a machine without them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/runtime/error.h"

namespace apam {

/// Where a library is looked for: the value of the environment variable `variable`, a file or a folder that has `file`, and
/// then nowhere else; else where the dynamic linker finds `file` (LD_LIBRARY_PATH, rpath, ldconfig); else `of_build`, where the
/// build found it.
std::vector<std::string> library_places(const char* variable, const char* file, const char* of_build);

/// A library that is open, and is never closed: its functions are used to the end.
class OpenLibrary {
 public:
  /// Throws DeviceError with the dynamic linker's reason.
  explicit OpenLibrary(std::string place);

  const std::string& path() const { return path_; }

  /// function = the function of that name. Throws DeviceError if there is none.
  template <class Function>
  void find(Function& function, const char* name) const {
    function = reinterpret_cast<Function>(address_of(name));
  }

 private:
  void* address_of(const char* name) const;

  std::string path_;
  void* handle_;
};

/// The functions of a library, or the reason why there are none. Functions has the library's `version` and `path`.
template <class Functions>
struct LoadedLibrary {
  std::optional<Functions> functions;
  std::string absence;  ///< "not found: ..."; empty if there are functions

  /// Throws DeviceError with the absence: "cudnn: not found: ...".
  const Functions& get(std::string_view name) const {
    require<DeviceError>(functions.has_value(), "{}: {}", name, absence);
    return *functions;
  }
  /// "9.19.0, PATH", or the absence.
  std::string status() const { return functions ? fmt::format("{}, {}", functions->version, functions->path) : absence; }
};

/// functions_of(OpenLibrary) of the first place where there is a library for which it does not throw DeviceError.
template <class Functions, class FunctionsOf>
LoadedLibrary<Functions> load_library(const std::vector<std::string>& places, const FunctionsOf& functions_of) {
  LoadedLibrary<Functions> loaded;
  for (const std::string& place : places) {
    try {
      loaded.functions = functions_of(OpenLibrary(place));
      loaded.absence.clear();
      return loaded;
    } catch (const DeviceError& error) {
      loaded.absence += fmt::format("{}{}", loaded.absence.empty() ? "not found: " : "; ", error.what());
    }
  }
  return loaded;
}

}  // namespace apam

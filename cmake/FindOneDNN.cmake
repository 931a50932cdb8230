# Finds oneDNN 2.6 or newer by header and library: target OneDNN::OneDNN, variables OneDNN_FOUND, OneDNN_VERSION and
# OneDNN_VERSION_MAJOR. (Debian's dnnl-config.cmake requires the OpenCL headers, which are not needed here.)
find_path(OneDNN_INCLUDE_DIR NAMES oneapi/dnnl/dnnl.hpp)
find_library(OneDNN_LIBRARY NAMES dnnl)
mark_as_advanced(OneDNN_INCLUDE_DIR OneDNN_LIBRARY)

if(OneDNN_INCLUDE_DIR)
  include(${CMAKE_CURRENT_LIST_DIR}/HeaderVersion.cmake)
  apam_header_version(OneDNN ${OneDNN_INCLUDE_DIR}/oneapi/dnnl/dnnl_version.h DNNL_VERSION MAJOR MINOR PATCH)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OneDNN REQUIRED_VARS OneDNN_LIBRARY OneDNN_INCLUDE_DIR VERSION_VAR OneDNN_VERSION)

if(OneDNN_FOUND AND NOT TARGET OneDNN::OneDNN)
  add_library(OneDNN::OneDNN UNKNOWN IMPORTED)
  set_target_properties(OneDNN::OneDNN PROPERTIES
    IMPORTED_LOCATION ${OneDNN_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${OneDNN_INCLUDE_DIR})
endif()

# Finds cuDNN by header, and by library for the place where the program looks for it last: variables CuDNN_FOUND, CuDNN_VERSION,
# CuDNN_INCLUDE_DIR and CuDNN_LIBRARY. The program loads the library at run time and does not link to it. A PyTorch wheel's copy:
# -DCuDNN_ROOT=.../site-packages/nvidia/cudnn.
find_path(CuDNN_INCLUDE_DIR NAMES cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
find_library(CuDNN_LIBRARY NAMES libcudnn.so.9 cudnn HINTS ${CUDAToolkit_LIBRARY_DIR} ${CUDAToolkit_LIBRARY_ROOT}/lib)
mark_as_advanced(CuDNN_INCLUDE_DIR CuDNN_LIBRARY)

if(CuDNN_INCLUDE_DIR)
  include(${CMAKE_CURRENT_LIST_DIR}/HeaderVersion.cmake)
  apam_header_version(CuDNN ${CuDNN_INCLUDE_DIR}/cudnn_version.h CUDNN MAJOR MINOR PATCHLEVEL)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CuDNN REQUIRED_VARS CuDNN_LIBRARY CuDNN_INCLUDE_DIR VERSION_VAR CuDNN_VERSION)

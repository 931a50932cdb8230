# Finds cuDNN by header, and by library for the place where the program looks for it last: variables CuDNN_FOUND, CuDNN_VERSION,
# CuDNN_INCLUDE_DIR and CuDNN_LIBRARY. The program loads the library at run time and does not link to it. A PyTorch wheel's copy:
# -DCuDNN_ROOT=.../site-packages/nvidia/cudnn.
find_path(CuDNN_INCLUDE_DIR NAMES cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
find_library(CuDNN_LIBRARY NAMES libcudnn.so.9 cudnn HINTS ${CUDAToolkit_LIBRARY_DIR} ${CUDAToolkit_LIBRARY_ROOT}/lib)
mark_as_advanced(CuDNN_INCLUDE_DIR CuDNN_LIBRARY)

if(CuDNN_INCLUDE_DIR)
  file(STRINGS ${CuDNN_INCLUDE_DIR}/cudnn_version.h lines REGEX "#define CUDNN_(MAJOR|MINOR|PATCHLEVEL) +[0-9]+")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE ".*CUDNN_(MAJOR|MINOR|PATCHLEVEL) +([0-9]+).*" "\\1;\\2" pair "${line}")
    list(GET pair 0 part)
    list(GET pair 1 CuDNN_VERSION_${part})
  endforeach()
  set(CuDNN_VERSION ${CuDNN_VERSION_MAJOR}.${CuDNN_VERSION_MINOR}.${CuDNN_VERSION_PATCHLEVEL})
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CuDNN REQUIRED_VARS CuDNN_LIBRARY CuDNN_INCLUDE_DIR VERSION_VAR CuDNN_VERSION)

# Finds NCCL by header, and by library for the place where the program looks for it last: variables NCCL_FOUND, NCCL_VERSION,
# NCCL_INCLUDE_DIR and NCCL_LIBRARY. The program loads the library at run time and does not link to it. A PyTorch wheel's copy:
# -DNCCL_ROOT=.../site-packages/nvidia/nccl.
find_path(NCCL_INCLUDE_DIR NAMES nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
find_library(NCCL_LIBRARY NAMES libnccl.so.2 nccl HINTS ${CUDAToolkit_LIBRARY_DIR} ${CUDAToolkit_LIBRARY_ROOT}/lib)
mark_as_advanced(NCCL_INCLUDE_DIR NCCL_LIBRARY)

if(NCCL_INCLUDE_DIR)
  include(${CMAKE_CURRENT_LIST_DIR}/HeaderVersion.cmake)
  apam_header_version(NCCL ${NCCL_INCLUDE_DIR}/nccl.h NCCL MAJOR MINOR PATCH)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(NCCL REQUIRED_VARS NCCL_LIBRARY NCCL_INCLUDE_DIR VERSION_VAR NCCL_VERSION)

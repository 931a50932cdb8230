# apam_kernel_fingerprint(VARIABLE FOLDER): a hash (12 hex digits) of everything but the machine that kernel timings depend on:
# compiler, flags, libraries and the sources in FOLDER. Part of the file name of the tuning cache (kernels/tuning_cache.cpp).
function(apam_kernel_fingerprint variable folder)
  string(TOUPPER "${CMAKE_BUILD_TYPE}" type)
  string(JOIN "|" content
    "${CMAKE_CXX_COMPILER_ID}" "${CMAKE_CXX_COMPILER_VERSION}"
    "${CMAKE_BUILD_TYPE}" "${CMAKE_CXX_FLAGS}" "${CMAKE_CXX_FLAGS_${type}}" "${APAM_SANITIZE}"
    "${APAM_OPENMP}" "${OpenMP_CXX_FLAGS}" "${OpenMP_CXX_LIBRARIES}"
    "${APAM_WITH_ONEDNN}" "${OneDNN_VERSION}" "${APAM_WITH_CUDA}" "${CUDAToolkit_VERSION}"
    "${APAM_WITH_CUDNN}" "${CuDNN_VERSION}")
  set(depends CONFIGURE_DEPENDS)
  if(CMAKE_SCRIPT_MODE_FILE)  # run by a test
    set(depends "")
  endif()
  file(GLOB_RECURSE sources ${depends} RELATIVE "${folder}"
    "${folder}/*.cpp" "${folder}/*.h" "${folder}/*.cu" "${folder}/*.cuh" "${folder}/CMakeLists.txt")
  list(SORT sources)
  foreach(source IN LISTS sources)
    file(SHA256 "${folder}/${source}" hash)
    string(APPEND content "|${source} ${hash}")
    if(depends)
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${folder}/${source}")
    endif()
  endforeach()
  string(SHA256 fingerprint "${content}")
  string(SUBSTRING "${fingerprint}" 0 12 fingerprint)
  set(${variable} "${fingerprint}" PARENT_SCOPE)
endfunction()

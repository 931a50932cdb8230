# apam_kernel_fingerprint(VARIABLE FOLDER): twelve digits that stand for what timings of the kernels in FOLDER depend on
# besides the machine. They name the file that keeps the timings (kernels/tuning_cache.cpp): another compiler, other flags,
# another library or other sources must not be judged by them.
function(apam_kernel_fingerprint variable folder)
  string(TOUPPER "${CMAKE_BUILD_TYPE}" type)
  string(JOIN "|" content
    "${CMAKE_CXX_COMPILER_ID}" "${CMAKE_CXX_COMPILER_VERSION}"
    "${CMAKE_BUILD_TYPE}" "${CMAKE_CXX_FLAGS}" "${CMAKE_CXX_FLAGS_${type}}" "${APAM_SANITIZE}"
    "${APAM_OPENMP}" "${OpenMP_CXX_FLAGS}" "${OpenMP_CXX_LIBRARIES}"
    "${APAM_WITH_ONEDNN}" "${OneDNN_VERSION}" "${APAM_WITH_CUDA}" "${CUDAToolkit_VERSION}")
  set(depends CONFIGURE_DEPENDS)
  if(CMAKE_SCRIPT_MODE_FILE)  # a test
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

# External libraries. Optional ones set APAM_WITH_<NAME>. docs/architecture.md lists the purpose of each.

find_package(Threads REQUIRED)
find_package(CLI11 2.1 REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(ZLIB REQUIRED)
find_package(MPICH 3.2 REQUIRED)
find_path(STB_INCLUDE_DIR stb/stb_image.h REQUIRED DOC "Folder that has stb/stb_image.h")
# stb_image has its code in its header. These definitions select the PNG decoder, with internal linkage.
set(STB_IMAGE_DEFINITIONS STB_IMAGE_IMPLEMENTATION STB_IMAGE_STATIC STBI_ONLY_PNG STBI_NO_STDIO STBI_NO_LINEAR)

# apam_optional(NAME arguments...): calls find_package as APAM_<NAME> = AUTO | ON | OFF requires; sets APAM_WITH_<NAME>.
macro(apam_optional name)
  set(APAM_WITH_${name} OFF)
  if(NOT APAM_${name} STREQUAL "OFF")
    find_package(${ARGN})
    if(${ARGV1}_FOUND)
      set(APAM_WITH_${name} ON)
    elseif(APAM_${name} STREQUAL "ON")
      message(FATAL_ERROR "APAM_${name}=ON, but ${ARGV1} was not found. Install it, or configure with -DAPAM_${name}=OFF.")
    endif()
  endif()
endmacro()

if(APAM_OPENMP)
  find_package(OpenMP REQUIRED COMPONENTS CXX)
endif()
apam_optional(ONEDNN OneDNN 2.6)
apam_optional(CUDA CUDAToolkit)
message(STATUS "apam: MPICH ${MPICH_VERSION}, OpenMP ${APAM_OPENMP}, oneDNN ${APAM_WITH_ONEDNN} ${OneDNN_VERSION}, CUDA ${APAM_WITH_CUDA} ${CUDAToolkit_VERSION}")

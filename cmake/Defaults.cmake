# Language standard, warnings and sanitizers of all targets.

if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_CXX_FLAGS_RELEASE "-O3 -DNDEBUG")

# Parsing headers and instantiating templates take most of the time to compile a file, so several are compiled as one.
set(CMAKE_UNITY_BUILD_BATCH_SIZE 16)
if(APAM_UNITY)
  set(CMAKE_UNITY_BUILD ON)
endif()

# apam_separate(target sources...): these are compiled one by one in unity builds, for they share names with others of the target
# or with headers of libraries.
function(apam_separate target)
  set_source_files_properties(${ARGN} TARGET_DIRECTORY ${target} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

if(APAM_SANITIZE)
  add_compile_options(-fsanitize=${APAM_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${APAM_SANITIZE})
  add_compile_options($<$<CXX_COMPILER_ID:Clang>:-fsanitize-ignorelist=${CMAKE_CURRENT_LIST_DIR}/sanitizer_ignores.txt>)
endif()

add_library(apam_warnings INTERFACE)
target_compile_options(apam_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
    -Woverloaded-virtual $<$<BOOL:${APAM_WERROR}>:-Werror>>)

# GCC warns about its own AVX-512 header and about code added by AddressSanitizer. Clang rejects -Wno-maybe-uninitialized.
set(APAM_NO_UNINITIALIZED_WARNINGS $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized> $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)

# For files of tests that compute expected values by the naive loops, in one thread. In debug builds these take longer than the
# kernels under test, so they are optimised, and ThreadSanitizer does not follow them.
set(APAM_EXPECTED_VALUES $<$<CONFIG:Debug>:-O2>)
if(APAM_SANITIZE MATCHES thread)
  list(APPEND APAM_EXPECTED_VALUES -fno-sanitize=thread)
elseif(APAM_SANITIZE)
  list(APPEND APAM_EXPECTED_VALUES ${APAM_NO_UNINITIALIZED_WARNINGS})
endif()

# Headers of libraries that most files include; parsing them takes a sixth of the time to compile.
set(APAM_COMMON_HEADERS <algorithm> <array> <chrono> <cstdint> <filesystem> <functional> <map> <memory> <optional> <span> <string>
  <string_view> <vector> <fmt/format.h> <fmt/ranges.h>)

# apam_common_headers(target [owner]): precompiles them, or uses those of another target with the same compile options.
function(apam_common_headers target)
  if(APAM_PCH STREQUAL "ON" AND ARGC GREATER 1)
    target_precompile_headers(${target} REUSE_FROM ${ARGV1})
  elseif(APAM_PCH STREQUAL "ON")
    target_precompile_headers(${target} PRIVATE ${APAM_COMMON_HEADERS})
  endif()
endfunction()

# The target has no hot loops: it is not worth the time that full optimisation takes to compile.
function(apam_optimise_little target)
  target_compile_options(${target} PRIVATE $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:CXX>>:-O1>)
  if(APAM_SANITIZE)
    target_compile_options(${target} PRIVATE -O0)
  endif()
endfunction()

# apam_library(name sources...): static library apam_<name> with alias apam::<name>, include path and warnings.
function(apam_library name)
  add_library(apam_${name} STATIC ${ARGN})
  add_library(apam::${name} ALIAS apam_${name})
  set_target_properties(apam_${name} PROPERTIES EXPORT_NAME ${name})
  target_compile_features(apam_${name} PUBLIC cxx_std_20)
  target_include_directories(apam_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/apam>)
  target_link_libraries(apam_${name} PRIVATE $<BUILD_INTERFACE:apam_warnings>)
  if(TARGET apam_engine AND NOT name STREQUAL engine)
    apam_common_headers(apam_${name} apam_engine)
  else()
    apam_common_headers(apam_${name})  # kernels/ is compiled with OpenMP
  endif()
  set_property(GLOBAL APPEND PROPERTY APAM_INSTALLED_TARGETS apam_${name})
endfunction()

# Reads a version from a header: sets PACKAGE_VERSION, and PACKAGE_VERSION_MAJOR and so on, from the lines
# "#define PREFIX_MAJOR 9", for the given names of the three parts: MAJOR MINOR PATCH.
function(apam_header_version package header prefix)
  set(version)
  foreach(part IN LISTS ARGN)
    file(STRINGS ${header} line REGEX "#define ${prefix}_${part} +[0-9]+")
    string(REGEX REPLACE ".*${prefix}_${part} +([0-9]+).*" "\\1" number "${line}")
    set(${package}_VERSION_${part} ${number} PARENT_SCOPE)
    list(APPEND version ${number})
  endforeach()
  list(JOIN version . version)
  set(${package}_VERSION ${version} PARENT_SCOPE)
endfunction()

# Installs headers (in include/apam), libraries, the program and a package for find_package(apam) with the targets
# apam::kernels, apam::engine, apam::nets, apam::data, apam::exchange, apam::mpi.
include(CMakePackageConfigHelpers)

get_property(installed GLOBAL PROPERTY APAM_INSTALLED_TARGETS)
install(TARGETS ${installed} EXPORT apam ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY kernels/runtime kernels/ops DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/apam/kernels FILES_MATCHING PATTERN "*.h")
install(DIRECTORY engine nets data DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/apam FILES_MATCHING PATTERN "*.h" PATTERN sample EXCLUDE)
install(DIRECTORY apam/exchange DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/apam/apam FILES_MATCHING PATTERN "*.h")

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/apam)
install(EXPORT apam NAMESPACE apam:: FILE apamTargets.cmake DESTINATION ${package})
configure_package_config_file(cmake/apamConfig.cmake.in ${PROJECT_BINARY_DIR}/apamConfig.cmake INSTALL_DESTINATION ${package}
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/apamConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/apamConfig.cmake ${PROJECT_BINARY_DIR}/apamConfigVersion.cmake
  cmake/FindOneDNN.cmake cmake/FindMPICH.cmake cmake/HeaderVersion.cmake DESTINATION ${package})

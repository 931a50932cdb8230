# Finds MPICH, and no other MPI: target MPI::MPI_CXX, variables MPICH_FOUND, MPICH_VERSION and MPIEXEC_EXECUTABLE. Another MPI
# may be the machine's default (on Debian the plain names mpicxx and mpiexec are alternatives), so MPICH's own names come
# first, the launcher is searched next to the compiler wrapper, and the header decides.
find_program(MPI_CXX_COMPILER NAMES mpicxx.mpich mpicxx DOC "MPICH's C++ compiler wrapper")
if(MPI_CXX_COMPILER)
  get_filename_component(folder ${MPI_CXX_COMPILER} DIRECTORY)
  find_program(MPIEXEC_EXECUTABLE NAMES mpiexec.mpich mpiexec.hydra mpiexec
    NAMES_PER_DIR HINTS ${folder} DOC "MPICH's launcher")
  set(MPI_CXX_SKIP_MPICXX ON)
  find_package(MPI QUIET COMPONENTS CXX)
endif()

unset(MPICH_VERSION)
if(MPI_CXX_FOUND)
  find_file(MPICH_HEADER mpi.h PATHS ${MPI_CXX_INCLUDE_DIRS} NO_DEFAULT_PATH)
  mark_as_advanced(MPICH_HEADER)
  if(MPICH_HEADER)
    file(STRINGS ${MPICH_HEADER} line REGEX "^#define MPICH_VERSION ")
    string(REGEX MATCH "[0-9]+(\\.[0-9]+)+" MPICH_VERSION "${line}")
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(MPICH REQUIRED_VARS MPI_CXX_COMPILER MPIEXEC_EXECUTABLE MPICH_VERSION
  VERSION_VAR MPICH_VERSION REASON_FAILURE_MESSAGE
  "This project is built on MPICH.\n   On Debian and Ubuntu: apt-get install mpich libmpich-dev\n   \
Another copy of MPICH: -DMPI_CXX_COMPILER=/path/to/mpicxx (in a fresh build folder)\n   \
Found so far: compiler wrapper ${MPI_CXX_COMPILER}, header ${MPICH_HEADER}, MPICH version '${MPICH_VERSION}'\n")

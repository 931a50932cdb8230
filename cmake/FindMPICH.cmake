# Finds MPICH; rejects other implementations of MPI. Target MPI::MPI_CXX; variables MPICH_FOUND, MPICH_VERSION and
# MPIEXEC_EXECUTABLE.
# Another MPI may be the default (on Debian, mpicxx and mpiexec are alternatives). So MPICH's own names are tried first, the
# launcher is searched next to the compiler wrapper, and the header must define MPICH_VERSION.
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
  "This project requires MPICH.\n   On Debian and Ubuntu: apt-get install mpich libmpich-dev\n   \
For another installation of MPICH: -DMPI_CXX_COMPILER=/path/to/mpicxx (in a fresh build folder)\n   \
Found: compiler wrapper ${MPI_CXX_COMPILER}, header ${MPICH_HEADER}, MPICH version '${MPICH_VERSION}'\n")

# Checks that objects compiled for an instruction set define no weak symbols, which the linker could keep for the whole
# program (kernels/cpu/isa.h). Usage: cmake -D NM=nm -D "OBJECTS=a.o;b.o" -P symbols.cmake
foreach(object IN LISTS OBJECTS)
  execute_process(COMMAND ${NM} -C --defined-only ${object} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  # The pointer to the exception personality routine is data, and the same in all objects.
  string(REGEX REPLACE "[^\n]* V DW\\.ref\\.__gxx_personality_v0\n" "" symbols "${symbols}")
  string(REGEX MATCHALL "[^\n]* [VWuvw] [^\n]*" weak "${symbols}")
  if(weak)
    list(JOIN weak "\n" lines)
    message(FATAL_ERROR "${object} defines weak symbols:\n${lines}")
  endif()
  string(REGEX MATCHALL "[^\n]* T [^\n]*" strong "${symbols}")
  list(LENGTH strong count)
  if(NOT count EQUAL 1)
    message(FATAL_ERROR "${object} must export only its table, but exports:\n${strong}")
  endif()
endforeach()

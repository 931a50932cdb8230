# cmake -DCOMMAND=program;arguments... -DLINE=regex -P expect_failure.cmake
# Passes when the command ends within 30 s, with a status other than 0, and prints exactly one line that matches.
execute_process(COMMAND ${COMMAND} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output TIMEOUT 30)
string(REPLACE ";" "," output "${output}")  # semicolons separate the items of a list
string(REGEX MATCHALL "${LINE}" lines "${output}")
list(LENGTH lines count)
if(status EQUAL 0 OR status MATCHES "timeout" OR NOT count EQUAL 1)
  message(FATAL_ERROR "status '${status}', ${count} lines match '${LINE}'; the output was:\n${output}")
endif()

# Runs in every build: writes OUTPUT, a source that defines kCommit, for the commit that SOURCE has checked out. The file
# changes only when the commit does, so that otherwise nothing is compiled again.
#   cmake -DGIT=... -DSOURCE=... -DTEMPLATE=... -DOUTPUT=... -P WriteCommit.cmake
set(APAM_COMMIT unknown)

# git ARGUMENT...: sets `answer`, empty when git is absent or fails.
function(git)
  set(answer "")
  if(GIT)
    execute_process(COMMAND ${GIT} --no-optional-locks -C ${SOURCE} ${ARGN}
      OUTPUT_VARIABLE answer RESULT_VARIABLE status ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(NOT status EQUAL 0)
      set(answer "")
    endif()
  endif()
  set(answer "${answer}" PARENT_SCOPE)
endfunction()

# A copy without history inside another repository must not take that one's commit for its own.
git(rev-parse --show-toplevel)
file(REAL_PATH "${SOURCE}" source)
if(answer STREQUAL source)
  git(describe --always --abbrev=7 --dirty --exclude=*)
  if(answer)
    set(APAM_COMMIT "${answer}")
  endif()
endif()
configure_file(${TEMPLATE} ${OUTPUT} @ONLY)

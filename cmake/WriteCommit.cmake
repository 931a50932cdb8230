# Runs in every build. Writes the source file OUTPUT, which defines kCommit as the checked-out commit of SOURCE. An unchanged
# commit leaves the file untouched, so nothing is recompiled.
#   cmake -DGIT=... -DSOURCE=... -DTEMPLATE=... -DOUTPUT=... -P WriteCommit.cmake
set(APAM_COMMIT unknown)

# git(arguments...): sets `answer`; empty if git is missing or fails.
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

# A source tree without history inside another repository must not use that repository's commit.
git(rev-parse --show-toplevel)
file(REAL_PATH "${SOURCE}" source)
if(answer STREQUAL source)
  git(describe --always --abbrev=7 --dirty --exclude=*)
  if(answer)
    set(APAM_COMMIT "${answer}")
  endif()
endif()
configure_file(${TEMPLATE} ${OUTPUT} @ONLY)

# Stand-in of CTK's macro that copies Python files and what lies beside them to the build tree, and installs that.

# ctkMacroCompilePythonScript(
#   TARGET_NAME name SCRIPTS a.py b c/d.py RESOURCES e.png DESTINATION_DIR folder INSTALL_DIR folder
#   [SOURCE_DIR folder] [NO_INSTALL_SUBDIR])
# A script may be named without its ".py". Each file keeps its path below SOURCE_DIR (the current folder if not given).
function(ctkMacroCompilePythonScript)
  cmake_parse_arguments(PARSE_ARGV 0 MY
    "NO_INSTALL_SUBDIR;GLOBAL_TARGET"
    "TARGET_NAME;SOURCE_DIR;DESTINATION_DIR;INSTALL_DIR"
    "SCRIPTS;RESOURCES"
    )
  if(MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "ctkMacroCompilePythonScript: unknown arguments ${MY_UNPARSED_ARGUMENTS}")
  endif()
  foreach(argument IN ITEMS TARGET_NAME SCRIPTS DESTINATION_DIR INSTALL_DIR)
    if("${MY_${argument}}" STREQUAL "")
      message(FATAL_ERROR "ctkMacroCompilePythonScript: ${argument} is missing")
    endif()
  endforeach()
  if(NOT MY_SOURCE_DIR)
    set(MY_SOURCE_DIR ${CMAKE_CURRENT_SOURCE_DIR})
  endif()

  set(files)
  foreach(script IN LISTS MY_SCRIPTS)
    if(NOT script MATCHES "\\.py$")
      string(APPEND script ".py")
    endif()
    list(APPEND files ${script})
  endforeach()
  list(APPEND files ${MY_RESOURCES})

  set(copies)
  foreach(file IN LISTS files)
    if(IS_ABSOLUTE "${file}")
      message(FATAL_ERROR "ctkMacroCompilePythonScript: ${file} must be relative to the source folder")
    endif()
    if(NOT EXISTS "${MY_SOURCE_DIR}/${file}")
      message(FATAL_ERROR "ctkMacroCompilePythonScript: there is no ${MY_SOURCE_DIR}/${file}")
    endif()
    set(copy "${MY_DESTINATION_DIR}/${file}")
    add_custom_command(
      OUTPUT "${copy}"
      COMMAND ${CMAKE_COMMAND} -E copy "${MY_SOURCE_DIR}/${file}" "${copy}"
      DEPENDS "${MY_SOURCE_DIR}/${file}"
      VERBATIM
      )
    list(APPEND copies "${copy}")
  endforeach()
  add_custom_target(Copy${MY_TARGET_NAME}PythonFiles ALL DEPENDS ${copies})

  set(folder "${MY_DESTINATION_DIR}")
  if(MY_NO_INSTALL_SUBDIR)
    string(APPEND folder "/")
  endif()
  install(DIRECTORY "${folder}" DESTINATION "${MY_INSTALL_DIR}" COMPONENT RuntimeLibraries USE_SOURCE_PERMISSIONS)
endfunction()

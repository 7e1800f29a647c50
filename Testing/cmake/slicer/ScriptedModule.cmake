# Stand-in of Slicer's macros for a scripted module and for its tests.

# slicerMacroBuildScriptedModule(NAME name SCRIPTS ... RESOURCES ... [WITH_GENERIC_TESTS] [WITH_SUBDIR] [VERBOSE])
# Only listed files ship.
function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(PARSE_ARGV 0 MY "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES")
  if(MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule: unknown arguments ${MY_UNPARSED_ARGUMENTS}")
  endif()
  if("${MY_NAME}" STREQUAL "")
    message(FATAL_ERROR "slicerMacroBuildScriptedModule: NAME is missing")
  endif()
  ctkMacroCompilePythonScript(
    TARGET_NAME ${MY_NAME}
    SCRIPTS ${MY_SCRIPTS}
    RESOURCES ${MY_RESOURCES}
    DESTINATION_DIR ${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}
    INSTALL_DIR ${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}
    NO_INSTALL_SUBDIR
    )
  if(BUILD_TESTING AND MY_WITH_GENERIC_TESTS)
    file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/qSlicer${MY_NAME}ModuleGenericTest.py" "# Written by Slicer.\n")
    slicer_add_python_unittest(SCRIPT qSlicer${MY_NAME}ModuleGenericTest.py TESTNAME_PREFIX nomainwindow_)
  endif()
endfunction()

# slicer_add_python_unittest(SCRIPT name.py [TESTNAME_PREFIX prefix] [SLICER_ARGS ...])
# Registered under the name that Slicer gives it; it cannot run, there being no Slicer.
function(slicer_add_python_unittest)
  cmake_parse_arguments(PARSE_ARGV 0 MY "" "TESTNAME_PREFIX;SCRIPT" "SLICER_ARGS")
  if(MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "slicer_add_python_unittest: unknown arguments ${MY_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${MY_SCRIPT}" AND NOT EXISTS "${CMAKE_CURRENT_BINARY_DIR}/${MY_SCRIPT}")
    message(FATAL_ERROR "slicer_add_python_unittest: there is no ${MY_SCRIPT}")
  endif()
  cmake_path(GET MY_SCRIPT STEM name)
  add_test(NAME py_${MY_TESTNAME_PREFIX}${name} COMMAND ${CMAKE_COMMAND} -E false)
endfunction()

# Stand-in of Slicer's packing of an extension: README and licence must be there.

foreach(name IN ITEMS EXTENSION_README_FILE EXTENSION_LICENSE_FILE)
  if(NOT EXISTS "${${name}}")
    message(FATAL_ERROR "${name} is set to [${${name}}], which does not exist")
  endif()
endforeach()

set(CPACK_PACKAGE_NAME "${EXTENSION_NAME}")
set(CPACK_PACKAGE_DESCRIPTION_FILE "${EXTENSION_README_FILE}")
set(CPACK_RESOURCE_FILE_LICENSE "${EXTENSION_LICENSE_FILE}")
set(CPACK_GENERATOR "TGZ")
include(CPack)

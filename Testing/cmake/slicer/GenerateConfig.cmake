# Stand-in of what writes <Extension>Config.cmake for other extensions: what the extension says about itself, as JSON.

set(description "{}")
foreach(name IN ITEMS
    NAME HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION KEYWORDS ICONURL SCREENSHOTURLS DEPENDS TIER README_FILE LICENSE_FILE)
  string(REPLACE "\\" "\\\\" value "${EXTENSION_${name}}")
  string(REPLACE "\"" "\\\"" value "${value}")
  string(JSON description SET "${description}" "${name}" "\"${value}\"")
endforeach()
file(WRITE "${CMAKE_BINARY_DIR}/${EXTENSION_NAME}.json" "${description}")

# A minimal stand-in of Slicer's configuration, written from the documentation of its macros: enough to configure,
# build, test-register and install an extension of scripted modules, and strict where Slicer is strict.
#
#   cmake -S CHECKOUT -B BUILD -DSlicer_DIR=CHECKOUT/Testing/cmake/slicer
#
# With -DSlicer_STAND_IN_SOURCE=FOLDER (a checkout of Slicer), its own macro for scripted modules is used instead of
# ours; and with -DCTK_STAND_IN_SOURCE=FOLDER (a checkout of CTK), CTK's own macro for Python files.

set(Slicer_VERSION "5.12.0")
set(Slicer_REVISION "0")
set(Slicer_OS "stand-in")
set(Slicer_ARCHITECTURE "any")
set(Slicer_USE_PYTHONQT ON)

# Where files go, below the build tree and below the place of installation.
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-5.12/qt-scripted-modules")
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")

set(Slicer_STAND_IN_DIR "${CMAKE_CURRENT_LIST_DIR}")
set(Slicer_USE_FILE "${Slicer_STAND_IN_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${Slicer_STAND_IN_DIR}/GenerateConfig.cmake")
set(Slicer_EXTENSION_CPACK "${Slicer_STAND_IN_DIR}/Package.cmake")

# What Slicer packs for an extension that names none.
set(Slicer_README_FILE "README of Slicer")
set(Slicer_LICENSE_FILE "License of Slicer")

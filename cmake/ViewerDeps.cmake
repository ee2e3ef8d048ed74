# Dear ImGui (docking) and ImPlot, pinned. Debian's ImGui 1.86 has neither docking nor fonts of any size. Two routes to the
# same sources: GitHub's tags by FetchContent, or, where only package indexes are reached, two hash-checked source packages
# of PyPI that carry them. Sets VITRINE_VIEWER_FOUND, imgui_SOURCE_DIR and implot_SOURCE_DIR.
set(VITRINE_VIEWER_FOUND OFF)
set(viewer_packages
    "imgui-bundle==1.92.900 --hash=sha256:1476409b76c7f600d0da472aed87e96382444df50695280b3ed9acd5065cb6c2\n"
    "slimgui==0.8.3 --hash=sha256:cff8dccbe3b6ba420348dc79e6cb10c6ecea379a68a463efa43705b657f043eb\n")
if(DEFINED ENV{XDG_CACHE_HOME})
  set(viewer_cache "$ENV{XDG_CACHE_HOME}/vitrine/viewer-imgui-1.92.9-implot-1.0")
else()
  set(viewer_cache "$ENV{HOME}/.cache/vitrine/viewer-imgui-1.92.9-implot-1.0")
endif()

# Downloads into a folder beside the cache and moves it there once everything is in place.
function(vitrine_fetch_viewer_packages)
  find_program(viewer_python NAMES python3)
  if(NOT viewer_python)
    return()
  endif()
  set(work "${viewer_cache}.part")
  file(REMOVE_RECURSE "${work}")
  file(MAKE_DIRECTORY "${work}")
  file(WRITE "${work}/packages.txt" ${viewer_packages})
  message(STATUS "viewer: fetching the sources of Dear ImGui and ImPlot from the package index")
  execute_process(
    COMMAND ${viewer_python} -m pip download -q --disable-pip-version-check --no-deps --no-binary imgui-bundle,slimgui
            --require-hashes -r "${work}/packages.txt" -d "${work}"
    RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET TIMEOUT 300)
  if(failed)
    file(REMOVE_RECURSE "${work}")
    return()
  endif()
  file(ARCHIVE_EXTRACT INPUT "${work}/imgui_bundle-1.92.900.tar.gz" DESTINATION "${work}"
       PATTERNS "*/hello_imgui/external/imgui/*")
  file(ARCHIVE_EXTRACT INPUT "${work}/slimgui-0.8.3.tar.gz" DESTINATION "${work}" PATTERNS "*/src/c/implot/*")
  file(REMOVE "${work}/imgui_bundle-1.92.900.tar.gz" "${work}/slimgui-0.8.3.tar.gz")
  file(REMOVE_RECURSE "${viewer_cache}")
  file(RENAME "${work}" "${viewer_cache}")
endfunction()

set(viewer_imgui "${viewer_cache}/imgui_bundle-1.92.900/external/hello_imgui/hello_imgui/external/imgui")
set(viewer_implot "${viewer_cache}/slimgui-0.8.3/src/c/implot")
if(VITRINE_VIEWER STREQUAL "OFF")
  return()
endif()
if(NOT EXISTS "${viewer_implot}/implot.cpp")
  find_program(viewer_git NAMES git)
  set(unreachable 1)
  if(viewer_git)
    execute_process(COMMAND ${CMAKE_COMMAND} -E env GIT_TERMINAL_PROMPT=0 ${viewer_git} ls-remote --exit-code
                            https://github.com/epezent/implot.git refs/tags/v1.0
                    RESULT_VARIABLE unreachable OUTPUT_QUIET ERROR_QUIET TIMEOUT 10)
  endif()
  if(unreachable)
    vitrine_fetch_viewer_packages()
  else()
    include(FetchContent)
    FetchContent_Declare(imgui GIT_REPOSITORY https://github.com/ocornut/imgui.git GIT_TAG v1.92.9b-docking GIT_SHALLOW ON)
    FetchContent_Declare(implot GIT_REPOSITORY https://github.com/epezent/implot.git GIT_TAG v1.0 GIT_SHALLOW ON)
    FetchContent_MakeAvailable(imgui implot)
    set(viewer_imgui "${imgui_SOURCE_DIR}")
    set(viewer_implot "${implot_SOURCE_DIR}")
  endif()
endif()
if(VITRINE_VIEWER STREQUAL "SOURCES")  # all that the browser's program needs of the host
  return()
endif()
find_package(glfw3 3.3 QUIET)
find_package(OpenGL QUIET COMPONENTS OpenGL EGL)
if(EXISTS "${viewer_imgui}/imgui.cpp" AND EXISTS "${viewer_implot}/implot.cpp" AND glfw3_FOUND
   AND OpenGL_FOUND AND OpenGL_EGL_FOUND)
  set(VITRINE_VIEWER_FOUND ON)
  set(imgui_SOURCE_DIR "${viewer_imgui}")
  set(implot_SOURCE_DIR "${viewer_implot}")
elseif(VITRINE_VIEWER STREQUAL "ON")
  message(FATAL_ERROR "VITRINE_VIEWER=ON: expected GLFW, OpenGL, EGL and the sources of Dear ImGui and ImPlot, found not all of them; is there a network?")
else()
  message(STATUS "viewer: left out, because Dear ImGui, ImPlot, GLFW, OpenGL or EGL cannot be had here; VITRINE_VIEWER=ON makes this an error")
endif()

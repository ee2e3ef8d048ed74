# vitrine_extension_point(<target> KIND <kind> TYPE <Type> HEADER <header> DIR <folder>)
#
# A folder is an extension point. Each file <folder>/<name>.cpp (and <name>.cu where CUDA is on) defines
#     namespace vitrine { const <Type>& <kind>_<name>(); }
# and that is the whole registration. The function generated here, vitrine::all_<kind>s() (all_<plural>() where PLURAL is given), names every such
# function, so a missing definition is a link error and no static initialiser can be dropped from a library.
function(vitrine_extension_point target)
  cmake_parse_arguments(PARSE_ARGV 1 point "" "KIND;PLURAL;TYPE;HEADER;DIR" "")
  file(GLOB members CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${point_DIR}/*.cpp")
  if(VITRINE_CUDA_FOUND)
    file(GLOB device_members CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${point_DIR}/*.cu")
    list(APPEND members ${device_members})
  endif()
  list(SORT members)
  if(NOT point_PLURAL)
    set(point_PLURAL "${point_KIND}s")
  endif()
  set(declared "")
  set(listed "")
  foreach(member IN LISTS members)
    cmake_path(GET member STEM name)
    string(APPEND declared "const ${point_TYPE}& ${point_KIND}_${name}();\n")
    string(APPEND listed "      &${point_KIND}_${name}(),\n")
  endforeach()
  set(table "${CMAKE_CURRENT_BINARY_DIR}/all_${point_PLURAL}.cpp")
  file(CONFIGURE OUTPUT "${table}" @ONLY CONTENT
"// Made by cmake/ExtensionPoint.cmake from the files of ${point_DIR}/.
#include \"${point_HEADER}\"

#include <vector>

namespace vitrine {
${declared}
std::span<const ${point_TYPE}* const> all_${point_PLURAL}() {
  static const std::vector<const ${point_TYPE}*> members = {
${listed}  };
  return members;
}
}  // namespace vitrine
")
  target_sources(${target} PRIVATE ${members} "${table}")
endfunction()

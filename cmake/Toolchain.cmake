# Compiler, warnings, sanitizers, ccache. Nothing here turns on an instruction set: dispatch happens at run time.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
find_program(VITRINE_CCACHE ccache)
if(VITRINE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${VITRINE_CCACHE})
endif()

# With -O2 the release keeps its checks (VITRINE_CHECK does not depend on NDEBUG).
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-fno-math-errno;-ffp-contract=off>")
# Paths of the machine that built a program do not belong into it, and the compiler cache hits across checkouts.
add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=>"
                    "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=>")
# Views are constexpr and used on a device; their conversion to a const view is none where they are const already (554).
add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;-diag-suppress=554>")

if(VITRINE_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=address,undefined)
elseif(VITRINE_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -g1)
  add_link_options(-fsanitize=thread)
elseif(VITRINE_SANITIZE STREQUAL "fuzzer")
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -g1)
  add_link_options(-fsanitize=address,undefined)
elseif(VITRINE_SANITIZE)
  message(FATAL_ERROR "VITRINE_SANITIZE: expected address, thread or fuzzer, found '${VITRINE_SANITIZE}'")
endif()

# vitrine_library(<target> DIR <folder> [EXCEPT <regex>] [PUBLIC <targets>] [PRIVATE <targets>])
# A folder's .cpp files (not those of its subfolders) as a static library whose headers are included from the root.
function(vitrine_library target)
  cmake_parse_arguments(PARSE_ARGV 1 library "" "DIR;EXCEPT" "PUBLIC;PRIVATE")
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${library_DIR}/*.cpp")
  if(library_EXCEPT)
    list(FILTER sources EXCLUDE REGEX "${library_EXCEPT}")
  endif()
  add_library(${target} STATIC ${sources})
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${target} PUBLIC ${library_PUBLIC} PRIVATE ${library_PRIVATE})
endfunction()

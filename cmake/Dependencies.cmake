# Every third-party library, found once. Who may use which is held by the layering test.
find_package(Threads REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(ICU REQUIRED COMPONENTS uc i18n data)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(HDF5 REQUIRED IMPORTED_TARGET hdf5)

# oneDNN by library, not by its CMake package: that one demands OpenCL.
find_library(VITRINE_DNNL dnnl REQUIRED)
find_path(VITRINE_DNNL_INCLUDE oneapi/dnnl/dnnl.hpp REQUIRED)
add_library(vitrine_dnnl INTERFACE)
target_link_libraries(vitrine_dnnl INTERFACE ${VITRINE_DNNL})
target_include_directories(vitrine_dnnl SYSTEM INTERFACE ${VITRINE_DNNL_INCLUDE})
# Its OpenMP run time, only to be told to use one thread.
find_library(VITRINE_GOMP NAMES gomp libgomp.so.1 PATHS /usr/lib/x86_64-linux-gnu /usr/lib/gcc/x86_64-linux-gnu/12 REQUIRED)

set(VITRINE_CUDA_FOUND OFF)
if(NOT VITRINE_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(VITRINE_CUDA_FOUND ON)
  elseif(VITRINE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "VITRINE_CUDA=ON: expected nvcc, found none; install the CUDA toolkit or use VITRINE_CUDA=OFF")
  endif()
endif()

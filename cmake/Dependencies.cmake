# Every third-party library, found once. Who may use which is held by the layering test.
find_package(Threads REQUIRED)
find_package(Boost 1.74 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(Eigen3 3.4 REQUIRED NO_MODULE)
find_package(ICU REQUIRED COMPONENTS uc i18n data)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(HDF5 REQUIRED IMPORTED_TARGET hdf5)
pkg_check_modules(DEFLATE REQUIRED IMPORTED_TARGET libdeflate)

# oneDNN by library, not by its CMake package: that one demands OpenCL.
find_library(VITRINE_DNNL dnnl REQUIRED)
find_path(VITRINE_DNNL_INCLUDE oneapi/dnnl/dnnl.hpp REQUIRED)
add_library(vitrine_dnnl INTERFACE)
target_link_libraries(vitrine_dnnl INTERFACE ${VITRINE_DNNL})
target_include_directories(vitrine_dnnl SYSTEM INTERFACE ${VITRINE_DNNL_INCLUDE})
# Its OpenMP run time, only to be told to use one thread.
find_library(VITRINE_GOMP NAMES gomp libgomp.so.1 PATHS /usr/lib/x86_64-linux-gnu /usr/lib/gcc/x86_64-linux-gnu/12 REQUIRED)

# CUDA kernels for the compute capabilities 8.0 and 9.0, and by their intermediate code for later ones. Sanitizers and the
# device's run time do not go together.
set(VITRINE_CUDA_FOUND OFF)
if(VITRINE_CUDA STREQUAL "ON" AND VITRINE_SANITIZE)
  message(FATAL_ERROR "VITRINE_CUDA=ON: expected no VITRINE_SANITIZE beside it, found '${VITRINE_SANITIZE}'; use VITRINE_CUDA=OFF")
endif()
if(VITRINE_CUDA STREQUAL "ON" OR (VITRINE_CUDA STREQUAL "AUTO" AND NOT VITRINE_SANITIZE))
  include(CheckLanguage)
  set(CMAKE_CUDA_ARCHITECTURES "80;90" CACHE STRING "Compute capabilities to compile for")
  find_program(VITRINE_NVCC nvcc PATHS /usr/local/cuda/bin)  # where NVIDIA's packages put it, which is often on no PATH
  if(VITRINE_NVCC AND NOT DEFINED ENV{CUDACXX})
    set(ENV{CUDACXX} "${VITRINE_NVCC}")
  endif()
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc can
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
    endif()
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
    find_package(CUDAToolkit REQUIRED)
    set(VITRINE_CUDA_FOUND ON)
  elseif(VITRINE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "VITRINE_CUDA=ON: expected nvcc, found none; install the CUDA toolkit or use VITRINE_CUDA=OFF")
  endif()
endif()

set(test_libraries vitrine_kernels vitrine_patching PkgConfig::HDF5)

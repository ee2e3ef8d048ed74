set(test_libraries vitrine_kernels vitrine_probes PkgConfig::HDF5)

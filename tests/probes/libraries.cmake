set(test_libraries vitrine_kernels vitrine_probes vitrine_scrub PkgConfig::HDF5)

set(test_libraries vitrine_kernels vitrine_recording_tools PkgConfig::HDF5)

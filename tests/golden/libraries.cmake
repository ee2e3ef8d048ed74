set(test_libraries vitrine_kernels vitrine_decode vitrine_train PkgConfig::HWY)

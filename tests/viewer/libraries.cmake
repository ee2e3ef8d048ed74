# The viewer is left out where its sources cannot be had.
if(NOT TARGET vitrine_view)
  set(test_wanted OFF)
endif()
set(test_libraries vitrine_view vitrine_pack_view vitrine_imgui vitrine_kernels PkgConfig::HDF5 PkgConfig::PNG PkgConfig::DEFLATE)
set(test_definitions VITRINE_VIEWER_PROGRAM="$<TARGET_FILE:vitrine-viewer>")

#pragma once

#include <filesystem>
#include <string>

#include "probes/hdf5_internal.h"

namespace vitrine {

/// Changes one number of a finished recording, as nobody should.
inline void change_number(const std::filesystem::path& path, const std::string& dataset, std::vector<hsize_t> at, double value) {
  const h5::Library library;
  const h5::Handle access = h5::access_properties(), file(H5Fopen(path.c_str(), H5F_ACC_RDWR, access), H5Fclose);
  const h5::Handle set(H5Dopen2(file, dataset.c_str(), H5P_DEFAULT), H5Dclose), space(H5Dget_space(set), H5Sclose),
      one(H5Screate(H5S_SCALAR), H5Sclose);
  h5::require(H5Sselect_elements(space, H5S_SELECT_SET, 1, at.data()), dataset, "find a number");
  h5::require(H5Dwrite(set, H5T_NATIVE_DOUBLE, one, space, H5P_DEFAULT, &value), dataset, "write a number");
}

/// Does something else to it.
template <typename Work>
void change_file(const std::filesystem::path& path, const Work& work) {
  const h5::Library library;
  const h5::Handle access = h5::access_properties(), file(H5Fopen(path.c_str(), H5F_ACC_RDWR, access), H5Fclose);
  h5::require(file, path.string(), "open");
  work(static_cast<hid_t>(file));
}

}  // namespace vitrine

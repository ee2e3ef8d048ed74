#include <cinttypes>
#include <cstdio>

#include "core/base/error.h"
#include "probes/recording_tools/attributes_internal.h"

namespace vitrine {
namespace {

constexpr std::size_t most_bytes = std::size_t{1} << 20;

std::vector<std::string> attribute_names(hid_t object, std::string_view where) {
  std::vector<std::string> names;
  hsize_t from = 0;
  const herr_t status = H5Aiterate2(
      object, H5_INDEX_NAME, H5_ITER_INC, &from,
      [](hid_t, const char* name, const H5A_info_t*, void* target) {
        static_cast<std::vector<std::string>*>(target)->emplace_back(name);
        return herr_t{0};
      },
      &names);
  h5::require(status, where, "read attributes");
  return names;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> attributes_of(const CheckedFile& file, const std::string& object) {
  const h5::Library library;
  const h5::Handle opened(H5Oopen(file.id(), object.c_str(), H5P_DEFAULT), H5Oclose);
  if (!opened.valid()) file.fail(object, "an object", h5::last_reason());
  std::vector<std::pair<std::string, std::string>> found;
  for (const std::string& name : attribute_names(opened, file.path())) {
    const h5::Handle attribute(H5Aopen(opened, name.c_str(), H5P_DEFAULT), H5Aclose), type(H5Aget_type(attribute), H5Tclose),
        space(H5Aget_space(attribute), H5Sclose);
    if (H5Sget_simple_extent_npoints(space) != 1) continue;  // the labels of axes
    std::string value = "of another type";
    if (H5Tget_class(type) == H5T_STRING) value = file.text(object, name.c_str());
    if (std::int64_t whole = 0; H5Tget_class(type) == H5T_INTEGER && H5Aread(attribute, H5T_NATIVE_INT64, &whole) >= 0)
      value = std::to_string(whole);
    if (double number = 0.0; H5Tget_class(type) == H5T_FLOAT && H5Aread(attribute, H5T_NATIVE_DOUBLE, &number) >= 0) {
      char text[32];
      std::snprintf(text, sizeof text, "%.17g", number);
      value = text;
    }
    found.emplace_back(name, value);
  }
  return found;
}

void copy_attributes(hid_t source, hid_t target, std::string_view where) {
  for (const std::string& name : attribute_names(source, where)) {
    const h5::Handle attribute(H5Aopen(source, name.c_str(), H5P_DEFAULT), H5Aclose), type(H5Aget_type(attribute), H5Tclose),
        space(H5Aget_space(attribute), H5Sclose);
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    if (count < 0 || static_cast<std::size_t>(count) * H5Tget_size(type) > most_bytes) {
      throw Error({std::string(where) + ", attribute " + quoted(name), "at most 1 MiB", "more", ""});
    }
    std::vector<std::byte> value(static_cast<std::size_t>(count) * H5Tget_size(type));
    const h5::Handle copy(H5Acreate2(target, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    h5::require(copy, where, "write an attribute");
    if (count == 0) continue;
    h5::require(H5Aread(attribute, type, value.data()), where, "read an attribute");
    h5::require(H5Awrite(copy, type, value.data()), where, "write an attribute");
    if (H5Tdetect_class(type, H5T_VLEN) > 0 || H5Tis_variable_str(type) > 0) H5Dvlen_reclaim(type, space, H5P_DEFAULT, value.data());
  }
}

}  // namespace vitrine

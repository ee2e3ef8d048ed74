#include "probes/table_file.h"

#include <gtest/gtest.h>
#include <hdf5.h>
#include <unistd.h>

#include <cmath>
#include <limits>

#include "core/base/error.h"

namespace vitrine {
namespace {

std::string text_attribute(hid_t object, const char* name) {
  const hid_t attribute = H5Aopen(object, name, H5P_DEFAULT), type = H5Aget_type(attribute);
  char* text = nullptr;
  H5Aread(attribute, type, &text);
  const std::string result = text ? text : "";
  H5free_memory(text);
  H5Tclose(type);
  H5Aclose(attribute);
  return result;
}

std::vector<std::string> texts_in(hid_t file, const char* name) {
  const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT), type = H5Dget_type(dataset), space = H5Dget_space(dataset);
  EXPECT_GT(H5Tis_variable_str(type), 0);
  EXPECT_EQ(H5Tget_cset(type), H5T_CSET_UTF8);
  std::vector<char*> read(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)));
  H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, read.data());
  std::vector<std::string> texts;
  for (char* text : read) {
    texts.emplace_back(text ? text : "");
    H5free_memory(text);
  }
  H5Sclose(space);
  H5Tclose(type);
  H5Dclose(dataset);
  return texts;
}

TEST(TableFile, ComesBackAsItWasWritten) {
  const auto path = std::filesystem::path(testing::TempDir()) / ("table" + std::to_string(getpid()) + ".h5");
  const double none = std::numeric_limits<double>::quiet_NaN();
  const TableFile table{{{"study", "pairs"}}, {{"value a/b", std::vector<double>{0.1, none, -1e300}}, {"name", std::vector<std::string>{"", "caf\u00e9", "x\ny"}}}};
  write_table_file(path, table);
  write_table_file(path, table);  // replaces the older one
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  EXPECT_EQ(text_attribute(file, "study"), "pairs");
  const hid_t dataset = H5Dopen2(file, "value a_b", H5P_DEFAULT);
  ASSERT_GE(dataset, 0);
  EXPECT_EQ(text_attribute(dataset, "name"), "value a/b");
  std::vector<double> values(3);
  EXPECT_GE(H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
  EXPECT_EQ(values[0], 0.1);
  EXPECT_TRUE(std::isnan(values[1]));
  EXPECT_EQ(values[2], -1e300);
  EXPECT_EQ(texts_in(file, "name"), (std::vector<std::string>{"", "caf\u00e9", "x\ny"}));
  H5Dclose(dataset);
  H5Fclose(file);
  std::filesystem::remove(path);
}

TEST(TableFile, HoldsNoRowsAndNoColumns) {
  const auto path = std::filesystem::path(testing::TempDir()) / ("empty_table" + std::to_string(getpid()) + ".h5");
  write_table_file(path, {{}, {{"value", std::vector<double>{}}, {"name", std::vector<std::string>{}}}});
  write_table_file(path, {});
  EXPECT_TRUE(std::filesystem::is_regular_file(path));
  std::filesystem::remove(path);
  EXPECT_THROW(write_table_file("/nowhere/table.h5", {}), Error);
}

}  // namespace
}  // namespace vitrine

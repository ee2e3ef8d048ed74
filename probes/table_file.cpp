#include "probes/table_file.h"

#include <algorithm>
#include <set>
#include <span>

#include "core/base/error.h"
#include "core/base/part_file.h"
#include "probes/hdf5_internal.h"

namespace vitrine {
namespace {

std::size_t rows_of(const TableColumn& column) {
  return std::visit([](const auto& values) { return values.size(); }, column.values);
}

std::string dataset_name(const std::string& column) {
  std::string name = column.empty() || column == "." ? "_" : column;
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

h5::Handle text_type() {
  h5::Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

void write_column(hid_t file, const TableColumn& column, const std::string& where) {
  const auto* numbers = std::get_if<std::vector<double>>(&column.values);
  const h5::Handle text = text_type();
  const hsize_t rows = rows_of(column);
  const h5::Handle space(H5Screate_simple(1, &rows, nullptr), H5Sclose);
  const hid_t type = numbers ? H5T_IEEE_F64LE : static_cast<hid_t>(text);
  const h5::Handle dataset(H5Dcreate2(file, dataset_name(column.name).c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Dclose);
  h5::require(dataset, where, "create the column " + column.name);
  h5::write_attribute(dataset, "name", column.name);
  if (rows == 0) return;
  if (numbers) {
    h5::require(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers->data()), where, "write a column");
    return;
  }
  std::vector<const char*> texts;
  for (const std::string& value : std::get<std::vector<std::string>>(column.values)) texts.push_back(value.c_str());
  h5::require(H5Dwrite(dataset, text, H5S_ALL, H5S_ALL, H5P_DEFAULT, texts.data()), where, "write a column");
}

/// The attribute `columns`: names of the datasets in the table's order, which a group does not keep.
void write_order(hid_t file, std::span<const TableColumn> columns, const std::string& where) {
  std::vector<std::string> names;
  std::vector<const char*> texts;
  for (const TableColumn& column : columns) names.push_back(dataset_name(column.name));
  for (const std::string& name : names) texts.push_back(name.c_str());
  const hsize_t count = texts.size();
  const h5::Handle type = text_type(), space(count > 0 ? H5Screate_simple(1, &count, nullptr) : H5Screate(H5S_NULL), H5Sclose);
  const h5::Handle attribute(H5Acreate2(file, "columns", type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  h5::require(attribute, where, "write an attribute");
  if (count > 0) h5::require(H5Awrite(attribute, type, texts.data()), where, "write an attribute");
}

void write_file(const std::string& path, const TableFile& table) {
  const h5::Library library;
  const h5::Handle access = h5::access_properties();
  h5::Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access), H5Fclose);
  h5::require(file, path, "create the file");
  for (const auto& [name, text] : table.attributes) h5::write_attribute(file, name.c_str(), std::string_view(text));
  write_order(file, table.columns, path);
  for (const TableColumn& column : table.columns) write_column(file, column, path);
  h5::require(H5Fflush(file, H5F_SCOPE_LOCAL), path, "write to the disk");
  h5::require(file.reset() ? 0 : -1, path, "close the file");
}

}  // namespace

void write_table_file(const std::filesystem::path& path, const TableFile& table) {
  std::set<std::string> names;
  for (const TableColumn& column : table.columns) {
    VITRINE_CHECK(rows_of(column) == rows_of(table.columns.front()));
    VITRINE_CHECK(names.insert(dataset_name(column.name)).second);
  }
  PartFile part(path);
  write_file(part.path().string(), table);
  part.commit();
}

}  // namespace vitrine

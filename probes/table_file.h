#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace vitrine {

/// A column of a table: numbers, NaN where one is missing, or texts.
struct TableColumn {
  std::string name;
  std::variant<std::vector<double>, std::vector<std::string>> values;
};

struct TableFile {
  std::vector<std::pair<std::string, std::string>> attributes;  ///< of the file: name, text
  std::vector<TableColumn> columns;                             ///< of one length, their names all different
};

/// Writes an HDF5 file that plain h5py reads: the dataset of a column is [rows], f64 or UTF-8 text of variable length, and
/// carries its name in the attribute `name`; a "/" in the name, which would make a group, is "_" in the dataset's. The file's
/// attribute `columns` lists the datasets in the order of the columns. A text ends at its first zero byte. The file appears
/// in one step, in the place of one that was there. @throws Error where it cannot be written
void write_table_file(const std::filesystem::path& path, const TableFile& table);

}  // namespace vitrine

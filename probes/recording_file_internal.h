#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/part_file.h"
#include "probes/protected_file_internal.h"
#include "probes/recording_layout_internal.h"
#include "probes/row_dataset_internal.h"
#include "probes/writer_mark_internal.h"

namespace vitrine {

/// The HDF5 file of a recording. Planned by the thread that sees the values, before anything is written; made and
/// written by the writer thread alone.
class RecordingFile {
 public:
  /// @param filters  that every chunk of rows passes
  RecordingFile(std::filesystem::path path, ChunkFilters filters) : path_(std::move(path)), where_(path_.string()), filters_(std::move(filters)) {}

  /// Before anything is planned: the file will be protected, for these readers.
  void protect(std::vector<Reader> readers);

  // Planning.
  RowDataset& plan(RowDataset::Shape shape);
  struct Module {
    AttentionPlace place;
    const AttentionSpec* spec;
    PatternRule rule;
    DistanceBias bias;      ///< what it looks at must stay
    std::size_t reach = 0;  ///< of positions that the query meets, where the model has them
  };
  void plan_attention(const Module& module) { modules_.push_back(module); }
  void plan_link(const std::string& name, const std::string& existing);
  bool planned(const std::string& name) const { return names_.contains(name); }
  const std::vector<std::unique_ptr<RowDataset>>& datasets() const { return datasets_; }

  /// Of the file without any row. Nothing is written.
  std::size_t empty_bytes(const RecorderSource& source, const Json& provenance);

  // Writing.
  /// Makes the file, under another name. @throws Error where that cannot be
  void create();
  /// Makes everything that was planned, starts SWMR writing and gives the file its name, over a recording that has it; takes the
  /// file away where that fails.
  void fill(const RecorderSource& source, const Json& provenance);
  /// Rows before these exist from now on: of the text, and of the encoder's where there is one.
  struct Rows {
    std::uint64_t text = 0, encoder = 0;
  };
  void commit(const Rows& rows);
  /// The positions that an attention's queries meet, as far as they are known now.
  void write_positions(const AttentionPlace& place, const ContentByDistance& content);
  /// RowDataset::promote with everything around it: SWMR forbids new datasets, so a changed copy takes the file's place; readers
  /// that follow the file open it anew (FORMAT.md).
  std::vector<std::byte> promote(RowDataset& dataset, std::size_t rows);
  /// Means over all rows, [attention * heads] each, in the order of row_statistics.
  using Summaries = std::array<std::vector<double>, row_statistics.size()>;
  void finish(const Summaries& summaries);
  void close();
  bool is_open() const { return file_.valid(); }
  const FileKeys* keys() const { return keys_ ? &*keys_ : nullptr; }  ///< of a protected file

 private:
  std::uint64_t version() const;
  void make_all(const RecorderSource& source, const Json& provenance);
  void create_committed();
  void open_committed();
  void create_summaries();
  void write_record();
  void write_summary(const std::string& name, std::span<const double> means);
  void make_link(const std::string& name, const std::string& existing);
  void close_all();
  void open(const std::filesystem::path& path, unsigned flags);
  void lengthen() const;

  std::filesystem::path path_;
  std::string where_;
  ChunkFilters filters_;
  std::vector<std::unique_ptr<RowDataset>> datasets_;
  std::vector<std::pair<std::string, std::string>> links_;  // name, existing
  std::vector<Module> modules_;
  std::set<std::string> names_;
  bool has_encoder_ = false;
  std::unique_ptr<PartFile> part_;  // under whose name the file is made
  WriterMark mark_;
  std::optional<FileKeys> keys_;
  std::vector<Reader> readers_;
  CommitRecord record_;  // the next one of a protected file
  h5::Handle file_, committed_, encoder_committed_;  // the last of an encoder-decoder alone
};

}  // namespace vitrine

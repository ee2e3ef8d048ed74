#include "probes/recorder.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "core/base/error.h"
#include "probes/recording.h"
#include "probes/recording_layout_internal.h"
#include "probes/row_dataset_internal.h"
#include "probes/top_logits.h"

namespace vitrine {
namespace {

using Clock = std::chrono::steady_clock;
constexpr double commit_seconds = 2.0;
constexpr std::size_t commit_bytes = std::size_t{64} << 20;

/// Adds the time of a scope to a sum.
class Stopwatch {
 public:
  explicit Stopwatch(double& sum) : sum_(sum), start_(Clock::now()) {}
  ~Stopwatch() { sum_ += std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  double& sum_;
  Clock::time_point start_;
};

/// Only a recording or an empty file may be replaced: a mistyped -o must not cost anyone a checkpoint.
void refuse_other_files(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return;
  if (std::filesystem::is_regular_file(path, ignored) && std::filesystem::file_size(path, ignored) == 0) return;
  if (is_hdf5_file(path)) return;
  throw Error({path.string(), "a new file or a recording to replace", "another kind of file", "choose another name"});
}

template <typename T>
std::span<const std::byte> bytes_of(std::span<const T> items) {
  return std::as_bytes(items);
}

class FileRecorder : public Recorder {
 public:
  FileRecorder(const RecorderSource& source, RecorderOptions options);
  ~FileRecorder() override;

  Access access(const ProbePoint& point) const override { return targets_.contains(point) ? Access::read : Access::none; }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override;
  void begin_sequence(std::span<const Token> tokens) override;
  void end_sequence() override;
  void finish() override;
  Summary summary() const override;

 private:
  struct Target {
    RowDataset* dataset;  // null: logits, which feed several datasets
    int column = -1;      // >= 0: this column of row_stats
  };
  void create_file();
  void create_token_datasets();
  void create_attention(int block);
  void create_activation(const ProbePoint& point);
  RowDataset& add(RowDataset::Shape shape);
  DType type_of(const ProbePoint& point) const;
  void link(const std::string& name, const std::string& existing);
  void open_file();
  void append(RowDataset& dataset, TensorView<const float, 3> values);
  void append_square(RowDataset& dataset, Site site, TensorView<const float, 3> values);
  void promote(RowDataset& dataset);
  void see_logits(std::span<const RowRef> rows, TensorView<float, 3> values);
  void add_to_summary(const ProbePoint& point, int column, TensorView<float, 3> values);
  void commit();
  void commit_when_due();
  std::size_t complete_rows() const;
  std::size_t bytes() const;
  void write_summaries();

  RecorderSource source_;
  RecorderOptions options_;
  std::string where_;
  h5::Handle file_, committed_;
  std::vector<std::unique_ptr<RowDataset>> datasets_;
  std::vector<std::pair<std::string, std::string>> links_;  // name, existing
  std::map<ProbePoint, std::vector<Target>> targets_;
  std::vector<RowDataset*> row_datasets_;  // those with one row a token, which decide what is complete
  RowDataset *offset_ = nullptr, *id_ = nullptr, *begin_ = nullptr, *end_ = nullptr, *bytes_ = nullptr,
             *bytes_offset_ = nullptr, *log_probability_ = nullptr, *top_id_ = nullptr, *top_value_ = nullptr,
             *log_sum_ = nullptr;
  std::vector<std::size_t> starts_{0};             // first row of each sequence, and one past the last
  std::vector<std::vector<TokenId>> ids_;          // of sequences in progress and done
  std::map<std::pair<int, int>, std::vector<double>> sums_;  // (block, statistic) -> [heads]
  std::size_t bytes_at_commit_ = 0, text_bytes_ = 0, commits_ = 0, committed_rows_ = 0;
  Clock::time_point last_commit_ = Clock::now();
  double seconds_ = 0.0;
  bool failed_ = false, finished_ = false;
};

FileRecorder::FileRecorder(const RecorderSource& source, RecorderOptions options)
    : source_(source), options_(std::move(options)), where_(options_.path.string()) {
  h5::silence();
  refuse_other_files(options_.path);
  create_file();
}

void FileRecorder::create_file() {
  const h5::Handle access = h5::access_properties();
  file_ = {H5Fcreate(where_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access), H5Fclose};
  h5::require(file_, where_, "create the file");
  try {
    write_root_attributes(file_, source_, options_.provenance);
    for (const char* group : {"/tokens", "/sequences", "/activations"}) h5::make_groups(file_, group, where_);
    create_token_datasets();
    const auto blocks = static_cast<int>(source_.model.spec.blocks.size());
    for (int block = 0; options_.attention != AttentionStorage::none && block < blocks; ++block) create_attention(block);
    for (const ProbePoint& point : options_.points) create_activation(point);
    for (const ResidualLink& same : residual_links(source_.model.spec)) {
      if (H5Lexists(file_, same.existing.c_str(), H5P_DEFAULT) > 0) link(same.name, same.existing);
    }
    h5::require(H5Fstart_swmr_write(file_), where_, "start writing");
    commit();
  } catch (...) {
    failed_ = true;  // nothing is in it yet: take the file away
    datasets_.clear();
    committed_.reset();
    file_.reset();
    std::error_code ignored;
    std::filesystem::remove(options_.path, ignored);
    throw;
  }
}

RowDataset& FileRecorder::add(RowDataset::Shape shape) {
  shape.expected_rows = options_.expected_rows;
  datasets_.push_back(std::make_unique<RowDataset>(file_, std::move(shape), where_));
  return *datasets_.back();
}

void FileRecorder::create_token_datasets() {
  const hsize_t one = 1;
  const h5::Handle space(H5Screate_simple(1, &one, nullptr), H5Sclose);
  committed_ = {H5Dcreate2(file_, "/sequences/committed", H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Dclose};
  h5::require(committed_, where_, "create a dataset");
  const auto rows = [&](const char* name, DType type) { return &add({.name = name, .type = type, .width = 0}); };
  offset_ = rows("/sequences/offset", DType::i64);
  id_ = rows("/tokens/id", DType::i32);
  begin_ = rows("/tokens/begin", DType::i64);
  end_ = rows("/tokens/end", DType::i64);
  bytes_ = rows("/tokens/bytes", DType::i8);
  bytes_offset_ = rows("/tokens/bytes_offset", DType::i64);
  const std::uint64_t zero = 0;
  offset_->append_raw(bytes_of<std::uint64_t>({&zero, 1}));
  bytes_offset_->append_raw(bytes_of<std::uint64_t>({&zero, 1}));
  row_datasets_ = {id_, begin_, end_};
  if (options_.top_logits == 0 || !source_.model.spec.has_head) return;
  h5::make_groups(file_, "/top_logits", where_);
  const std::size_t count = std::min(options_.top_logits, source_.model.spec.vocabulary);
  log_probability_ = rows("/tokens/log_probability", DType::f32);
  log_sum_ = rows("/top_logits/log_sum_exp", DType::f32);
  top_id_ = &add({.name = "/top_logits/id", .type = DType::i32, .width = count});
  top_value_ = &add({.name = "/top_logits/value", .type = DType::f32, .width = count});
  for (RowDataset* dataset : {log_probability_, log_sum_, top_id_, top_value_}) row_datasets_.push_back(dataset);
  targets_[{.site = Site::logits}].push_back({nullptr});
}

/// Factors as multiplied keep the type they were multiplied in; f16 is checked while it is written.
DType FileRecorder::type_of(const ProbePoint& point) const {
  switch (options_.store) {
    case StoreType::f32: return DType::f32;
    case StoreType::f16: return DType::f16;
    case StoreType::bf16: return DType::bf16;
    case StoreType::automatic: break;
  }
  if (source_.ops.precision() == Precision::exact) return DType::f32;
  const bool cached = point.site == Site::rot_k || point.site == Site::v;
  if (cached) return source_.model.spec.causal() ? options_.kv_type : DType::f32;
  return point.site == Site::rot_q || point.site == Site::logits ? DType::f32 : DType::f16;
}

void FileRecorder::create_attention(int block) {
  const AttentionSpec& spec = source_.model.spec.blocks[static_cast<std::size_t>(block)].attention;
  const std::string group = attention_group(block);
  h5::make_groups(file_, group, where_);
  write_attention_attributes(file_, group, spec, source_.kernel.kernel->rule(source_.kernel.options));
  const auto factor = [&](const char* name, Site site, std::size_t heads) {
    const ProbePoint point{.block = block, .site = site};
    RowDataset& dataset = add({.name = group + name, .type = type_of(point), .heads = heads, .width = spec.head_dim});
    targets_[point].push_back({&dataset});
    row_datasets_.push_back(&dataset);
  };
  factor("/q", Site::rot_q, spec.heads);
  factor("/k", Site::rot_k, spec.kv_heads);
  RowDataset& sums = add({.name = group + "/normalizer", .width = spec.heads});
  targets_[{.block = block, .site = Site::normalizer}].push_back({&sums});
  row_datasets_.push_back(&sums);
  for (int column = 0; column < 3; ++column) {
    RowDataset& dataset = add({.name = group + "/" + std::string(row_statistics[static_cast<std::size_t>(column)]), .width = spec.heads});
    targets_[{.block = block, .site = Site::row_stats}].push_back({&dataset, column});
    row_datasets_.push_back(&dataset);
  }
}

void FileRecorder::create_activation(const ProbePoint& point) {
  const std::string name = activation_path(point);
  if (H5Lexists(file_, name.c_str(), H5P_DEFAULT) > 0) return;
  const std::string factor = factor_path(point);
  if (options_.attention != AttentionStorage::none && !factor.empty()) return link(name, factor);
  PointShape shape = point_shape(source_.model.spec, point);
  if (is_square(point.site)) {
    VITRINE_CHECK(options_.longest_sequence > 0);
    shape.width = options_.longest_sequence;
  }
  const bool plain = shape.heads == 1 && point.site != Site::z && !is_square(point.site);
  RowDataset& dataset = add({.name = name, .type = type_of(point), .heads = plain ? 0 : shape.heads, .width = shape.width});
  targets_[point].push_back({&dataset});
  row_datasets_.push_back(&dataset);
}

void FileRecorder::link(const std::string& name, const std::string& existing) {
  if (H5Lexists(file_, name.c_str(), H5P_DEFAULT) > 0) return;
  h5::require(H5Lcreate_hard(file_, existing.c_str(), file_, name.c_str(), H5P_DEFAULT, H5P_DEFAULT), where_,
              "link " + name);
  links_.emplace_back(name, existing);
}

void FileRecorder::append(RowDataset& dataset, TensorView<const float, 3> values) {
  if (dataset.shape().type == DType::f16 && exceeds_f16(values, source_.ops.pool())) promote(dataset);
  dataset.append(values, source_.ops);
}

/// Rows of a map, filled up to the longest sequence: weights with 0, scores with -inf.
void FileRecorder::append_square(RowDataset& dataset, Site site, TensorView<const float, 3> values) {
  const std::size_t width = dataset.shape().width, heads = values.extent(1);
  const float none = site == Site::pattern ? 0.0f : -std::numeric_limits<float>::infinity();
  std::vector<float> rows(values.extent(0) * heads * width, none);
  for (std::size_t r = 0; r < values.extent(0); ++r) {
    for (std::size_t h = 0; h < heads; ++h) std::copy_n(&values(r, h, 0), std::min(width, values.extent(2)), rows.begin() + static_cast<std::ptrdiff_t>((r * heads + h) * width));
  }
  dataset.append({rows.data(), {values.extent(0), heads, width}}, source_.ops);
}

/// Ends SWMR for a moment, for it forbids new datasets; readers that follow the file open it anew (FORMAT.md).
void FileRecorder::promote(RowDataset& dataset) {
  for (auto& each : datasets_) {
    each->flush_tail();
    if (each.get() != &dataset) each->close();
  }
  const auto reopen = [&](unsigned flags) {
    const h5::Handle access = h5::access_properties();
    dataset.close();
    committed_.reset();
    h5::require(file_.reset() ? 0 : -1, where_, "close the file");
    file_ = {H5Fopen(where_.c_str(), flags, access), H5Fclose};
    h5::require(file_, where_, "open the file again");
    dataset.open(file_);
  };
  reopen(H5F_ACC_RDWR);
  dataset.promote(file_);
  dataset.flush_tail();
  for (const auto& [name, existing] : links_) {
    if (existing != dataset.shape().name) continue;
    h5::require(H5Ldelete(file_, name.c_str(), H5P_DEFAULT), where_, "replace a link");
    h5::require(H5Lcreate_hard(file_, existing.c_str(), file_, name.c_str(), H5P_DEFAULT, H5P_DEFAULT), where_, "link " + name);
  }
  reopen(H5F_ACC_RDWR | H5F_ACC_SWMR_WRITE);
  for (auto& each : datasets_) each->open(file_);
  committed_ = {H5Dopen2(file_, "/sequences/committed", H5P_DEFAULT), H5Dclose};
}

void FileRecorder::see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) {
  const Stopwatch watch(seconds_);
  const auto found = targets_.find(point);
  if (found == targets_.end() || failed_) return;
  failed_ = true;  // until this call has ended well
  for (const Target& target : found->second) {
    if (target.dataset == nullptr) {
      see_logits(rows, values);
      continue;
    }
    VITRINE_CHECK(rows.front().sequence + 1 < starts_.size());
    VITRINE_CHECK(target.dataset->rows() == starts_[rows.front().sequence] + rows.front().position);
    TensorView<const float, 3> part = values;
    if (target.column >= 0) {
      part = {&values(0, 0, static_cast<std::size_t>(target.column)), {values.extent(0), 1, values.extent(1)},
              {values.stride(0), 1, values.stride(1)}};
      add_to_summary(point, target.column, values);
    } else if (target.dataset->shape().heads == 0 && values.extent(1) > 1) {  // [rows, heads] of one number each
      part = {values.data(), {values.extent(0), 1, values.extent(1)}, {values.stride(0), 1, values.stride(1)}};
    }
    is_square(point.site) ? append_square(*target.dataset, point.site, values) : append(*target.dataset, part);
  }
  failed_ = false;
}

void FileRecorder::see_logits(std::span<const RowRef> rows, TensorView<float, 3> values) {
  const std::size_t count = top_id_->shape().width, vocabulary = values.extent(2);
  std::vector<std::int32_t> top_ids(rows.size() * count);
  std::vector<float> top_values(rows.size() * count), log_sums(rows.size()), next(rows.size());
  source_.ops.pool().run(rows.size(), [&](std::size_t r, std::size_t) {
    const std::span<const float> row(&values(r, 0, 0), vocabulary);
    largest_logits(row, {top_ids.data() + r * count, count}, {top_values.data() + r * count, count});
    const auto best = static_cast<std::size_t>(top_ids[r * count]);
    log_sums[r] = static_cast<float>(row[best] - source_.ops.log_probability(row, best));
    const std::vector<TokenId>& ids = ids_[rows[r].sequence];
    const std::size_t position = rows[r].position + 1;
    next[r] = position < ids.size() ? row[static_cast<std::size_t>(ids[position])] - log_sums[r] : 0.0f;
  });
  top_id_->append_raw(bytes_of<std::int32_t>(top_ids));
  top_value_->append_raw(bytes_of<float>(top_values));
  log_sum_->append_raw(bytes_of<float>(log_sums));
  const float none = std::numeric_limits<float>::quiet_NaN();
  for (std::size_t r = 0; r < rows.size(); ++r) {  // the probability of a token comes with the row before it
    if (rows[r].position == 0) log_probability_->append_raw(bytes_of<float>({&none, 1}));
    if (rows[r].position + 1 < ids_[rows[r].sequence].size()) log_probability_->append_raw(bytes_of<float>({&next[r], 1}));
  }
}

void FileRecorder::add_to_summary(const ProbePoint& point, int column, TensorView<float, 3> values) {
  std::vector<double>& sums = sums_[{point.block, column}];
  sums.resize(values.extent(1));
  for (std::size_t r = 0; r < values.extent(0); ++r) {
    for (std::size_t h = 0; h < values.extent(1); ++h) sums[h] += values(r, h, static_cast<std::size_t>(column));
  }
}

void FileRecorder::begin_sequence(std::span<const Token> tokens) {
  const Stopwatch watch(seconds_);
  const Tokenizer* tokenizer = source_.model.tokenizer.get();
  std::vector<TokenId> ids;
  for (const Token& token : tokens) {
    ids.push_back(token.id);
    const std::uint64_t begin = token.begin, end = token.end;
    id_->append_raw(bytes_of<std::int32_t>({&token.id, 1}));
    begin_->append_raw(bytes_of<std::uint64_t>({&begin, 1}));
    end_->append_raw(bytes_of<std::uint64_t>({&end, 1}));
    const std::string piece = tokenizer ? tokenizer->piece(token.id) : "";
    bytes_->append_raw(bytes_of<char>(piece));
    text_bytes_ += piece.size();
    const std::uint64_t text_bytes = text_bytes_;
    bytes_offset_->append_raw(bytes_of<std::uint64_t>({&text_bytes, 1}));
  }
  starts_.push_back(starts_.back() + ids.size());
  const std::uint64_t border = starts_.back();
  offset_->append_raw(bytes_of<std::uint64_t>({&border, 1}));
  ids_.push_back(std::move(ids));
}

void FileRecorder::end_sequence() {
  const Stopwatch watch(seconds_);
  commit_when_due();
}

std::size_t FileRecorder::complete_rows() const {
  std::size_t rows = starts_.back();
  for (const RowDataset* dataset : row_datasets_) rows = std::min(rows, dataset->rows());
  return rows;
}

/// Of all numbers so far, in the file or still on their way to it.
std::size_t FileRecorder::bytes() const {
  std::size_t sum = 0;
  for (const auto& dataset : datasets_) sum += dataset->bytes();
  return sum;
}

void FileRecorder::commit() {
  for (auto& dataset : datasets_) dataset->flush_tail();
  h5::require(H5Fflush(file_, H5F_SCOPE_LOCAL), where_, "write to the disk");
  const std::uint64_t rows = complete_rows();
  h5::require(H5Dwrite(committed_, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, &rows), where_, "commit");
  h5::require(H5Dflush(committed_), where_, "commit");
  h5::require(H5Fflush(file_, H5F_SCOPE_LOCAL), where_, "write to the disk");
  committed_rows_ = rows;
  last_commit_ = Clock::now();
  bytes_at_commit_ = bytes();
  ++commits_;
}

void FileRecorder::commit_when_due() {
  const double age = std::chrono::duration<double>(Clock::now() - last_commit_).count();
  if (age > commit_seconds || bytes() - bytes_at_commit_ > commit_bytes) commit();
}

void FileRecorder::finish() {
  const Stopwatch watch(seconds_);
  VITRINE_CHECK(!failed_ && !finished_ && complete_rows() == starts_.back());
  failed_ = true;
  commit();
  for (auto& dataset : datasets_) dataset->close();
  committed_.reset();
  h5::require(file_.reset() ? 0 : -1, where_, "close the file");
  const h5::Handle access = h5::access_properties();
  file_ = {H5Fopen(where_.c_str(), H5F_ACC_RDWR, access), H5Fclose};
  h5::require(file_, where_, "open the file again");
  write_summaries();
  for (const auto& dataset : datasets_) write_axis_labels(file_, dataset->shape().name);
  const h5::Handle root(H5Gopen2(file_, "/", H5P_DEFAULT), H5Gclose);
  H5Adelete(root, "finished");
  h5::write_attribute(root, "finished", std::uint64_t{1});
  h5::require(H5Fflush(file_, H5F_SCOPE_LOCAL), where_, "write to the disk");
  h5::require(file_.reset() ? 0 : -1, where_, "close the file");
  failed_ = false;
  finished_ = true;
}

void FileRecorder::write_summaries() {
  if (sums_.empty()) return;
  h5::make_groups(file_, "/summary", where_);
  std::size_t heads = 0;
  for (const auto& [key, sums] : sums_) heads = std::max(heads, sums.size());
  const std::size_t blocks = source_.model.spec.blocks.size();
  const auto rows = static_cast<double>(starts_.back());
  for (int column = 0; column < 3; ++column) {
    std::vector<double> means(blocks * heads, std::numeric_limits<double>::quiet_NaN());
    for (std::size_t block = 0; block < blocks; ++block) {
      const std::vector<double>& sums = sums_[{static_cast<int>(block), column}];
      for (std::size_t h = 0; h < sums.size(); ++h) means[block * heads + h] = sums[h] / rows;
    }
    const hsize_t extents[] = {blocks, heads};
    const h5::Handle space(H5Screate_simple(2, extents, nullptr), H5Sclose);
    const std::string name = "/summary/" + std::string(row_statistics[static_cast<std::size_t>(column)]);
    const h5::Handle dataset(H5Dcreate2(file_, name.c_str(), H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Dclose);
    h5::require(dataset, where_, "create a summary");
    h5::require(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, means.data()), where_, "write a summary");
  }
}

Recorder::Summary FileRecorder::summary() const {
  Summary result;
  for (const auto& dataset : datasets_) {
    result.datasets.push_back({dataset->shape().name, std::string(dtype_info(dataset->shape().type).name), dataset->rows(),
                               dataset->shape().heads, dataset->shape().width, dataset->bytes()});
  }
  result.rows = committed_rows_;
  result.commits = commits_;
  result.seconds = seconds_;
  return result;
}

FileRecorder::~FileRecorder() {
  if (finished_ || !file_.valid()) return;
  try {
    if (!failed_) commit();  // a Ctrl-C: what is complete stays readable
  } catch (...) {            // a full disk: what was committed before stays readable
  }
}

}  // namespace

std::unique_ptr<Recorder> Recorder::create(const RecorderSource& source, RecorderOptions options) {
  return std::make_unique<FileRecorder>(source, std::move(options));
}

}  // namespace vitrine

#include <algorithm>

#include "core/base/error.h"
#include "core/model/distance_bias.h"
#include "probes/file_recorder_internal.h"

// What a recording will hold: every dataset, link and attribute of it, from the model and what is asked for.

namespace vitrine {
namespace {

constexpr int gzip_level = 2;  // 4 and 6 take as long again for a third of a percent less

ChunkFilters filters_of(Compression compression) {
  ChunkFilters filters;
  if (compression == Compression::gzip) filters.push_back(gzip_filter(gzip_level));
  return filters;
}

}  // namespace

Recorder::Dataset described(const RowDataset& dataset, std::size_t rows) {
  const RowDataset::Shape& shape = dataset.shape();
  const std::string type(shape.type == DType::q8_0 ? "int8" : dtype_info(shape.type).name);
  return {shape.name, type, rows, shape.heads, shape.width, rows * dataset.heads() * dataset.row_bytes()};
}

FileRecorder::FileRecorder(const RecorderSource& source, RecorderOptions options)
    : source_(source), options_(std::move(options)), file_(options_.path, filters_of(options_.compression)),
      writer_(options_.compression == Compression::none && options_.readers.empty() ? 0 : source.ops.pool().threads()) {
  if (!options_.readers.empty()) file_.protect(std::move(options_.readers));
  plan_tokens(text_, "");
  if (!source_.model.spec.encoder.empty()) plan_tokens(encoder_, encoder_prefix);
  if (options_.top_logits > 0 && source_.model.spec.has_head) plan_logits();
  if (options_.attention != AttentionStorage::none) {
    plan_relative();
    if (options_.pyramids == Pyramids::of_long_texts && MapPyramids::cell_of(options_.longest_sequence) > 0) cell_ = &add_rows("/mips/cell", DType::i64);
    for (const AttentionPlace& place : attention_places(source_.model.spec)) plan_attention(place);
  }
  for (const ProbePoint& point : options_.points) plan_activation(point);
  for (const ResidualLink& same : residual_links(source_.model.spec)) {
    if (file_.planned(same.existing)) file_.plan_link(same.name, same.existing);
  }
}

FileRecorder::Plan FileRecorder::plan(std::span<const SequenceSize> sequences) {
  SequenceSize sum;
  for (const SequenceSize& size : sequences) {
    sum.tokens += size.tokens;
    sum.text_bytes += size.text_bytes;
    sum.source_tokens += size.source_tokens;
    sum.source_bytes += size.source_bytes;
  }
  std::map<const RowBuffer*, std::size_t> rows;
  const auto count = [&](const TokenTable& table, std::size_t tokens, std::size_t bytes) {
    for (const RowBuffer* buffer : table.buffers) rows[buffer] = tokens;
    rows[table.offset] = sequences.size() + 1;
    rows[table.bytes_offset] = tokens + 1;
    rows[table.bytes] = bytes;
  };
  count(text_, sum.tokens, sum.text_bytes);
  if (encoder_.offset) count(encoder_, sum.source_tokens, sum.source_bytes);
  for (const SequenceSize& size : sequences) {
    const std::size_t cell = MapPyramids::cell_of(std::max(size.tokens, size.source_tokens));
    for (const auto& [place, target] : pyramids_.targets()) {
      const std::size_t queries = place.stack == Stack::encoder ? size.source_tokens : size.tokens, squares = cell > 0 ? (queries + cell - 1) / cell : 0;
      for (const RowBuffer* buffer : {target.largest, target.mean}) rows[buffer] += squares;
    }
  }
  if (cell_) rows[cell_] = sequences.size();
  Plan plan;
  const h5::Library library;
  plan.file_bytes = file_.empty_bytes(source_, options_.provenance);
  for (const auto& buffer : buffers_) {
    plan.datasets.push_back(described(buffer->dataset(), rows.at(buffer.get())));
    plan.file_bytes += buffer->dataset().file_bytes(rows.at(buffer.get()));
  }
  return plan;
}

RowBuffer& FileRecorder::add(RowDataset::Shape shape) {
  if (shape.expected_rows == 0) shape.expected_rows = options_.expected_rows;
  buffers_.push_back(std::make_unique<RowBuffer>(file_.plan(std::move(shape)), writer_));
  return *buffers_.back();
}

void FileRecorder::feed(const ProbePoint& point, RowBuffer& buffer, int column) {
  targets_[point].push_back({&buffer, column});
  table_of(point).buffers.push_back(&buffer);
}

void FileRecorder::plan_tokens(TokenTable& table, std::string_view prefix) {
  const std::string side(prefix);
  table.offset = &add_rows(side + "/sequences/offset", DType::i64);
  table.id = &add_rows(side + "/tokens/id", DType::i32);
  table.begin = &add_rows(side + "/tokens/begin", DType::i64);
  table.end = &add_rows(side + "/tokens/end", DType::i64);
  table.bytes = &add_rows(side + "/tokens/bytes", DType::i8);
  table.bytes_offset = &add_rows(side + "/tokens/bytes_offset", DType::i64);
  const std::uint64_t zero = 0;
  table.offset->append_raw(bytes_of<std::uint64_t>({&zero, 1}));
  table.bytes_offset->append_raw(bytes_of<std::uint64_t>({&zero, 1}));
  table.buffers = {table.id, table.begin, table.end};
  const bool is_text = side.empty() == source_.model.spec.encoder.empty();  // what a user wrote
  if (!is_text || options_.scrub_labels.empty()) return;
  table.scrubbed = &add_rows(side + "/tokens/scrubbed", DType::i32);
  table.buffers.push_back(table.scrubbed);
}

void FileRecorder::plan_logits() {
  const std::size_t count = std::min(options_.top_logits, source_.model.spec.vocabulary);
  log_probability_ = &add_rows("/tokens/log_probability", DType::f32);
  log_sum_ = &add_rows("/top_logits/log_sum_exp", DType::f32);
  top_id_ = &add({.name = "/top_logits/id", .type = DType::i32, .width = count});
  top_value_ = &add({.name = "/top_logits/value", .type = DType::f32, .width = count});
  for (RowBuffer* buffer : {log_probability_, log_sum_, top_id_, top_value_}) text_.buffers.push_back(buffer);
  targets_[{.stack = source_.model.spec.stack, .site = Site::logits}].push_back({nullptr});
}

/// What scores take from each token where the distance meets the query.
void FileRecorder::plan_relative() {
  const ModelSpec& spec = source_.model.spec;
  if (!spec.blocks.front().attention.relative) return;
  segment_ = &add_rows("/tokens/segment", DType::i32);
  text_.buffers.push_back(segment_);
  if (!spec.query_stream) return;
  allowed_ = &add({.name = "/tokens/allowed", .type = DType::i64, .width = BitView::words_of(options_.longest_sequence)});
  text_.buffers.push_back(allowed_);
}

void FileRecorder::plan_pyramid(const RecordingFile::Module& module) {
  const AttentionSpec& spec = *module.spec;
  ScoreRule score;
  score.scale = spec.scale;
  score.soft_cap = spec.soft_cap;
  score.mask = spec.mask;
  score.window = spec.window;
  score.by_distance = module.bias;
  const std::size_t longest = options_.longest_sequence, cell = MapPyramids::cell_of(longest);
  const auto squares = [&](const char* what) -> RowBuffer& {
    return add({.name = "/mips/" + attention_name(module.place) + what, .type = DType::bf16, .heads = spec.heads, .width = MapPyramids::width(longest),
                .expected_rows = (std::max(options_.expected_rows, longest) + cell - 1) / cell});
  };
  pyramids_.add(module.place, {&squares("/max"), &squares("/mean"), spec.heads, spec.kv_heads, spec.head_dim, score, module.rule});
}

void FileRecorder::plan_attention(const AttentionPlace& place) {
  const AttentionSpec& spec = attention_at(source_.model.spec, place);
  const std::string group = attention_group(place);
  const PatternRule rule = types_.rule_of(place);
  RecordingFile::Module module{place, &spec, rule, {}};
  if (place.role == AttentionRole::self) {
    module.bias = distance_bias(*stack_of(source_.model.spec, place.point(Site::q)), source_.model.weights, place.block);
  }
  if (spec.relative) {
    VITRINE_CHECK(options_.longest_sequence > 0);
    module.reach = options_.longest_sequence - 1;
    if (spec.relative->furthest > 0) module.reach = std::min(module.reach, spec.relative->furthest);
  }
  file_.plan_attention(module);
  if (cell_ && !spec.relative) plan_pyramid(module);
  const auto factor = [&](const char* name, Site site, std::size_t heads) {
    const ProbePoint point = place.point(site);
    feed(point, add({.name = group + name, .type = types_.type_of(point), .heads = heads, .width = spec.head_dim}));
  };
  factor("/q", Site::rot_q, spec.heads);
  factor("/k", Site::rot_k, spec.kv_heads);
  feed(place.point(Site::normalizer), add({.name = group + "/normalizer", .width = spec.heads}));
  if (rule.kind == PatternKind::softmax_top_k) feed(place.point(Site::threshold), add({.name = group + "/threshold", .width = spec.heads}));
  for (std::size_t column = 0; column < row_statistics.size(); ++column) {
    feed(place.point(Site::row_stats), add({.name = group + "/" + std::string(row_statistics[column]), .width = spec.heads}), static_cast<int>(column));
  }
}

/// Whether the point is another one of the file under another name, in the type that is asked for.
bool FileRecorder::is_linked(const ProbePoint& point) const {
  for (const ResidualLink& same : residual_links(source_.model.spec)) {
    if (same.name != activation_path(point)) continue;
    const auto twin = std::ranges::find(options_.points, same.existing, activation_path);
    return twin != options_.points.end() && types_.type_of(*twin) == types_.type_of(point);
  }
  return false;
}

void FileRecorder::plan_activation(const ProbePoint& point) {
  const std::string name = activation_path(point);
  if (file_.planned(name) || is_linked(point)) return;
  const std::string factor = factor_path(point);
  if (!factor.empty() && file_.planned(factor)) return file_.plan_link(name, factor);
  PointShape shape = point_shape(source_.model.spec, point);
  if (is_square(point.site)) {
    VITRINE_CHECK(options_.longest_sequence > 0);
    shape.width = options_.longest_sequence;
  }
  const bool plain = shape.heads == 1 && point.site != Site::z && !is_square(point.site);
  feed(point, add({.name = name, .type = types_.type_of(point), .heads = plain ? 0 : shape.heads, .width = shape.width}));
}

}  // namespace vitrine

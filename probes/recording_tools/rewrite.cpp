#include "probes/recording_tools/rewrite.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/base/part_file.h"
#include "probes/protection/replaced_log.h"
#include "probes/recording_layout_internal.h"
#include "probes/recording_tools/attributes_internal.h"
#include "probes/recording_tools/stored_datasets_internal.h"
#include "probes/writer_mark_internal.h"

namespace vitrine {
namespace {

using Sources = std::vector<std::unique_ptr<StoredRecording>>;
using Side = Recording::Side;

constexpr std::size_t chunk_cache_bytes = std::size_t{64} << 20;  // the chunks that a slab of all heads touches

/// Recordings that cannot stand in one file: names the first thing in which they differ.
[[noreturn]] void refuse(const StoredRecording& first, const StoredRecording& other, const std::string& what) {
  throw Error({other.file.path(), what + " as in " + first.file.path(), "another",
               "only recordings of one model with the same points, precision and kernel can be merged"});
}

std::string model_of(const Recording& recording) {
  const Json& hash = recording.provenance()["provenance"]["model_sha256"];
  return hash.is_string() ? hash.string() : recording.provenance()["model"].string();
}

void require_same_attributes(const StoredRecording& first, const StoredRecording& other, const std::string& group) {
  const auto mine = attributes_of(first.file, group), theirs = attributes_of(other.file, group);
  for (std::size_t i = 0; i < std::max(mine.size(), theirs.size()); ++i) {
    if (i >= mine.size() || i >= theirs.size() || mine[i] != theirs[i]) {
      refuse(first, other, "the attribute " + (i < mine.size() ? mine[i].first : theirs[i].first) + " of " + group);
    }
  }
}

/// Squares of maps stand for whole sequences of one run: a file that is put together has none, and its maps are pooled when somebody looks.
bool is_left_out(const std::string& name) { return name == "/mips" || name.starts_with("/mips/"); }

bool is_float(const std::string& type) { return type == "f32" || type == "f16" || type == "bf16"; }

void require_same_dataset(const StoredRecording& first, const StoredRecording& other, const StoredDataset& mine) {
  if (is_left_out(mine.name)) return;
  const StoredDataset* theirs = other.find(mine.name);
  if (!theirs) refuse(first, other, mine.name);
  const bool same_axes =
      std::equal(mine.info.shape.begin() + 1, mine.info.shape.end(), theirs->info.shape.begin() + 1, theirs->info.shape.end());
  if (!same_axes || mine.counted != theirs->counted) refuse(first, other, "the shape of " + mine.name);
  if (mine.info.type != theirs->info.type && !(is_float(mine.info.type) && is_float(theirs->info.type)))
    refuse(first, other, "the type of " + mine.name);
  const bool made_anew = mine.name.starts_with("/summary/") || mine.name.ends_with("/sequences/committed");
  if (mine.counted != Counted::nothing || made_anew) return;
  const auto all = [](const StoredRecording& source, const StoredDataset& dataset) {
    return source.file.stored(dataset.name, 0, dataset.info.shape.front());
  };
  if (mine.info.shape != theirs->info.shape || all(first, mine) != all(other, *theirs)) refuse(first, other, "the numbers of " + mine.name);
}

void require_alike(const StoredRecording& first, const StoredRecording& other) {
  for (const char* name : {"architecture", "blocks", "width", "vocabulary", "context", "precision", "kernel"}) {
    if (first.recording->provenance()[name].dump() != other.recording->provenance()[name].dump())
      refuse(first, other, std::string("the same ") + name);
  }
  if (model_of(*first.recording) != model_of(*other.recording)) refuse(first, other, "the same model");
  for (const StoredDataset& dataset : first.datasets) require_same_dataset(first, other, dataset);
  for (const StoredDataset& dataset : other.datasets) {
    if (!first.find(dataset.name) && !is_left_out(dataset.name)) refuse(first, other, "no " + dataset.name);
  }
  for (const Recording::Module& module : first.recording->modules()) require_same_attributes(first, other, "/attention/" + module.name);
}

h5::Handle open_stored(const StoredRecording& source, const std::string& name) {
  h5::Handle dataset(H5Dopen2(source.file.id(), name.c_str(), H5P_DEFAULT), H5Dclose);
  h5::require(dataset, source.file.path(), "open " + name);
  return dataset;
}

std::vector<hsize_t> extents_of(hid_t dataset) {
  const h5::Handle space(H5Dget_space(dataset), H5Sclose);
  std::vector<hsize_t> extents(static_cast<std::size_t>(std::max(0, H5Sget_simple_extent_ndims(space))));
  H5Sget_simple_extent_dims(space, extents.data(), nullptr);
  return extents;
}

/// The new file while it is written.
class Writer {
 public:
  Writer(const Sources& sources, const std::filesystem::path& path, Run& progress)
      : sources_(sources), where_(path.string()), progress_(progress) {
    const h5::Handle access = h5::access_properties();
    file_ = {H5Fcreate(where_.c_str(), H5F_ACC_EXCL, H5P_DEFAULT, access), H5Fclose};
    h5::require(file_, where_, "create the file");
  }

  void write(const Json& provenance);

 private:
  const StoredRecording& template_source() const { return *sources_.front(); }
  void copy_groups();
  void copy_constant(const std::string& name);
  void create(const StoredDataset& dataset);
  h5::Handle type_of(const StoredDataset& dataset, hid_t stored) const;
  void append(const StoredDataset& dataset, hid_t made);
  void append_slab(hid_t dataset, hid_t type, std::size_t count, std::span<const std::byte> numbers) const;
  void write_borders(const StoredDataset& dataset, hid_t made);
  void write_all(const std::string& name, hid_t type, const void* numbers) const;
  void write_committed(Side side);
  void write_summaries();
  std::vector<double> means(const Recording::Module& module, std::string_view statistic) const;
  void write_root(const Json& provenance);

  const Sources& sources_;
  std::string where_;
  Run& progress_;
  h5::Handle file_;
};

void Writer::copy_groups() {
  const auto copy = [&](const std::string& name) {
    const h5::Handle from(H5Gopen2(template_source().file.id(), name.c_str(), H5P_DEFAULT), H5Gclose),
        to(H5Gopen2(file_, name.c_str(), H5P_DEFAULT), H5Gclose);
    copy_attributes(from, to, where_);
  };
  copy("/");
  for (const CheckedFile::Object& object : template_source().objects) {
    if (!object.is_group || is_left_out(object.name)) continue;
    h5::make_group(file_, object.name, where_);
    copy(object.name);
  }
}

void Writer::copy_constant(const std::string& name) {
  h5::require(H5Ocopy(template_source().file.id(), name.c_str(), file_, name.c_str(), H5P_DEFAULT, H5P_DEFAULT), where_, "copy " + name);
}

/// That of the sources, or f32 where they differ.
/// That of the sources, or f32 where they differ.
h5::Handle Writer::type_of(const StoredDataset& dataset, hid_t stored) const {
  for (const auto& source : sources_) {
    if (source->find(dataset.name)->info.type != dataset.info.type) return h5::file_type(DType::f32);
  }
  return {H5Dget_type(stored), H5Tclose};
}

void Writer::create(const StoredDataset& dataset) {
  const h5::Handle stored = open_stored(template_source(), dataset.name), properties(H5Dget_create_plist(stored), H5Pclose),
                   access(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose), type = type_of(dataset, stored);
  std::vector<hsize_t> now = extents_of(stored), most = now;
  now[0] = 0;
  most[0] = H5S_UNLIMITED;
  const h5::Handle space(H5Screate_simple(static_cast<int>(now.size()), now.data(), most.data()), H5Sclose);
  H5Pset_chunk_cache(access, 12421, chunk_cache_bytes, 1.0);
  const h5::Handle made(H5Dcreate2(file_, dataset.name.c_str(), type, space, H5P_DEFAULT, properties, access), H5Dclose);
  h5::require(made, where_, "create " + dataset.name);
  copy_attributes(stored, made, where_);
  dataset.counted == Counted::sequences || dataset.counted == Counted::byte_borders ? write_borders(dataset, made) : append(dataset, made);
}

/// Adds entries behind those that are there. @param type  of the numbers
void Writer::append_slab(hid_t dataset, hid_t type, std::size_t count, std::span<const std::byte> numbers) const {
  std::vector<hsize_t> extents = extents_of(dataset), begin(extents.size(), 0), counts = extents;
  begin[0] = extents[0];
  counts[0] = count;
  extents[0] += count;
  h5::require(H5Dset_extent(dataset, extents.data()), where_, "extend a dataset");
  if (numbers.empty()) return;
  const h5::Handle memory(H5Screate_simple(static_cast<int>(counts.size()), counts.data(), nullptr), H5Sclose),
      space(H5Dget_space(dataset), H5Sclose);
  h5::require(H5Sselect_hyperslab(space, H5S_SELECT_SET, begin.data(), nullptr, counts.data(), nullptr), where_, "find rows");
  h5::require(H5Dwrite(dataset, type, memory, space, H5P_DEFAULT, numbers.data()), where_, "write rows");
}

void Writer::append(const StoredDataset& dataset, hid_t made) {
  for (const auto& source : sources_) {
    const StoredDataset& theirs = *source->find(dataset.name);
    const h5::Handle stored = open_stored(*source, theirs.name), type(H5Dget_type(stored), H5Tclose);
    for_slabs(theirs.info, source->committed(theirs), [&](std::size_t begin, std::size_t count) {
      append_slab(made, type, count, source->file.stored(theirs.name, begin, count));
    });
  }
}

/// Borders of sequences, or of the tokens' bytes: those of a source stand behind the last of the one before it.
void Writer::write_borders(const StoredDataset& dataset, hid_t made) {
  std::vector<std::uint64_t> borders{0};
  for (const auto& source : sources_) {
    const std::uint64_t last = borders.back();
    if (dataset.counted == Counted::sequences) {
      for (std::size_t s = 0; s < source->recording->sequences(); ++s) {
        const Recording::Rows rows = source->recording->rows_of(s, dataset.side);
        borders.push_back(last + rows.begin + rows.count);
      }
      continue;
    }
    const std::size_t rows = source->rows(dataset.side);
    if (rows == 0) continue;
    for (const std::uint64_t border : source->file.read<std::uint64_t>(dataset.name, {{1}, {rows}})) borders.push_back(last + border);
  }
  const hsize_t count = borders.size();
  h5::require(H5Dset_extent(made, &count), where_, "extend a dataset");
  h5::require(H5Dwrite(made, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, borders.data()), where_, "write borders");
}

void Writer::write_all(const std::string& name, hid_t type, const void* numbers) const {
  const h5::Handle dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), H5Dclose);
  h5::require(dataset, where_, "open " + name);
  h5::require(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers), where_, "write " + name);
}

void Writer::write_committed(Side side) {
  std::uint64_t rows = 0;
  for (const auto& source : sources_) rows += source->rows(side);
  write_all(prefix_of(side) + "/sequences/committed", H5T_NATIVE_UINT64, &rows);
}

/// Over all rows, [head].
std::vector<double> Writer::means(const Recording::Module& module, std::string_view statistic) const {
  std::vector<double> sums(module.heads, 0.0);
  std::size_t rows = 0;
  for (const auto& source : sources_) {
    for (std::size_t s = 0; s < source->recording->sequences(); ++s) {
      const std::vector<float> values = source->recording->row_statistic(module, statistic, s);  // [rows, heads]
      for (std::size_t i = 0; i < values.size(); ++i) sums[i % module.heads] += values[i];
      rows += source->recording->rows_of(s, module.queries).count;
    }
  }
  for (double& sum : sums) sum = rows > 0 ? sum / static_cast<double>(rows) : std::nan("");
  return sums;
}

void Writer::write_summaries() {
  const auto modules = template_source().recording->modules();
  for (const std::string_view statistic : row_statistics) {
    const std::string name = "/summary/" + std::string(statistic);
    const StoredDataset* stored = template_source().find(name);
    if (!stored || stored->info.shape.size() != 2 || stored->info.shape[0] != modules.size()) continue;
    const std::size_t heads = stored->info.shape[1];
    std::vector<double> numbers(modules.size() * heads, std::nan(""));
    for (std::size_t m = 0; m < modules.size(); ++m) {
      std::ranges::copy_n(means(modules[m], statistic).begin(), static_cast<std::ptrdiff_t>(std::min(heads, modules[m].heads)),
                          numbers.begin() + static_cast<std::ptrdiff_t>(m * heads));
    }
    write_all(name, H5T_NATIVE_DOUBLE, numbers.data());
  }
}

void Writer::write_root(const Json& provenance) {
  const h5::Handle root(H5Gopen2(file_, "/", H5P_DEFAULT), H5Gclose);
  std::uint64_t version = 0;
  for (const auto& source : sources_) version = std::max(version, source->file.count("/", "format_version", UINT32_MAX));
  for (const char* name : {"provenance", "finished", "format_version"}) h5::require(H5Adelete(root, name), where_, "replace an attribute");
  h5::write_attribute(root, "provenance", provenance.dump());
  h5::write_attribute(root, "format_version", version);
  h5::write_attribute(root, "finished", std::uint64_t{1});
}

void Writer::write(const Json& provenance) {
  copy_groups();
  std::size_t done = 0;
  for (const StoredDataset& dataset : template_source().datasets) {
    progress_.step("datasets", ++done, template_source().datasets.size());
    if (is_left_out(dataset.name)) continue;
    if (!dataset.same_as.empty()) {
      h5::require(H5Lcreate_hard(file_, dataset.same_as.c_str(), file_, dataset.name.c_str(), H5P_DEFAULT, H5P_DEFAULT), where_,
                  "link " + dataset.name);
    } else {
      dataset.counted == Counted::nothing ? copy_constant(dataset.name) : create(dataset);
    }
  }
  write_committed(Side::text);
  if (template_source().recording->has_encoder()) write_committed(Side::encoder);
  write_summaries();
  write_root(provenance);
  h5::require(H5Fflush(file_, H5F_SCOPE_LOCAL), where_, "write to the disk");
  h5::require(file_.reset() ? 0 : -1, where_, "close the file");
}

Rewritten::Part part_of(const StoredRecording& source) {
  const Recording& recording = *source.recording;
  Rewritten::Part part{.file = source.file.path(),
                       .finished = recording.finished(),
                       .squares_left_out = source.find("/mips/cell") != nullptr,
                       .sequences = recording.sequences(),
                       .rows = source.rows(Side::text),
                       .cut_sequence = {}};
  const StoredDataset* offset = source.find("/sequences/offset");
  const std::size_t stored = source.file.info(offset->name).shape[0];
  if (part.finished || part.sequences == 0 || stored <= part.sequences) return part;
  const Recording::Rows last = recording.rows_of(part.sequences - 1);
  const std::size_t announced = source.file.read<std::uint64_t>(offset->name, {{part.sequences}, {1}})[0] - last.begin;
  if (announced == last.count) return part;
  part.cut_sequence = part.sequences - 1;
  part.cut_rows = last.count;
  part.announced_rows = announced;
  return part;
}

/// Its chunks are bound to the file that they were sealed for.
void require_open(const StoredRecording& source) {
  if (source.file.keys()) throw Error({source.file.path(), "a recording that is not protected", "one that is", "protected recordings are not written anew"});
}

/// Finished, with no flag of a writer left that would have it opened as one that is being written.
bool is_whole(const StoredRecording& source) {
  const h5::Library library;
  unsigned how = 0;
  h5::require(H5Fget_intent(source.file.id(), &how), source.file.path(), "ask how the file was opened");
  return source.recording->finished() && (how & H5F_ACC_SWMR_READ) == 0;
}

Rewritten unchanged(const StoredRecording& source) {
  Rewritten result{.parts = {part_of(source)}, .unchanged = true};
  result.parts.front().squares_left_out = false;
  result.sequences = result.parts.front().sequences;
  result.rows = result.parts.front().rows;
  result.bytes = std::filesystem::file_size(source.file.path());
  return result;
}

Rewritten rewrite(const Sources& sources, const std::filesystem::path& output, Json provenance, Run& progress) {
  Rewritten result;
  Json made_of = Json::array();
  for (const auto& source : sources) {
    result.parts.push_back(part_of(*source));
    const Rewritten::Part& part = result.parts.back();
    Json entry = Json::object()
                     .set("file", std::filesystem::path(part.file).filename().string())
                     .set("sequences", part.sequences)
                     .set("rows", part.rows);
    if (part.cut_sequence) entry.set("cut_sequence", *part.cut_sequence).set("announced_rows", part.announced_rows);
    made_of.push(entry.set("machine", source->recording->provenance()["machine"]));
    result.sequences += part.sequences;
    result.rows += part.rows;
  }
  PartFile file(output);
  {
    const h5::Library library;
    Writer(sources, file.path(), progress).write(provenance.set("made_of", made_of));
  }
  const auto made = Recording::open(file.path());
  VITRINE_CHECK(made->finished() && made->sequences() == result.sequences);
  result.bytes = std::filesystem::file_size(file.path());
  put_audit_aside(output);
  file.commit();
  return result;
}

}  // namespace

Rewritten repair_recording(const std::filesystem::path& run, const std::filesystem::path& output, Run& progress) {
  std::error_code ignored;
  if (std::filesystem::equivalent(run, output, ignored) && is_being_written(run)) {
    throw Error({run.string(), "a file whose writer has ended or was stopped", "one that is being written",
                 "wait for it, or name another file with -o"});
  }
  Sources sources;
  sources.push_back(std::make_unique<StoredRecording>(run));
  require_open(*sources.front());
  if (std::filesystem::equivalent(run, output, ignored) && is_whole(*sources.front())) return unchanged(*sources.front());
  return rewrite(sources, output, sources.front()->recording->provenance()["provenance"], progress);
}

Rewritten merge_recordings(std::span<const std::filesystem::path> runs, const std::filesystem::path& output, Run& progress) {
  Sources sources;
  for (const std::filesystem::path& run : runs) {
    sources.push_back(std::make_unique<StoredRecording>(run));
    if (!sources.back()->recording->finished())
      throw Error({run.string(), "a finished recording", "one whose writer was stopped", "mend it with `vitrine h5 repair` first"});
    require_open(*sources.back());
    require_alike(*sources.front(), *sources.back());
  }
  return rewrite(sources, output, sources.front()->recording->provenance()["provenance"], progress);
}

}  // namespace vitrine

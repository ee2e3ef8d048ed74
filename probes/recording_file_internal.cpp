#include "probes/recording_file_internal.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <system_error>

#include "core/base/error.h"
#include "probes/protection/replaced_log.h"
#include "probes/recording.h"
#include "probes/sealed_dataset_internal.h"

namespace vitrine {
namespace {

/// Only a recording or an empty file may be replaced: a mistyped -o must not cost anyone a checkpoint.
void refuse_other_files(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return;
  if (std::filesystem::is_regular_file(path, ignored) && std::filesystem::file_size(path, ignored) == 0) return;
  if (is_hdf5_file(path)) return;
  throw Error({path.string(), "a new file or a recording to replace", "another kind of file", "choose another name"});
}

std::string summary_name(std::string_view statistic) { return "/summary/" + std::string(statistic); }

}  // namespace

void RecordingFile::protect(std::vector<Reader> readers) {
  VITRINE_CHECK(datasets_.empty());
  keys_ = FileKeys::create();
  readers_ = std::move(readers);
}

RowDataset& RecordingFile::plan(RowDataset::Shape shape) {
  names_.insert(shape.name);
  datasets_.push_back(std::make_unique<RowDataset>(std::move(shape), where_, filters_, keys()));
  return *datasets_.back();
}

void RecordingFile::plan_link(const std::string& name, const std::string& existing) {
  if (names_.insert(name).second) links_.emplace_back(name, existing);
}

void RecordingFile::create() {
  refuse_other_files(path_);
  std::error_code ignored;
  if (std::filesystem::is_symlink(path_, ignored)) path_ = std::filesystem::weakly_canonical(path_);
  part_ = std::make_unique<PartFile>(path_);
  const h5::Handle access = h5::access_properties();
  file_ = {H5Fcreate(part_->path().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access), H5Fclose};
  h5::require(file_, where_, "create the file");
  if (keys_) append_audit(path_, *keys_, {.action = "record"});
}

void RecordingFile::fill(const RecorderSource& source, const Json& provenance) {
  try {
    make_all(source, provenance);
    h5::require(H5Fstart_swmr_write(file_), where_, "start writing");
    commit({});
    // From here on the file can be read at every moment. One that was there before goes away only now, and stays whole for
    // whoever reads it.
    mark_ = WriterMark(part_->path());
    if (!keys_) put_audit_aside(path_);
    part_->commit();
    part_.reset();
  } catch (...) {  // nothing is in it yet
    close();
    part_.reset();
    throw;
  }
}

std::size_t RecordingFile::empty_bytes(const RecorderSource& source, const Json& provenance) {
  const h5::Handle access = h5::access_properties();
  H5Pset_fapl_core(access, 64, false);  // in memory
  file_ = {H5Fcreate("plan", H5F_ACC_TRUNC, H5P_DEFAULT, access), H5Fclose};
  h5::require(file_, where_, "plan the file");
  make_all(source, provenance);
  h5::require(H5Fflush(file_, H5F_SCOPE_LOCAL), where_, "plan the file");
  hsize_t bytes = 0;
  h5::require(H5Fget_filesize(file_, &bytes), where_, "plan the file");
  for (auto& each : datasets_) each->close();
  committed_.reset();
  encoder_committed_.reset();
  file_.reset();
  return bytes;
}

void RecordingFile::make_all(const RecorderSource& source, const Json& provenance) {
  if (keys_) create_protection(file_, *keys_, readers_, where_);
  // The command line may hold the text.
  const Json told = keys_ ? Json::object().set("sealed", sealed_text(*keys_, "provenance", provenance.dump())) : provenance;
  write_root_attributes(file_, source, told, version());
  has_encoder_ = !source.model.spec.encoder.empty();
  std::set<std::string> groups{"/tokens", "/sequences", "/activations"};
  if (has_encoder_) groups.insert({"/encoder", "/encoder/tokens", "/encoder/sequences"});
  for (const auto& dataset : datasets_) groups.insert(dataset->shape().name.substr(0, dataset->shape().name.rfind('/')));
  if (!modules_.empty()) groups.insert({"/attention", "/summary"});
  if (names_.contains("/mips/cell")) groups.insert("/mips");
  for (const std::string& group : groups) {
    if (!group.empty()) h5::make_group(file_, group, where_);
  }
  for (const Module& module : modules_) {
    write_attention_attributes(file_, module.place, *module.spec, module.rule);
    const std::string group = attention_group(module.place);
    write_distance_bias(file_, group, module.bias, where_);
    if (!module.spec->relative) continue;
    create_positions(file_, group, {module.reach, module.spec->heads, module.spec->head_dim}, where_);
    if (!names_.contains("/tokens/allowed")) continue;
    const h5::Handle object(H5Gopen2(file_, group.c_str(), H5P_DEFAULT), H5Gclose);
    h5::write_attribute(object, "allowed", std::uint64_t{1});
  }
  create_committed();
  if (!modules_.empty()) create_summaries();
  for (const auto& dataset : datasets_) dataset->create(file_);
  for (const auto& [name, existing] : links_) make_link(name, existing);
  if (keys_) record_.digest = structure_digest(file_, *keys_, false);
}

/// The oldest one that says all there is.
std::uint64_t RecordingFile::version() const {
  if (keys_) return protected_recording_version;
  if (std::ranges::any_of(datasets_, [](const auto& dataset) { return dtype_info(dataset->shape().type).quantized; })) return codes_recording_version;
  const auto plain = [](const Module& module) { return module.place.stack == Stack::only && module.bias.empty() && !module.spec->relative; };
  return std::ranges::all_of(modules_, plain) ? plain_recording_version : terms_recording_version;
}

void RecordingFile::create_committed() {
  const hsize_t one = 1;
  const h5::Handle space(H5Screate_simple(1, &one, nullptr), H5Sclose);
  const auto create = [&](const char* name) {
    h5::Handle dataset(H5Dcreate2(file_, name, H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Dclose);
    h5::require(dataset, where_, "create a dataset");
    return dataset;
  };
  committed_ = create("/sequences/committed");
  if (has_encoder_) encoder_committed_ = create("/encoder/sequences/committed");
}

void RecordingFile::open_committed() {
  committed_ = {H5Dopen2(file_, "/sequences/committed", H5P_DEFAULT), H5Dclose};
  h5::require(committed_, where_, "open a dataset");
  if (!has_encoder_) return;
  encoder_committed_ = {H5Dopen2(file_, "/encoder/sequences/committed", H5P_DEFAULT), H5Dclose};
  h5::require(encoder_committed_, where_, "open a dataset");
}

/// Not numbers until the file is finished: SWMR writing forbids new datasets, not new values.
void RecordingFile::create_summaries() {
  std::size_t heads = 0;
  for (const Module& module : modules_) heads = std::max(heads, module.spec->heads);
  const hsize_t shape[] = {modules_.size(), heads};
  const double none = std::numeric_limits<double>::quiet_NaN();
  const h5::Handle space(H5Screate_simple(2, shape, nullptr), H5Sclose), properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_fill_value(properties, H5T_NATIVE_DOUBLE, &none);
  if (keys_) {
    H5Pset_chunk(properties, 2, shape);
    SealedDataset::mark(properties);
  } else {
    H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY);
  }
  for (const std::string_view statistic : row_statistics) {
    const h5::Handle dataset(H5Dcreate2(file_, summary_name(statistic).c_str(), H5T_IEEE_F64LE, space, H5P_DEFAULT, properties, H5P_DEFAULT), H5Dclose);
    h5::require(dataset, where_, "create a summary");
    if (keys_) SealedDataset::label(dataset, summary_name(statistic), where_);
    write_axis_labels(dataset, {has_encoder_ ? "attention" : "block", "head"}, where_);
  }
}

void RecordingFile::make_link(const std::string& name, const std::string& existing) {
  h5::require(H5Lcreate_hard(file_, existing.c_str(), file_, name.c_str(), H5P_DEFAULT, H5P_DEFAULT), where_, "link " + name);
}

void RecordingFile::commit(const Rows& rows) {
  h5::require(H5Fflush(file_, H5F_SCOPE_LOCAL), where_, "write to the disk");
  const auto write = [&](const h5::Handle& dataset, std::uint64_t count) {
    h5::require(H5Dwrite(dataset, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, &count), where_, "commit");
    h5::require(H5Dflush(dataset), where_, "commit");
  };
  if (has_encoder_) write(encoder_committed_, rows.encoder);  // first: a decoder's rows need theirs
  write(committed_, rows.text);
  if (keys_) {
    record_.rows = rows.text;
    record_.encoder_rows = rows.encoder;
    write_record();
  }
  h5::require(H5Fflush(file_, H5F_SCOPE_LOCAL), where_, "write to the disk");
}

void RecordingFile::write_record() {
  write_commit(file_, *keys_, record_, where_);
  ++record_.number;
}

void RecordingFile::write_positions(const AttentionPlace& place, const ContentByDistance& content) {
  const auto module = std::ranges::find(modules_, place, &Module::place);
  vitrine::write_positions(file_, attention_group(place), {module->reach, module->spec->heads, module->spec->head_dim}, content, where_);
}

void RecordingFile::close_all() {
  for (auto& each : datasets_) each->close();
  committed_.reset();
  encoder_committed_.reset();
  h5::require(file_.reset() ? 0 : -1, where_, "close the file");
}

void RecordingFile::open(const std::filesystem::path& path, unsigned flags) {
  const h5::Handle access = h5::access_properties();
  file_ = {H5Fopen(path.c_str(), flags, access), H5Fclose};
  h5::require(file_, where_, "open the file again");
}

std::vector<std::byte> RecordingFile::promote(RowDataset& dataset, std::size_t rows) {
  close_all();
  // New datasets are written in any order, and a file whose writer is killed meanwhile may never open again: a copy is changed.
  PartFile copy(path_);
  std::error_code error;
  std::filesystem::copy_file(path_, copy.path(), error);
  if (error) throw Error({where_, "to copy the file", error.message(), ""});
  open(copy.path(), H5F_ACC_RDWR);
  dataset.open(file_);
  std::vector<std::byte> chunk = dataset.promote(file_, rows);
  for (const auto& [name, existing] : links_) {
    if (existing != dataset.shape().name) continue;
    h5::require(H5Ldelete(file_, name.c_str(), H5P_DEFAULT), where_, "replace a link");
    make_link(name, existing);
  }
  if (keys_) {  // a dataset of codes has attributes that one of f32 has not
    record_.digest = structure_digest(file_, *keys_, false);
    write_record();
  }
  close_all();
  open(copy.path(), H5F_ACC_RDWR | H5F_ACC_SWMR_WRITE);
  WriterMark mark(copy.path());
  copy.commit();
  mark_ = std::move(mark);
  for (auto& each : datasets_) each->open(file_);
  open_committed();
  return chunk;
}

void RecordingFile::write_summary(const std::string& name, std::span<const double> means) {
  const h5::Handle dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), H5Dclose);
  h5::require(dataset, where_, "open a summary");
  if (!keys_) return h5::require(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, means.data()), where_, "write a summary");
  const hsize_t first[] = {0, 0}, shape[] = {modules_.size(), means.size() / modules_.size()};
  const SealPlace place{.dataset = name, .type = "f64", .chunk = shape, .width = std::span(shape).subspan(1), .offset = first, .rows = modules_.size()};
  const std::vector<std::byte> sealed = seal_chunk(*keys_, place, std::as_bytes(means));
  h5::require(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, first, sealed.size(), sealed.data()), where_, "write a summary");
}

void RecordingFile::finish(const Summaries& summaries) {
  for (std::size_t i = 0; i < summaries.size() && !modules_.empty(); ++i) write_summary(summary_name(row_statistics[i]), summaries[i]);
  h5::require(H5Fflush(file_, H5F_SCOPE_LOCAL), where_, "write to the disk");
  if (keys_) {
    record_.finished = 1;
    record_.digest = structure_digest(file_, *keys_, true);
    write_record();
  }
  {
    const std::uint64_t one = 1;
    const h5::Handle finished(H5Aopen_by_name(file_, "/", "finished", H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    h5::require(finished, where_, "finish the file");
    h5::require(H5Awrite(finished, H5T_NATIVE_UINT64, &one), where_, "finish the file");
  }
  close_all();
  mark_ = {};
}

void RecordingFile::close() {
  for (auto& each : datasets_) each->close();
  committed_.reset();
  encoder_committed_.reset();
  file_.reset();
  if (!part_) lengthen();
  mark_ = {};
}

/// On a full disk the superblock may already count bytes that were never written, and HDF5 opens no file that is shorter
/// than it says. A hole takes no space. (HDF5 File Format Specification, II.A: superblock versions 2 and 3.)
void RecordingFile::lengthen() const {
  constexpr std::size_t end_of_file = 28;  // of eight bytes
  std::array<unsigned char, end_of_file + 8> superblock{};
  std::ifstream file(path_, std::ios::binary);
  if (!file.read(reinterpret_cast<char*>(superblock.data()), superblock.size()) || (superblock[8] != 2 && superblock[8] != 3) || superblock[9] != 8) return;
  std::uint64_t end = 0;
  for (std::size_t i = 8; i-- > 0;) end = end << 8 | superblock[end_of_file + i];
  std::error_code ignored;  // what else could be done?
  if (end < (std::uint64_t{1} << 48) && std::filesystem::file_size(path_, ignored) < end) std::filesystem::resize_file(path_, end, ignored);
}

}  // namespace vitrine

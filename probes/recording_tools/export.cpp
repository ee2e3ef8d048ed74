#include "probes/recording_tools/export.h"

#include <fnmatch.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/part_file.h"
#include "probes/recording_tools/stored_datasets_internal.h"

namespace vitrine {
namespace {

using Side = Recording::Side;

constexpr std::size_t piece_numbers = std::size_t{1} << 20;

Error unusable(const std::string& flag, const std::string& expected, const std::string& found) {
  return Error({flag, expected, found, ""}, Fault::usage);
}

const ExportFormat& format_of(const std::filesystem::path& output) {
  std::string known;
  for (const ExportFormat* format : all_export_formats()) {
    if (output.extension() == "." + std::string(format->name)) return *format;
    known += (known.empty() ? "." : ", .") + std::string(format->name);
  }
  throw unusable("-o", "a file that ends with one of " + known, quoted(output.filename().string()));
}

/// "blocks.0.hook_resid_pre" is asked for by its name, with *, or as resid_pre.
bool is_asked_for(const std::string& word, const std::string& name) {
  const std::string last = name.substr(name.rfind('.') + 1);
  return word == "all" || word == last || "hook_" + word == last || fnmatch(word.c_str(), name.c_str(), 0) == 0;
}

/// Lets its numbers be all that there is of it.
void make_f32(ExportArray& array) {
  array.type = "f32";
  array.stored = [numbers = array.numbers](std::size_t begin, std::size_t count) {
    const std::vector<float> piece = numbers(begin, count);
    const auto bytes = std::as_bytes(std::span(piece));
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  };
}

class Planner {
 public:
  Planner(const StoredRecording& stored, const ExportOptions& options) : stored_(stored), options_(options) {
    if (options.sequence && *options.sequence >= recording().sequences()) {
      throw unusable("--sequence", "one of the recording's " + std::to_string(recording().sequences()) + " sequences, counted from 0",
                     std::to_string(*options.sequence));
    }
  }

  std::vector<ExportArray> plan() {
    std::vector<bool> used(options_.points.size(), false);
    for (const StoredDataset& dataset : stored_.datasets) {
      const std::string name = name_of(dataset.name);
      if (name.empty()) continue;
      bool wanted = options_.points.empty() && options_.maps.empty();
      for (std::size_t i = 0; i < options_.points.size(); ++i) {
        if (!is_asked_for(options_.points[i], name)) continue;
        wanted = used[i] = true;
      }
      if (wanted) add(dataset, name);
    }
    for (std::size_t i = 0; i < used.size(); ++i) {
      if (!used[i])
        throw Error({"--points", "names of what " + stored_.file.path() + " holds", quoted(options_.points[i]),
                     "h5ls shows them; short names and * are allowed"},
                    Fault::usage);
    }
    for (const ExportOptions::Head& head : options_.maps) add_map(head);
    return std::move(arrays_);
  }

 private:
  const Recording& recording() const { return *stored_.recording; }

  /// The name of a dataset outside; empty where it is not exported.
  static std::string name_of(const std::string& dataset) {
    constexpr std::string_view activations = "/activations/";
    if (dataset.starts_with(activations)) return dataset.substr(activations.size());
    if (dataset == "/logits") return "logits";
    for (const char* described : {"/tokens/id", "/tokens/log_probability", "/top_logits/id", "/top_logits/value", "/top_logits/log_sum_exp",
                                  "/encoder/tokens/id"}) {
      if (dataset != described) continue;
      std::string name = dataset.substr(1);
      std::ranges::replace(name, '/', '.');
      return name;
    }
    return {};
  }

  Recording::Rows rows_of(Side side) const {
    return options_.sequence ? recording().rows_of(*options_.sequence, side) : Recording::Rows{0, stored_.rows(side)};
  }

  void add(const StoredDataset& dataset, const std::string& name) {
    const Recording::Rows rows = rows_of(dataset.side);
    ExportArray array{.name = name,
                      .type = dataset.info.type,
                      .shape = dataset.info.shape,
                      .first_row = rows.begin,
                      .side = dataset.side,
                      .head = {},
                      .numbers = {},
                      .stored = {}};
    array.shape.front() = rows.count;
    const CheckedFile& file = stored_.file;  // which stays for as long as the arrays are read
    const auto box = [info = dataset.info, first = rows.begin](std::size_t begin, std::size_t count) {
      return entries(info, first + begin, count);
    };
    array.numbers = [&file, box, from = dataset.name](std::size_t begin, std::size_t count) {
      return file.read<float>(from, box(begin, count));
    };
    array.stored = [&file, first = rows.begin, from = dataset.name](std::size_t begin, std::size_t count) {
      return file.stored(from, first + begin, count);
    };
    if (array.type == "int8") make_f32(array);
    arrays_.push_back(std::move(array));
  }

  void add_map(const ExportOptions::Head& wanted) {
    const std::vector<Recording::Module> modules = own_modules(recording());
    const auto module = std::ranges::find(modules, wanted.layer, &Recording::Module::block);
    if (module == modules.end())
      throw unusable("--head", "one of " + std::to_string(modules.size()) + " layers with attention factors, counted from 0",
                     "L" + std::to_string(wanted.layer));
    if (wanted.head >= module->heads)
      throw unusable("--head", "one of " + std::to_string(module->heads) + " heads, counted from 0", "H" + std::to_string(wanted.head));
    if (recording().sequences() == 0) throw Error({stored_.file.path(), "recorded tokens", "none", ""});
    if (!options_.sequence && recording().sequences() > 1)
      throw unusable("--map", "--sequence N: maps are of one sequence", std::to_string(recording().sequences()) + " sequences");
    const std::size_t sequence = options_.sequence.value_or(0);
    const std::shared_ptr<const Recording::Head> head = recording().head(*module, wanted.head, sequence);
    const std::size_t keys = head->factors.k.extent(0);
    const Recording::Rows rows = recording().rows_of(sequence);
    ExportArray array{.name = module->name + ".hook_pattern." + std::to_string(wanted.head),
                      .type = "f32",
                      .shape = {rows.count, keys},
                      .first_row = rows.begin,
                      .side = Side::text,
                      .head = wanted.head,
                      .numbers = {},
                      .stored = {}};
    array.numbers = [head, keys](std::size_t begin, std::size_t count) {
      std::vector<float> tile(count * keys);
      if (!tile.empty()) pattern_tile(head->factors, begin, 0, {tile.data(), {count, keys}});
      return tile;
    };
    make_f32(array);
    arrays_.push_back(std::move(array));
  }

  const StoredRecording& stored_;
  const ExportOptions& options_;
  std::vector<ExportArray> arrays_;
};

}  // namespace

void for_pieces(const ExportArray& array, Run& progress, const std::function<void(std::size_t, std::size_t)>& work) {
  std::size_t width = 1;
  for (std::size_t axis = 1; axis < array.shape.size(); ++axis) width *= array.shape[axis];
  const std::size_t step = std::max<std::size_t>(1, piece_numbers / std::max<std::size_t>(width, 1));
  for (std::size_t begin = 0; begin < array.shape.front(); begin += step) {
    progress.step(array.name, begin, array.shape.front());
    work(begin, std::min(step, array.shape.front() - begin));
  }
}

Exported export_recording(const std::filesystem::path& run, const std::filesystem::path& output, const ExportOptions& options,
                          Run& progress) {
  const ExportFormat& format = format_of(output);
  const StoredRecording stored(run);
  const std::vector<ExportArray> arrays = Planner(stored, options).plan();
  if (arrays.empty()) throw Error({run.string(), "activations or tokens to export", "none", ""});
  Exported result;
  for (const ExportArray& array : arrays) result.names.push_back(array.name);
  stored.recording->note({.action = "export", .detail = output.string(), .datasets = result.names});
  PartFile part(output);
  format.write({*stored.recording, arrays, part.path(), progress});
  result.bytes = std::filesystem::file_size(part.path());
  part.commit();
  return result;
}

}  // namespace vitrine

#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/model/forward.h"
#include "core/model/observer.h"
#include "probes/protection/file_keys.h"

namespace vitrine {

/// int8: codes with a scale for each 32 numbers of a row (FORMAT.md), off by half of it at the most.
enum class StoreType { automatic, f32, f16, bf16, int8 };
enum class AttentionStorage { factors, dense, none };
enum class Compression { none, gzip };

struct RecorderOptions {
  std::filesystem::path path;
  std::vector<ProbePoint> points;  ///< of select_points
  AttentionStorage attention = AttentionStorage::factors;
  StoreType store = StoreType::automatic;
  std::map<ProbePoint, StoreType> store_of;  ///< of points that are stored in another type than `store`
  Compression compression = Compression::none;
  KvFormat kv_format = DType::f16; ///< of the cache: keys and values are stored as they were multiplied
  std::size_t top_logits = 50;     ///< 0 = none, and no log-probabilities
  std::size_t longest_sequence = 0;  ///< in tokens, of the encoder's texts too; needed for [pos, pos] points, whose last axis it is
  std::size_t expected_rows = 0;   ///< rows of the whole run, 0 = unknown; keeps the chunks of short runs small
  std::vector<std::string> scrub_labels;  ///< of what was replaced in the texts; none: they were not scrubbed
  std::vector<Reader> readers;     ///< of a protected recording; none: it is not protected
  Json provenance;                 ///< seed, command line, program version, ...: the attribute `provenance`
};

/// What a recorder needs of the run that it watches.
struct RecorderSource {
  const Model& model;
  const KernelChoice& kernel;
  Ops& ops;
};

/// An observer that writes a run into one HDF5 file (probes/FORMAT.md). The file is readable at every moment: SWMR,
/// commits at most every 2 s or 64 MB, rows beyond /sequences/committed do not exist. Until finish() the root attribute
/// `finished` is 0.
class Recorder : public Observer {
 public:
  struct Dataset {
    std::string name;
    std::string type;
    std::size_t rows = 0, heads = 0, width = 0;
    std::size_t bytes = 0;
  };

  /// Of a text, and of the encoder's text beside it.
  struct SequenceSize {
    std::size_t tokens = 0, text_bytes = 0;  ///< bytes of all tokens' own texts
    std::size_t source_tokens = 0, source_bytes = 0;
  };
  /// What a run over such texts would store. Numbers that turn out too large for f16, and compression, change the sizes.
  struct Plan {
    std::vector<Dataset> datasets;
    std::size_t file_bytes = 0;  ///< of the whole file, padding and indices with it
  };
  static Plan plan(const RecorderSource& source, RecorderOptions options, std::span<const SequenceSize> sequences);

  /// Creates every dataset. An existing file is replaced where it is a recording or empty.
  /// @throws Error where the file cannot be made or is something else
  static std::unique_ptr<Recorder> create(const RecorderSource& source, RecorderOptions options);

  /// Announces the next sequence before its forward pass. Rows then arrive with RowRef.sequence equal to the number of
  /// sequences announced before it, in the order of sequence and position.
  /// @param source  of an encoder-decoder: the encoder's text, whose rows arrive with the same number
  virtual void begin_sequence(std::span<const Token> tokens, std::span<const Token> source = {}) = 0;
  /// Says of each token of the text that was announced last (of an encoder-decoder: the encoder's) what it stands for:
  /// 0, or 1 + the place of a label in RecorderOptions::scrub_labels. Only where there are labels, and then for every text.
  virtual void mark_scrubbed(std::span<const std::int32_t> marks) = 0;
  /// More tokens of the sequence that was announced last, before their forward pass: a text that is being made.
  virtual void extend_sequence(std::span<const Token> tokens) = 0;
  /// Every row of the sequences announced so far was seen; commits when due.
  virtual void end_sequence() = 0;
  /// Summaries, axis labels, last commit, finished = 1. Without it (Ctrl-C, an exception) the destructor commits what is
  /// complete and leaves finished = 0.
  virtual void finish() = 0;

  struct Summary {
    std::vector<Dataset> datasets;
    std::size_t rows = 0;
    std::size_t commits = 0;
    double seconds = 0.0;  ///< spent in the recorder
  };
  virtual Summary summary() const = 0;
};

}  // namespace vitrine

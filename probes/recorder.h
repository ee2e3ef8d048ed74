#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/model/attention.h"
#include "core/model/forward.h"
#include "core/model/observer.h"

namespace vitrine {

enum class StoreType { automatic, f32, f16, bf16 };
enum class AttentionStorage { factors, dense, none };

struct RecorderOptions {
  std::filesystem::path path;
  std::vector<ProbePoint> points;  ///< of select_points
  AttentionStorage attention = AttentionStorage::factors;
  StoreType store = StoreType::automatic;
  Precision precision = Precision::fast;  ///< automatic: f32 under exact; under fast factors as multiplied, the rest f16
  DType kv_type = DType::f16;
  KernelChoice kernel;
  std::size_t top_logits = 50;  ///< 0 = none
  Json provenance;              ///< model SHA-256, simd, seed, command line, program version, ...: root attributes
};

/// An observer that writes a run into one HDF5 file (probes/FORMAT.md). The file is readable at every moment: SWMR,
/// commits at most every 2 s or 64 MB, rows beyond /sequences/committed do not exist. Until finish() the root attribute
/// `finished` is 0.
class Recorder : public Observer {
 public:
  /// Creates every dataset. @throws Error where the file cannot be made
  static std::unique_ptr<Recorder> create(const Model& model, RecorderOptions options);

  /// Announces the next sequence before its forward pass (rows arrive with RowRef.sequence == index, in order).
  /// Rows may also be appended while decoding: append_tokens adds ids to the sequence in progress.
  virtual void begin_sequence(std::span<const Token> tokens, std::string_view text) = 0;
  virtual void append_token(const Token& token, std::string_view bytes) = 0;
  /// All rows of the sequence in progress were seen; commits when due.
  virtual void end_sequence() = 0;
  /// Summaries, dimension scales, last commit, finished = 1. Without it (Ctrl-C, exception) the destructor commits
  /// what is complete and leaves finished = 0.
  virtual void finish() = 0;

  struct Summary {
    struct Dataset {
      std::string name;
      std::string type;
      std::vector<std::size_t> shape;
      std::size_t bytes;
    };
    std::vector<Dataset> datasets;
    std::size_t file_bytes = 0;
    std::size_t rows = 0;
    double seconds_in_recorder = 0.0;
  };
  virtual Summary summary() const = 0;
};

}  // namespace vitrine

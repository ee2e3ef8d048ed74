#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/run.h"
#include "core/base/thread_pool.h"

namespace vitrine {

/// How far the numbers of recording B are from those of A, dataset by dataset.
struct RecordingDifference {
  struct Dataset {
    std::string name, type_a, type_b;
    std::size_t numbers = 0;
    double relative_error = 0.0;  ///< ||b - a|| / ||a|| over the places where both are finite (Frobenius)
    double cosine = 1.0;          ///< of the same numbers; 1 where both are zeros
    double largest = 0.0;         ///< |b - a|
    std::size_t misplaced = 0;    ///< places where one is NaN or infinite and the other is not the same
    std::size_t changed = 0;      ///< of whole numbers, which have no relative error: those that are not equal
    bool same_bytes = false;      ///< of one type and equal bit by bit
  };
  std::vector<Dataset> datasets;            ///< those that both have with one shape, hard links once
  std::vector<std::string> only_a, only_b;  ///< names; also of datasets whose shapes differ
  std::vector<std::string> unlike;          ///< root attributes that differ: "kernel: flash, reference"
  /// Jensen-Shannon divergence of every head's rows that may see 8 or more keys, in bits; where it was asked for.
  struct Head {
    std::string module;
    std::size_t head = 0;
    double bits = 0.0;  ///< sum over rows
    std::size_t rows = 0;
    double mean() const { return rows > 0 ? bits / static_cast<double>(rows) : 0.0; }
  };
  std::vector<Head> heads;

  double largest_relative_error() const;
  std::size_t misplaced() const;
  bool same_bytes() const;  ///< of every dataset, and none is in one file alone
};

enum class CompareMaps { no, yes };

/// The tokens of both must coincide.
/// @throws Error where they do not, naming the first place
RecordingDifference compare_recordings(const std::filesystem::path& a, const std::filesystem::path& b, CompareMaps maps, ThreadPool& pool,
                                       Run& progress);

}  // namespace vitrine

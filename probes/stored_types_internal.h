#pragma once

#include "probes/recorder.h"
#include "probes/recording_layout_internal.h"

namespace vitrine {

/// In which type a recorder stores each point, and what attention makes of the numbers before it multiplies them. Looks at a
/// source and options that must stay.
class StoredTypes {
 public:
  StoredTypes(const RecorderSource& source, const RecorderOptions& options) : source_(source), options_(options) {}

  DType type_of(const ProbePoint& point) const;
  /// What attention does to a point's numbers; nothing where storing them does the same.
  KvFormat rounding_of(const ProbePoint& point) const;
  PatternRule kernel_rule(int block) const;
  /// By which maps come from what is stored.
  PatternRule rule_of(const AttentionPlace& place) const;

 private:
  KvFormat cache_of(const AttentionPlace& place) const;
  DType automatic_type(const ProbePoint& point) const;

  const RecorderSource& source_;
  const RecorderOptions& options_;
};

}  // namespace vitrine

#include "probes/stored_types_internal.h"

namespace vitrine {

/// How keys and values lie that an attention reads; f32 where it has no cache.
KvFormat StoredTypes::cache_of(const AttentionPlace& place) const {
  const bool cached = place.stack != Stack::encoder && source_.model.spec.causal();
  return cached ? options_.kv_format : KvFormat();
}

KvFormat StoredTypes::rounding_of(const ProbePoint& point) const {
  const KvFormat cache = cache_of(place_of(point));
  if (point.site == Site::rot_q) return cache.queries();
  const bool held = point.site == Site::rot_k || point.site == Site::v;
  return held && (type_of(point) != cache.type || cache.hadamard) ? cache : KvFormat();
}

PatternRule StoredTypes::kernel_rule(int block) const {
  return source_.kernel.kernel->rule(source_.kernel.options).in_layer(static_cast<std::size_t>(block));
}

PatternRule StoredTypes::rule_of(const AttentionPlace& place) const { return rule_of_factors(kernel_rule(place.block), cache_of(place)); }

DType StoredTypes::type_of(const ProbePoint& point) const {
  const auto own = options_.store_of.find(point);
  switch (own != options_.store_of.end() ? own->second : options_.store) {
    case StoreType::f32: return DType::f32;
    case StoreType::f16: return DType::f16;
    case StoreType::bf16: return DType::bf16;
    case StoreType::int8: {
      const std::size_t width = point_shape(source_.model.spec, point).width;  // 0 of a map
      const bool smaller = width == 0 || row_bytes(DType::q8_0, kv_head_numbers(DType::q8_0, width)) < row_bytes(DType::f32, width);
      return smaller ? DType::q8_0 : DType::f32;
    }
    case StoreType::automatic: break;
  }
  return automatic_type(point);
}

/// Factors as multiplied keep the type they were multiplied in; f16 is checked while it is written.
DType StoredTypes::automatic_type(const ProbePoint& point) const {
  if (source_.ops.precision() == Precision::exact) return DType::f32;
  const AttentionPlace place = place_of(point);
  // What codes stand for needs more digits than a half has.
  if (point.site == Site::rot_k || point.site == Site::v) return cache_of(place).type == DType::f16 ? DType::f16 : DType::f32;
  if (point.site == Site::rot_q) return rule_of(place).bf16_factors ? DType::bf16 : DType::f32;
  return point.site == Site::logits ? DType::f32 : DType::f16;
}

}  // namespace vitrine

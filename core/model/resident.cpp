#include "core/model/resident.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace vitrine {
namespace {

constexpr std::size_t copy_at_once = std::size_t{2} << 20;  // bytes: a huge page is touched first by the thread that fills it

bool has_huge_pages() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string words;
  return std::getline(file, words) && words.find("[never]") == std::string::npos;
}

/// Bytes that may be taken without anything being swapped out; 0 where the system does not say.
std::size_t available_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  std::size_t kilobytes = 0;
  while (file >> key >> kilobytes) {
    std::getline(file, unit);
    if (key == "MemAvailable:") return kilobytes * 1024;
  }
  return 0;
}

/// Matrices that lie in a mapped file, each once (a tied head is the embedding's); embeddings that nothing is multiplied by stay.
std::map<const std::byte*, const Weight*> mapped_matrices(const WeightStore& weights) {
  std::map<const std::byte*, const Weight*> found;
  for (const auto& [key, weight] : weights.all()) {
    const bool table = key.role == Role::token_embedding || key.role == Role::position_embedding || key.role == Role::type_embedding;
    if (!table && weight.rows > 1 && weight.owner && weight.owner->is_mapped()) found.emplace(weight.data, &weight);
  }
  return found;
}

}  // namespace

void make_resident(Model& model, ThreadPool& pool) {
  const std::map<const std::byte*, const Weight*> matrices = mapped_matrices(model.weights);
  std::size_t bytes = 0;
  const auto padded = [](const Weight& weight) { return (weight.bytes() + 63) / 64 * 64; };
  for (const auto& [data, weight] : matrices) bytes += padded(*weight);
  if (bytes == 0 || !has_huge_pages() || available_bytes() / 2 < bytes) return;

  const auto memory = std::make_shared<Tensor>(DType::i8, std::vector<std::size_t>{bytes});
  struct Piece {
    const Storage* owner;
    std::span<const std::byte> from;
    std::byte* to;
  };
  std::vector<Piece> pieces;
  std::map<const std::byte*, std::byte*> places;
  std::byte* next = memory->bytes().data();
  for (const auto& [data, weight] : matrices) {
    places[data] = next;
    for (std::size_t done = 0; done < weight->bytes(); done += copy_at_once) {
      pieces.push_back({weight->owner.get(), {data + done, std::min(copy_at_once, weight->bytes() - done)}, next + done});
    }
    next += padded(*weight);
  }
  pool.run(pieces.size(), [&](std::size_t i, std::size_t) {
    std::memcpy(pieces[i].to, pieces[i].from.data(), pieces[i].from.size());
    pieces[i].owner->give_back(pieces[i].from);  // at once, so that the weights are never there twice
  });

  std::vector<std::pair<WeightKey, Weight>> moved;
  for (const auto& [key, weight] : model.weights.all()) {
    const auto place = places.find(weight.data);
    if (place == places.end()) continue;
    moved.emplace_back(key, weight);
    moved.back().second.data = place->second;
    moved.back().second.owner = memory;
  }
  for (auto& [key, weight] : moved) model.weights.put(key, std::move(weight));
}

}  // namespace vitrine

#pragma once

#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/token_model.h"

namespace vitrine {

/// What a model made of the pieces it met: language repeats its words. Belongs to one thread at a time.
class PieceCache {
 public:
  PieceCache() : slots_(slot_count) {}

  /// Appends the tokens of a piece, as the model does.
  void encode(const TokenModel& model, std::string_view piece, std::vector<ModelToken>& tokens) {
    if (piece.size() > longest_piece) return model.encode(piece, tokens);
    const std::uint64_t hash = hash_of(piece);
    std::size_t at = hash & (slot_count - 1);
    for (; slots_[at].bytes > 0; at = (at + 1) & (slot_count - 1)) {
      const Slot& slot = slots_[at];
      if (slot.hash != static_cast<std::uint32_t>(hash >> 32) || slot.bytes != piece.size() ||
          std::memcmp(&text_[slot.text], piece.data(), piece.size()) != 0) {
        continue;
      }
      tokens.insert(tokens.end(), tokens_.begin() + slot.first, tokens_.begin() + slot.first + slot.count);
      return;
    }
    const std::size_t before = tokens.size();
    model.encode(piece, tokens);
    remember(piece, hash, at, {tokens.data() + before, tokens.size() - before});
  }

 private:
  static constexpr std::size_t slot_count = 1 << 16, longest_piece = 64, most_pieces = slot_count / 2;

  struct Slot {
    std::uint32_t hash = 0;
    std::uint16_t bytes = 0, count = 0;  // no bytes: free
    std::uint32_t text = 0, first = 0;   // into text_ and tokens_
  };

  static std::uint64_t hash_of(std::string_view piece) {
    std::uint64_t hash = 0x9e3779b97f4a7c15u ^ piece.size();
    std::size_t at = 0;
    for (; at + 8 <= piece.size(); at += 8) {
      std::uint64_t word;
      std::memcpy(&word, piece.data() + at, 8);
      hash = mixed(hash ^ word);
    }
    std::uint64_t word = 0;
    std::memcpy(&word, piece.data() + at, piece.size() - at);
    return mixed(hash ^ word);
  }
  static std::uint64_t mixed(std::uint64_t x) {  // SplitMix64's finaliser (Steele et al. 2014)
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }

  void remember(std::string_view piece, std::uint64_t hash, std::size_t at, std::span<const ModelToken> made) {
    if (pieces_ == most_pieces) {  // a text of many words: begin again
      slots_.assign(slot_count, {});
      text_.clear();
      tokens_.clear();
      pieces_ = 0;
      at = hash & (slot_count - 1);
    }
    ++pieces_;
    slots_[at] = {static_cast<std::uint32_t>(hash >> 32), static_cast<std::uint16_t>(piece.size()), static_cast<std::uint16_t>(made.size()),
                  static_cast<std::uint32_t>(text_.size()), static_cast<std::uint32_t>(tokens_.size())};
    text_ += piece;
    tokens_.insert(tokens_.end(), made.begin(), made.end());
  }

  std::vector<Slot> slots_;
  std::string text_;
  std::vector<ModelToken> tokens_;
  std::size_t pieces_ = 0;
};

/// Caches for as many threads as encode at once; each keeps what it learnt from text to text.
class PieceCaches {
 public:
  class Lease {
   public:
    explicit Lease(PieceCaches& pool) : pool_(pool), cache_(pool.take()) {}
    ~Lease() { pool_.give(std::move(cache_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    PieceCache& operator*() { return *cache_; }

   private:
    PieceCaches& pool_;
    std::unique_ptr<PieceCache> cache_;
  };

 private:
  std::unique_ptr<PieceCache> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<PieceCache>();
    std::unique_ptr<PieceCache> cache = std::move(free_.back());
    free_.pop_back();
    return cache;
  }
  void give(std::unique_ptr<PieceCache> cache) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(cache));
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<PieceCache>> free_;
};

}  // namespace vitrine

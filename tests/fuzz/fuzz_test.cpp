// The same readers without a fuzzer: every seed, then damage by fixed random numbers, quick enough for every run of the tests.
#include <gtest/gtest.h>

#include <random>

#include "tests/fuzz/fuzz_targets.h"

namespace vitrine {
namespace {

constexpr int rounds = 400;

/// Cuts, flips, repeats or overwrites a piece; headers are where readers believe things.
std::string damaged(std::string bytes, std::mt19937& random) {
  const std::size_t front = std::min<std::size_t>(bytes.size(), random() % 4 == 0 ? bytes.size() : 4096);
  for (unsigned hits = 1 + random() % 4; hits > 0 && front > 0; --hits) {
    const std::size_t at = random() % front;
    switch (random() % 5) {
      case 0: bytes[at] = static_cast<char>(random()); break;
      case 1: bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8)); break;
      case 2: bytes.replace(at, std::min<std::size_t>(8, bytes.size() - at), 8, random() % 2 ? '\xff' : '\0'); break;
      case 3: bytes.insert(at, bytes.substr(at, random() % 16)); break;
      default: bytes.resize(at + 1); return bytes;
    }
  }
  return bytes;
}

TEST(Fuzz, DamagedSeedsAreRefusedOrRead) {
  for (const FuzzTarget& target : fuzz_targets()) {
    std::mt19937 random(17);
    for (const std::string& seed : target.seeds()) {
      ASSERT_FALSE(seed.empty()) << target.name;
      EXPECT_NO_THROW(target.run(seed)) << target.name;
      for (int round = 0; round < rounds; ++round) {
        const std::string bytes = damaged(seed, random);
        EXPECT_NO_THROW(target.run(bytes)) << target.name << ", round " << round;
      }
    }
  }
}

}  // namespace
}  // namespace vitrine

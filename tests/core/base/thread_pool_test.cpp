#include "core/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

namespace vitrine {
namespace {

TEST(ThreadPool, EveryIndexRunsOnce) {
  for (const std::size_t threads : {1u, 2u, 5u}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const std::size_t count : {0u, 1u, 2u, 7u, 1000u}) {
      std::vector<std::atomic<int>> runs(count);
      std::atomic<bool> known_worker{true};
      pool.run(count, [&](std::size_t index, std::size_t worker) {
        ++runs[index];
        if (worker >= threads) known_worker = false;
      });
      for (const auto& times : runs) EXPECT_EQ(times.load(), 1);
      EXPECT_TRUE(known_worker);
    }
  }
}

TEST(ThreadPool, ManyShortRunsOfDifferentTasks) {
  ThreadPool pool(4);  // more threads than cores here: workers come late and must not touch a later run
  for (std::size_t round = 0; round < 20000; ++round) {
    const std::size_t count = round % 5 + 1;
    std::vector<std::size_t> results(count, 0);
    pool.run(count, [&results, round](std::size_t index, std::size_t) { results[index] = round + index; });
    for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(results[i], round + i);
  }
}

TEST(ThreadPool, TheFirstExceptionComesBackAndThePoolGoesOn) {
  ThreadPool pool(3);
  for (int round = 0; round < 100; ++round) {
    EXPECT_THROW(pool.run(50,
                          [](std::size_t index, std::size_t) {
                            if (index % 7 == 3) throw std::runtime_error("task");
                          }),
                 std::runtime_error);
    std::atomic<int> count{0};
    pool.run(50, [&](std::size_t, std::size_t) { ++count; });
    EXPECT_EQ(count.load(), 50);
  }
}

TEST(ThreadPool, ARunInsideARunIsAnError) {
  ThreadPool pool(2);
  EXPECT_THROW(pool.run(2, [&](std::size_t, std::size_t) { pool.run(1, [](std::size_t, std::size_t) {}); }),
               std::logic_error);
}

TEST(ThreadPool, SleepingWorkersWakeUp) {
  ThreadPool pool(2);
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::atomic<int> sum{0};
    pool.run(8, [&](std::size_t index, std::size_t) { sum += static_cast<int>(index); });
    EXPECT_EQ(sum.load(), 28);
  }
}

TEST(ThreadPool, OnStartRunsOnEveryThread) {
  std::atomic<int> starts{0};
  {
    ThreadPool pool(3, [&] { ++starts; });
  }
  EXPECT_EQ(starts.load(), 3);
}

}  // namespace
}  // namespace vitrine

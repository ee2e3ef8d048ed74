#include <gtest/gtest.h>

#include <hdf5.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <set>
#include <thread>

#include "core/base/error.h"
#include "probes/head_score.h"
#include "probes/recording_readers.h"
#include "tests/probes/recorded_run.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

SharedSecret passphrase(const std::string& words) {
  SecretBytes bytes(words.size());
  std::memcpy(bytes.span().data(), words.data(), words.size());
  return std::make_shared<ReaderSecret>(ReaderSecret::Kind::passphrase, std::move(bytes));
}

/// A folder with a recording of a tiny model and the keys of its readers.
class Protected : public testing::Test {
 protected:
  Protected() {
    for (const char* name : {"everything", "text", "summaries", "other"}) write_new_key(folder() / name);
  }
  fs::path folder() const { return file_.path.parent_path(); }
  SharedSecret key(const std::string& name) const { return read_key(folder() / name); }

  RecorderOptions options(TinyModel& tiny, const fs::path& path) const {
    RecorderOptions options;
    options.path = path;
    options.points = select_points(tiny.model.spec, std::vector<std::string>{"all"});
    options.kv_format = DType::f32;
    options.provenance = Json::object().set("command_line", "vitrine record --text the-secret-of-the-command-line");
    options.readers = {{ReaderRole::everything, key("everything")}, {ReaderRole::text, key("text")}, {ReaderRole::summaries, key("summaries")}};
    return options;
  }
  fs::path make(const std::string& name, const char* model = "llama") const {
    TinyModel tiny(model);
    const fs::path path = folder() / name;
    record(tiny, two_texts, options(tiny, path))->finish();
    return path;
  }
  std::string bytes_of(const fs::path& path) const {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  /// What opening and reading every number says; empty where nothing is wrong.
  std::string complaint(const fs::path& path) const {
    try {
      const auto recording = Recording::open(path, key("everything"));
      for (const Recording::Dataset& dataset : recording->activations()) recording->activation(dataset, {0, recording->rows_of(1).begin + recording->rows_of(1).count});
      for (std::size_t s = 0; s < recording->sequences(); ++s) {
        recording->token_ids(s);
        recording->token_texts(s);
        recording->log_probabilities(s);
        for (const Recording::Module& module : recording->modules()) {
          for (std::size_t h = 0; h < module.heads; ++h) recording->head(module, h, s);
        }
      }
      return {};
    } catch (const Error& error) {
      return error.what();
    }
  }
  /// Opens the file for writing and lets `change` at it.
  void change(const fs::path& path, const std::function<void(hid_t)>& change) const {
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_file_locking(access, false, true);
    H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
    const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, access);
    ASSERT_GE(file, 0);
    change(file);
    H5Fclose(file);
    H5Pclose(access);
  }

  ScratchFile file_{"protected"};
};

struct Chunk {
  std::vector<hsize_t> offset;
  std::vector<char> bytes;
};

Chunk chunk_of(hid_t file, const char* name, std::vector<hsize_t> offset) {
  const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
  hsize_t size = 0;
  std::uint32_t filters = 0;
  EXPECT_GE(H5Dget_chunk_storage_size(dataset, offset.data(), &size), 0);
  Chunk chunk{offset, std::vector<char>(size)};
  EXPECT_GE(H5Dread_chunk(dataset, H5P_DEFAULT, offset.data(), &filters, chunk.bytes.data()), 0);
  H5Dclose(dataset);
  return chunk;
}

void put(hid_t file, const char* name, const std::vector<hsize_t>& offset, const std::vector<char>& bytes) {
  const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
  EXPECT_GE(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, offset.data(), bytes.size(), bytes.data()), 0);
  H5Dclose(dataset);
}

TEST_F(Protected, HoldsWhatAnOpenRecordingHolds) {
  for (const char* name : {"llama", "gpt2", "bert"}) {
    TinyModel tiny(name);
    RecorderOptions open = options(tiny, folder() / "open.h5");
    open.readers.clear();
    record(tiny, two_texts, open)->finish();
    record(tiny, two_texts, options(tiny, file_.path))->finish();
    const auto plain = Recording::open(open.path), sealed = Recording::open(file_.path, key("everything"));
    ASSERT_EQ(plain->activations().size(), sealed->activations().size());
    const std::size_t rows = two_texts[0].size() + two_texts[1].size();
    for (std::size_t i = 0; i < plain->activations().size(); ++i) {
      EXPECT_EQ(plain->activation(plain->activations()[i], {3, rows - 5}), sealed->activation(sealed->activations()[i], {3, rows - 5}));
    }
    EXPECT_EQ(plain->token_ids(1), sealed->token_ids(1));
    EXPECT_EQ(plain->token_texts(0), sealed->token_texts(0));
    EXPECT_EQ(plain->summary("entropy"), sealed->summary("entropy"));
    EXPECT_EQ(plain->provenance().dump().find("the-secret") == std::string::npos, sealed->provenance().dump().find("the-secret") == std::string::npos);
    ThreadPool pool(1);
    vitrine::Run run;
    const auto expected = head_table(*plain, pool, run), found = head_table(*sealed, pool, run);
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(expected[i].scores, found[i].scores);
  }
}

TEST_F(Protected, NothingOfTheTextStandsInTheFile) {
  TinyModel tiny("llama");
  RecorderOptions open = options(tiny, folder() / "open.h5");
  open.readers.clear();
  record(tiny, two_texts, open)->finish();
  const std::string plain = bytes_of(open.path), sealed = bytes_of(make("run.h5"));
  const std::string ids(reinterpret_cast<const char*>(two_texts[0].data()), two_texts[0].size() * sizeof two_texts[0][0]);
  for (const std::string& secret : {ids, std::string("the-secret-of-the-command-line")}) {
    EXPECT_NE(plain.find(secret), std::string::npos);
    EXPECT_EQ(sealed.find(secret), std::string::npos);
  }
  EXPECT_EQ(bytes_of(folder() / "run.h5.audit").find("the-secret"), std::string::npos);
}

TEST_F(Protected, EachRoleReadsItsPart) {
  const fs::path path = make("run.h5");
  const auto text = Recording::open(path, key("text")), summaries = Recording::open(path, key("summaries"));
  EXPECT_EQ(text->token_ids(0), two_texts[0]);
  EXPECT_NE(text->provenance().dump().find("the-secret"), std::string::npos);
  EXPECT_EQ(summaries->provenance().dump().find("the-secret"), std::string::npos);
  EXPECT_EQ(summaries->rows_of(1).count, two_texts[1].size());
  const auto everything = Recording::open(path, key("everything"));
  EXPECT_EQ(summaries->summary("distance"), everything->summary("distance"));
  const auto logits = std::ranges::find(text->activations(), "/logits", &Recording::Dataset::name);
  ASSERT_NE(logits, text->activations().end());
  EXPECT_EQ(text->activation(*logits, {0, 2}), everything->activation(*logits, {0, 2}));
  for (const auto& [reading, role] : {std::pair<std::function<void()>, std::string>{[&] { text->activation(text->activations()[0], {0, 1}); }, "role everything"},
                                      {[&] { text->head(text->modules()[0], 0, 0); }, "role everything"},
                                      {[&] { summaries->token_ids(0); }, "role text"},
                                      {[&] { summaries->log_probabilities(0); }, "role text"}}) {
    try {
      reading();
      ADD_FAILURE() << "read without the key of the " << role;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(role), std::string::npos) << error.what();
    }
  }
}

TEST_F(Protected, ReadersOfSummariesSeeTheirColumns) {
  const fs::path path = make("run.h5");
  ThreadPool pool(1);
  vitrine::Run run;
  const auto whole = head_table(*Recording::open(path, key("everything")), pool, run), part = head_table(*Recording::open(path, key("summaries")), pool, run);
  ASSERT_EQ(whole.size(), part.size());
  std::size_t known = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (std::size_t s = 0; s < whole[i].scores.size(); ++s) {
      if (!part[i].scores[s]) continue;
      EXPECT_NEAR(*part[i].scores[s], *whole[i].scores[s], 1e-5);
      ++known;
    }
  }
  EXPECT_EQ(known, 2 * whole.size());
}

TEST_F(Protected, OpensWithTheRightSecretOnly) {
  TinyModel tiny("llama");
  RecorderOptions how = options(tiny, file_.path);
  how.readers = {{ReaderRole::everything, passphrase("correct horse")}, {ReaderRole::text, key("text")}};
  record(tiny, two_texts, how)->finish();
  EXPECT_EQ(Recording::open(file_.path, passphrase("correct horse"))->token_ids(1), two_texts[1]);
  EXPECT_THROW(Recording::open(file_.path, passphrase("correct horsf")), Error);
  EXPECT_THROW(Recording::open(file_.path, key("other")), Error);
  EXPECT_THROW(Recording::open(file_.path), Error);
  EXPECT_TRUE(Recording::is_protected(file_.path));
}

TEST_F(Protected, ReadersComeAndGo) {
  const fs::path path = make("run.h5");
  EXPECT_THROW(Recording::open(path, key("other")), Error);
  EXPECT_THROW(grant_reader(path, key("text"), {ReaderRole::everything, key("other")}), Error);  // more than one's own
  grant_reader(path, key("text"), {ReaderRole::text, key("other")});
  EXPECT_EQ(Recording::open(path, key("other"))->token_ids(0), two_texts[0]);
  EXPECT_EQ(readers_of(path, key("other")).readers, 4u);
  EXPECT_EQ(readers_of(path, key("other")).own, ReaderRole::text);
  revoke_reader(path, key("everything"), key("other"));
  EXPECT_THROW(Recording::open(path, key("other")), Error);
  EXPECT_EQ(complaint(path), "");
}

/// Every byte of a chunk counts, and so does where it stands.
TEST_F(Protected, NoticesWhatWasChanged) {
  const fs::path original = make("original.h5"), other = make("other.h5"), path = folder() / "run.h5";
  const char *q = "/attention/blocks.0.attn/q", *id = "/tokens/id", *pre = "/activations/blocks.0.hook_resid_pre";
  ASSERT_EQ(complaint(original), "");
  std::map<std::string, std::function<void(hid_t)>> changes;
  for (const std::size_t at : {0, 9, 40, 60}) {
    changes["byte " + std::to_string(at)] = [=](hid_t file) {
      Chunk chunk = chunk_of(file, id, {0});
      chunk.bytes[at] ^= 1;
      put(file, id, chunk.offset, chunk.bytes);
    };
  }
  changes["last byte"] = [=](hid_t file) {
    Chunk chunk = chunk_of(file, pre, {0, 0});
    chunk.bytes.back() ^= 0x40;
    put(file, pre, chunk.offset, chunk.bytes);
  };
  changes["shorter chunk"] = [=](hid_t file) {
    Chunk chunk = chunk_of(file, id, {0});
    chunk.bytes.resize(chunk.bytes.size() - 4);
    put(file, id, chunk.offset, chunk.bytes);
  };
  changes["heads swapped"] = [=](hid_t file) {
    const Chunk first = chunk_of(file, q, {0, 0, 0}), second = chunk_of(file, q, {0, 1, 0});
    put(file, q, first.offset, second.bytes);
    put(file, q, second.offset, first.bytes);
  };
  changes["chunk of another dataset"] = [=](hid_t file) { put(file, "/tokens/begin", {0}, chunk_of(file, "/tokens/end", {0}).bytes); };
  changes["chunk of another block"] = [=](hid_t file) { put(file, "/attention/blocks.1.attn/q", {0, 0, 0}, chunk_of(file, q, {0, 0, 0}).bytes); };
  changes["chunk of another file"] = [=](hid_t file) {
    const hid_t from = H5Fopen(other.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
    put(file, id, {0}, chunk_of(from, id, {0}).bytes);
    H5Fclose(from);
  };
  changes["extent"] = [=](hid_t file) {
    const hid_t dataset = H5Dopen2(file, id, H5P_DEFAULT);
    const hsize_t rows = 0;
    EXPECT_GE(H5Dset_extent(dataset, &rows), 0);
    H5Dclose(dataset);
  };
  changes["attribute"] = [=](hid_t file) {
    const double scale = 3.0;
    const char* group = "/attention/blocks.0.attn";
    EXPECT_GE(H5Adelete_by_name(file, group, "scale", H5P_DEFAULT), 0);
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t attribute = H5Acreate_by_name(file, group, "scale", H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    EXPECT_GE(H5Awrite(attribute, H5T_NATIVE_DOUBLE, &scale), 0);
    H5Aclose(attribute);
    H5Sclose(space);
  };
  changes["link"] = [=](hid_t file) {
    H5Ldelete(file, "/activations/blocks.0.hook_resid_post", H5P_DEFAULT);
    H5Lcreate_hard(file, pre, file, "/activations/blocks.0.hook_resid_post", H5P_DEFAULT, H5P_DEFAULT);
  };
  changes["dataset gone"] = [=](hid_t file) { H5Ldelete(file, "/tokens/log_probability", H5P_DEFAULT); };
  changes["committed"] = [=](hid_t file) {
    const std::uint64_t rows = 3;
    const hid_t dataset = H5Dopen2(file, "/sequences/committed", H5P_DEFAULT);
    H5Dwrite(dataset, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, &rows);
    H5Dclose(dataset);
  };
  changes["unsealed"] = [=](hid_t file) {
    H5Ldelete(file, id, H5P_DEFAULT);
    const hsize_t rows = two_texts[0].size() + two_texts[1].size();
    const hid_t space = H5Screate_simple(1, &rows, nullptr);
    H5Dclose(H5Dcreate2(file, id, H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(space);
  };
  for (const auto& [name, how] : changes) {
    SCOPED_TRACE(name);
    fs::copy_file(original, path, fs::copy_options::overwrite_existing);
    change(path, how);
    const std::string said = complaint(path);
    EXPECT_NE(said, "");
    EXPECT_EQ(said.find("the-secret"), std::string::npos);
  }
}

/// What was committed of an unfinished recording is readable.
TEST_F(Protected, UnfinishedRecordingsKeepTheirRows) {
  TinyModel tiny("llama");
  const fs::path path = file_.path;
  {
    auto recorder = Recorder::create({tiny.model, tiny.kernel, *tiny.ops}, options(tiny, path));
    recorder->begin_sequence(tokens_of(two_texts[0]));
    Observer* observers[] = {recorder.get()};
    tiny.run({two_texts.data(), 1}, observers);
    recorder->end_sequence();
  }  // stopped: commits, finished = 0
  const auto recording = Recording::open(path, key("everything"));
  EXPECT_FALSE(recording->finished());
  EXPECT_EQ(recording->rows_of(0).count, two_texts[0].size());
  EXPECT_EQ(recording->token_ids(0), two_texts[0]);
  ASSERT_FALSE(recording->modules().empty());
  EXPECT_NO_THROW(recording->head(recording->modules()[0], 1, 0));
}

/// A file as a reader sees it while it is written, and its last chunks of then put into the finished file.
TEST_F(Protected, AnOlderStateOfAChunkIsNotTakenForIt) {
  TinyModel tiny("llama");
  const fs::path early = folder() / "early.h5";
  auto recorder = Recorder::create({tiny.model, tiny.kernel, *tiny.ops}, options(tiny, file_.path));
  Observer* observers[] = {recorder.get()};
  const TapPlan taps(tiny.model.spec, observers);
  for (std::uint32_t s = 0; s < 2; ++s) {
    recorder->begin_sequence(tokens_of(two_texts[s]));
    KvCache cache(tiny.model.spec, DType::f32);
    const Segment segment{.sequence = s, .ids = two_texts[s], .cache = &cache};
    forward({tiny.model, *tiny.ops, tiny.kernel, tiny.workspace, tiny.progress, taps}, {&segment, 1}, {});
    std::this_thread::sleep_for(std::chrono::milliseconds(2100));  // commits are that far apart
    recorder->end_sequence();
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    if (s == 0) fs::copy_file(file_.path, early);
  }
  recorder->finish();
  auto growing = Recording::open(early, key("everything"));
  EXPECT_FALSE(growing->finished());
  ASSERT_EQ(growing->sequences(), 1u);
  EXPECT_EQ(growing->token_ids(0), two_texts[0]);
  EXPECT_NO_THROW(growing->head(growing->modules()[1], 0, 0));
  growing = nullptr;  // the library opens a file in one way at a time
  Chunk old;
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_file_locking(access, false, true);
  H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
  const hid_t file_of_then = H5Fopen(early.c_str(), H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, access);
  old = chunk_of(file_of_then, "/tokens/id", {0});
  H5Fclose(file_of_then);
  H5Pclose(access);
  ASSERT_EQ(complaint(file_.path), "");
  change(file_.path, [&](hid_t file) { put(file, "/tokens/id", old.offset, old.bytes); });
  EXPECT_NE(complaint(file_.path).find("an older state"), std::string::npos) << complaint(file_.path);
}

TEST_F(Protected, ANumberTooLargeForAHalfIsKept) {
  TinyModel tiny("llama");
  RecorderOptions how = options(tiny, file_.path), open = options(tiny, folder() / "open.h5");
  how.store = open.store = StoreType::f16;
  open.readers.clear();
  class Enlarge : public Observer {
   public:
    Access access(const ProbePoint& point) const override { return point.site == Site::resid_mid && point.block == 1 ? Access::write : Access::none; }
    void see(const ProbePoint&, std::span<const RowRef> rows, TensorView<float, 3> values) override {
      if (rows.back().position > 12) values(values.extent(0) - 1, 0, 0) = 1e6f;
    }
  };
  for (RecorderOptions* each : {&how, &open}) {
    auto recorder = Recorder::create({tiny.model, tiny.kernel, *tiny.ops}, *each);
    for (const auto& ids : two_texts) recorder->begin_sequence(tokens_of(ids));
    Enlarge enlarge;
    Observer* observers[] = {&enlarge, recorder.get()};
    tiny.run(two_texts, observers);
    recorder->end_sequence();
    recorder->finish();
  }
  const auto plain = Recording::open(open.path), sealed = Recording::open(how.path, key("everything"));
  std::set<std::string> types;
  for (std::size_t i = 0; i < plain->activations().size(); ++i) {
    EXPECT_EQ(plain->activation(plain->activations()[i], {0, 26}), sealed->activation(sealed->activations()[i], {0, 26}));
    types.insert(sealed->activations()[i].type);
  }
  EXPECT_TRUE(types.contains("f32") && types.contains("f16"));
  EXPECT_EQ(complaint(how.path), "");
}

TEST_F(Protected, TheAuditLogTellsWhoAndNoticesChanges) {
  const fs::path path = make("run.h5"), log = audit_path(path);
  Recording::open(path, key("text"))->token_ids(0);
  Recording::open(path, key("everything"))->note({.action = "export", .detail = "out.npz", .datasets = {"/tokens/id"}});
  const FileKeys keys = keys_of(path, key("summaries"));
  AuditCheck check = check_audit(path, &keys);
  std::vector<std::string> actions;
  for (const Json& entry : check.entries) actions.push_back(entry["action"].string());
  EXPECT_EQ(actions, (std::vector<std::string>{"record", "open", "read", "open", "export", "read"}));
  EXPECT_FALSE(check.broken) << check.reason;
  EXPECT_EQ(check.unproven, 0u);
  EXPECT_EQ(check_audit(path, nullptr).unproven, 6u);
  std::vector<std::string> lines;
  {
    std::ifstream file(log);
    for (std::string line; std::getline(file, line);) lines.push_back(line);
  }
  const auto broken_at = [&](std::vector<std::string> changed) {
    std::ofstream file(log);
    for (const std::string& line : changed) file << line << "\n";
    file.close();
    return check_audit(path, &keys).broken;
  };
  EXPECT_EQ(broken_at(lines), std::nullopt);
  std::vector<std::string> changed = lines;
  changed[2].replace(changed[2].find("\"read\""), 6, "\"look\"");
  EXPECT_EQ(broken_at(changed), 2u);
  changed = lines;
  changed.erase(changed.begin() + 1);
  EXPECT_EQ(broken_at(changed), 1u);
  changed = lines;
  std::swap(changed[1], changed[2]);
  EXPECT_EQ(broken_at(changed), 1u);
  changed = lines;
  changed[3] = changed[3].substr(0, 20);
  EXPECT_EQ(broken_at(changed), 3u);
  const std::string head = check.head;
  broken_at({lines.begin(), lines.end() - 1});  // cut short: whole, but its head is not the one that was noted
  EXPECT_NE(check_audit(path, &keys).head, head);
}

TEST_F(Protected, IsNotReadWhereNothingCanBeWrittenDown) {
  const fs::path path = make("run.h5");
  fs::remove(audit_path(path));
  fs::create_directory(audit_path(path));
  EXPECT_NE(complaint(path).find("audit"), std::string::npos);
}

TEST(Keys, AreNeverOverwrittenAndSayNothingOfThemselves) {
  const ScratchFile file("keys");
  write_new_key(file.path);
  EXPECT_THROW(write_new_key(file.path), Error);
  EXPECT_EQ(fs::status(file.path).permissions() & fs::perms::all, fs::perms::owner_read | fs::perms::owner_write);
  const SharedSecret key = read_key(file.path);
  EXPECT_EQ(key->bytes().size(), key_bytes);
  for (const std::string& content : {std::string(), std::string("vitrine-key-1 "), std::string("vitrine-key-1 !!!!"), std::string(5000, 'a'),
                                     "vitrine-key-1 " + std::string(43, '_') + "\nmore"}) {
    std::ofstream(file.path, std::ios::trunc) << content;
    try {
      read_key(file.path);
      ADD_FAILURE() << content;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find("aaaa"), std::string::npos);
    }
  }
}

/// The log of a recording that is gone must not speak of the one in its place.
TEST_F(Protected, AnOpenRecordingInItsPlacePutsTheLogAside) {
  const fs::path path = make("run.h5"), log = audit_path(path), aside = log.string() + ".replaced";
  ASSERT_TRUE(fs::exists(log));
  const std::string entries = bytes_of(log);
  TinyModel tiny("llama");
  RecorderOptions how = options(tiny, path);
  how.readers = {};
  record(tiny, two_texts, how)->finish();
  EXPECT_FALSE(fs::exists(log));
  EXPECT_EQ(bytes_of(aside), entries);
  make("run.h5");  // a new log, and the next one to be put aside has another name
  record(tiny, two_texts, how)->finish();
  EXPECT_FALSE(fs::exists(log));
  EXPECT_TRUE(fs::exists(aside.string() + ".2"));
}

}  // namespace
}  // namespace vitrine

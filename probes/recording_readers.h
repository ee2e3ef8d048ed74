#pragma once

#include <cstddef>
#include <filesystem>

#include "probes/protection/file_keys.h"

namespace vitrine {

struct RecordingReaders {
  std::size_t readers = 0;  ///< of the recording; their roles are known to themselves alone
  ReaderRole own = ReaderRole::everything;
};
/// @throws Error where the secret does not open the recording, or it is not protected
RecordingReaders readers_of(const std::filesystem::path& recording, const SharedSecret& secret);

/// The keys of a protected recording, as far as the secret goes. Reads no numbers, and writes nothing down.
FileKeys keys_of(const std::filesystem::path& recording, const SharedSecret& secret);

/// Adds a reader to a finished recording, and an entry to its audit log. The numbers stay as they are.
/// @param secret  of who grants: a role can be shared up to one's own
/// @throws Error also where the recording has as many readers as it can have
void grant_reader(const std::filesystem::path& recording, const SharedSecret& secret, const Reader& reader);

/// Takes a reader's key out of a finished recording. Whoever had it may have kept what it opened: to shut somebody out,
/// record anew, which makes new keys.
/// @throws Error where `whose` is no reader, or the only one
void revoke_reader(const std::filesystem::path& recording, const SharedSecret& secret, const SharedSecret& whose);

}  // namespace vitrine

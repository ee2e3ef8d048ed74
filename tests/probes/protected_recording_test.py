"""Protected recordings through the program, and their format (FORMAT.md) read by libsodium and h5py alone. Run by ctest: vitrine,
model, folder."""
import base64
import ctypes
import ctypes.util
import json
import os
import pathlib
import pty
import re
import shutil
import struct
import subprocess
import sys

import h5py
import numpy as np

vitrine, model, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]) / "protected_test"
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir(parents=True)
os.environ.pop("VITRINE_KEY_FILE", None)
sodium = ctypes.CDLL(ctypes.util.find_library("sodium"))
assert sodium.sodium_init() >= 0


def run(*words, expect=0, **more):
    done = subprocess.run([vitrine, *map(str, words)], capture_output=True, text=True, stdin=subprocess.DEVNULL, start_new_session=True, **more)
    assert done.returncode == expect, (words, done.returncode, done.stderr)
    assert expect == 0 or done.stderr.count("\n") == 1, done.stderr
    return done.stdout if expect == 0 else done.stderr


def opened(key, bound, sealed):
    """What was sealed: nonce, ciphertext, tag."""
    plain, size = ctypes.create_string_buffer(len(sealed)), ctypes.c_ulonglong()
    failed = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(plain, ctypes.byref(size), None, sealed[24:], ctypes.c_ulonglong(len(sealed) - 24), bound,
                                                               ctypes.c_ulonglong(len(bound)), sealed[:24], key)
    assert failed == 0, bound
    return plain.raw[: size.value]


def numbers(*values):
    return struct.pack(f"<{len(values)}Q", *values)


def text(value):
    return numbers(len(value)) + value.encode()


key, other, summaries = folder / "a.key", folder / "b.key", folder / "c.key"
for each in (key, other, summaries):
    run("key", "new", "-o", each)
run("key", "new", "-o", key, expect=1)
secret = key.read_text().split()[1]
ids = "3,17,42,5,5,61,9,17,42,30,2,8,70,1,3"
record = ["record", model, "--ids", ids, "--precision", "exact", "--points", "all"]
plain, sealed = folder / "plain.h5", folder / "sealed.h5"
run(*record, "-o", plain)
protect = ["--encrypt", "--key-file", key, "--reader", f"summaries={summaries}"]
for compress in ("none", "gzip"):
    shown = run(*record, "-o", sealed, "--compress", compress, *protect)
    assert run("heads", sealed, "--key-file", key) == run("heads", plain)
    assert run("heads", sealed, env={**os.environ, "VITRINE_KEY_FILE": str(key)}) == run("heads", plain)
    part = json.loads(run("heads", sealed, "--json", "--key-file", summaries))
    assert all(abs(a["entropy"] - b["entropy"]) < 1e-5 and a["sink"] is None for a, b in zip(part, json.loads(run("heads", plain, "--json"))))
    assert "expected the key of one of its readers" in run("heads", sealed, "--key-file", other, expect=1)
    assert "--key-file or VITRINE_KEY_FILE" in run("heads", sealed, expect=1)
    with h5py.File(sealed, "r") as file, h5py.File(plain, "r") as open_file:  # FORMAT.md
        file_id = bytes.fromhex(file["protection"].attrs["file_id"])
        reader = file["protection/readers"][0].tobytes()
        keys = opened(base64.urlsafe_b64decode(secret + "="), b"vitrine reader 1" + file_id + reader[:40], reader[40:])
        assert keys[0] == 2 and len(keys) == 104
        keys = [keys[8 + 32 * i : 40 + 32 * i] for i in range(3)]
        for name, data_class in (("tokens/id", 1), ("attention/blocks.0.attn/q", 2), ("activations/blocks.1.hook_resid_post", 2), ("sequences/offset", 0)):
            dataset, reference = file[name], open_file[name][:]
            own = dataset.attrs["sealed_as"]
            kind = {"<i4": "i32", "<f4": "f32", "<u8": "u64"}[dataset.dtype.str]
            info = dataset.id.get_chunk_info(0)
            mask, chunk = dataset.id.read_direct_chunk(info.chunk_offset)
            bound = b"vitrine chunk 1" + file_id + text(own) + text(kind)
            for extents in (dataset.chunks, dataset.shape[1:], info.chunk_offset):
                bound += numbers(len(extents), *extents)
            content = opened(keys[data_class], bound + chunk[:8] + numbers(mask), chunk[8:])
            if compress == "none":
                rows = struct.unpack("<Q", chunk[:8])[0]
                values = np.frombuffer(content, dataset.dtype).reshape(dataset.chunks)[:rows]
                assert np.array_equal(values, reference[tuple(slice(0, n) for n in values.shape)])
        commits = [file["protection/commits"][row].tobytes() for row in range(2)]
        newest = max(struct.unpack("<4Q", opened(keys[0], f"vitrine commit 1 {file_id.hex()} {row}".encode(), each)[:32]) for row, each in enumerate(commits))
        assert newest[1] == 15 and newest[3] == 1
        try:
            file["tokens/id"][:]
            raise AssertionError("plain h5py read a protected dataset")
        except OSError as error:
            assert "filter" in str(error)

# What must stand nowhere: the key, the text, the command line that held it.
words = "My name is Ada Lovelace and my mail is ada@example.org"
has_tokenizer = bool(json.loads(run("info", model, "--json")).get("tokenizer"))
if has_tokenizer:
    said = run("record", model, "--text", words, "-o", sealed, *protect)
    for content in (sealed.read_bytes(), (folder / "sealed.h5.audit").read_bytes(), said.encode()):
        assert b"Lovelace" not in content and secret.encode() not in content
    shown = json.loads(run("record", model, "--text", words, "--scrub", "-o", plain, "--json"))
    assert shown["scrub"]["replaced"] == {"EMAIL_ADDRESS": 1, "PERSON": 1}, shown["scrub"]
    assert b"Lovelace" not in plain.read_bytes()
    with h5py.File(plain, "r") as file:
        pieces, borders = file["tokens/bytes"][:].tobytes(), file["tokens/bytes_offset"][:]
        labels = json.loads(file.attrs["provenance"])["scrub"]["labels"]
        marked = [(labels[mark - 1], pieces[a:b]) for mark, a, b in zip(file["tokens/scrubbed"][:], borders, borders[1:]) if mark]
        assert {label for label, _ in marked} == {"EMAIL_ADDRESS", "PERSON"}
        plain_pieces = b"".join(piece for label, piece in marked if label == "PERSON")
        assert b"PERSON" in plain_pieces.upper() or len(plain_pieces) > 0


def on_terminal(words, answers):
    """Runs the program on a terminal of its own and types; what it showed, and its exit code."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(vitrine, [vitrine, *map(str, words)])
    shown = b""
    answers = list(answers)
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
        if answers and re.search(rb"(passphrase of [^\n]*|again): $", shown):
            os.write(terminal, answers.pop(0).encode() + b"\n")
    return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


shown, code = on_terminal([*record, "-o", sealed, "--encrypt"], ["correct horse", "correct horse"])
assert code == 0 and "correct" not in shown, shown
shown, code = on_terminal(["heads", sealed], ["correct horse"])
assert code == 0 and "correct" not in shown and "L0H0" in shown, shown
shown, code = on_terminal(["heads", sealed], ["correct house"])
assert code == 1 and "expected the passphrase of one of its readers, found another" in shown, shown
shown, code = on_terminal([*record, "-o", folder / "none.h5", "--encrypt"], ["one", "two"])
assert code == 2 and "the same twice" in shown and not (folder / "none.h5").exists(), shown
run(*record, "-o", folder / "none.h5", "--encrypt", expect=2)
run(*record, "-o", folder / "none.h5", "--key-file", key, expect=2)

# The audit log.
run(*record, "-o", sealed, *protect)
run("heads", sealed, "--key-file", key)
log = json.loads(run("audit", sealed, "--json", "--key-file", key))
assert log["broken"] is None and log["unproven"] < len(log["entries"]), log
assert [entry["action"] for entry in log["entries"][-3:]] == ["record", "open", "read"]
run("audit", sealed, "--head", log["head"])
run("audit", sealed, "--head", "0" * 64, expect=1)
path = folder / "sealed.h5.audit"
path.write_text(path.read_text().replace('"action":"record"', '"action":"nothing"', 1))
assert "entry 0" in run("audit", sealed, expect=1)
shutil.rmtree(folder)
print("ok")

"""The release binary runs on every x86-64 processor: newer instructions are in functions only that
are called after the processor was asked for them."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess

import pytest
from harness.clients import BINARY

# Beyond what every x86-64 has (SSE2). All of AVX begins with v. `tzcnt` is not here: without the
# extension it is `bsf`, which compilers use it as.
NEWER = re.compile(
    r"v(?!er[rw]$|m[a-z]+$)[a-z][a-z0-9]+"
    r"|sha(1|256)[a-z0-9]+|aes[a-z0-9]+|pclmul[a-z]+|crc32[a-z]?|popcnt[a-z]?|lzcnt[a-z]?"
    r"|pshufb|palignr|phadd[a-z]+|phsub[a-z]+|pabs[bwd]|pmaddubsw|psign[bwd]|pmulhrsw"
    r"|pblend[a-z]+|blend[a-z]+|ptest|round[ps][sd]|pcmpeqq|pcmpgtq|packusdw|pmov[sz]x[a-z]+"
    r"|pmulld|pmuldq|pminu[wd]|pmins[bd]|pmaxu[wd]|pmaxs[bd]|pextr[bdq]|pinsr[bdq]|insertps"
    r"|extractps|pcmp[ei]str[im]|andn[lq]?|bextr[lq]?|bls(r|i|msk)[lq]?|pdep[lq]?|pext[lq]?"
    r"|mulx[lq]?|rorx[lq]?|s(ar|hl|hr)x[lq]?|ad(c|o)x[lq]?|bzhi[lq]?|movbe[a-z]?"
)

# Where they may be, and who asks the processor before.
DETECTED = {
    r"swarm::hash::simd::": "is_x86_feature_detected! in src/hash/simd.rs",
    r"sha1::compress::x86": "cpufeatures",
    r"sha2::|sha1::": "cpufeatures",
    r"(memchr|aho_corasick)::.*": "is_x86_feature_detected! and cpuid",
    r"crc32fast::specialized": "is_x86_feature_detected!",
    r"simd_adler32|simdutf8|hex_simd|curve25519_dalek|chacha20|httparse::simd": "cpufeatures or cpuid",
    r"core::core_arch::|core::iter::|core::array::|core::ops::function": "inlined parts of these",
    # Assembly, with local labels of its own.
    r"ring_core|_?_?aesni|_aes|_vpaes|_?_?ecp_nistz|_?_?bn_|mulx4x|sqrx8x|fiat_|.*_(avx2?|adx)$|.*x4x|process_extra": "ring",
}


def newer(listing: str) -> dict[str, set[str]]:
    """Newer instructions by the function they are in."""
    found: dict[str, set[str]] = {}
    function = ""
    for line in listing.splitlines():
        if line.endswith(">:"):
            function = line.split("<", 1)[1][:-2]
        elif line.startswith(" "):
            words = line.split(None, 2)
            if len(words) > 1 and NEWER.fullmatch(words[1]):
                found.setdefault(function, set()).add(words[1])
    return found


def stray(listing: str) -> dict[str, set[str]]:
    """Those that are where they may not be."""
    allowed = re.compile("|".join(DETECTED))
    return {name: found for name, found in newer(listing).items() if not allowed.search(name)}


def test_newer_instructions_are_only_where_the_processor_was_asked() -> None:
    """Holds for the dependencies, too."""
    if platform.machine() != "x86_64":
        pytest.skip("this machine is no x86-64")
    if not shutil.which("objdump"):
        pytest.skip("objdump is missing: apt-get install binutils")
    argv = ["objdump", "-d", "-C", "--no-show-raw-insn", BINARY]
    listing = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    kernels = [name for name in newer(listing) if name.startswith("swarm::hash::simd::")]
    assert kernels, "the kernels are not seen"
    assert stray(listing) == {}


def test_a_stray_instruction_is_seen() -> None:
    """In a function that nobody guards."""
    listing = "0000 <swarm::runtime::f>:\n    1:\tvpaddd %ymm0,%ymm1,%ymm2\n    2:\tret\n"
    assert stray(listing) == {"swarm::runtime::f": {"vpaddd"}}
    listing = "0000 <swarm::hash::simd::avx2::compress>:\n    1:\tvpaddd %ymm0,%ymm1,%ymm2\n"
    assert stray(listing) == {}

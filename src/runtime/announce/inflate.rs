//! Inflates compressed answers without ever holding more than an answer may have.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use crate::tracker::AnnounceFailure;
use crate::tracker::http::ANSWER;

/// How many times longer an answer may become. Peers are addresses:
/// they hardly compress at all.
const RATIO_MAX: usize = 20;

/// What is too short to be a bomb, whatever its ratio. Chosen, untested.
const HARMLESS_LEN: usize = 4 << 10;

/// The bytes that were compressed.
pub(super) fn inflate(compressed: &[u8]) -> Result<Vec<u8>, AnnounceFailure> {
    let len_max = (compressed.len() * RATIO_MAX).clamp(HARMLESS_LEN, ANSWER.input);
    let mut bytes = Vec::new();
    MultiGzDecoder::new(compressed)
        .take(len_max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| bad(format!("cannot be inflated: {error}")))?;
    if bytes.len() > len_max {
        return Err(bad(format!(
            "{} bytes inflate to more than {len_max}",
            compressed.len()
        )));
    }
    Ok(bytes)
}

fn bad(reason: String) -> AnnounceFailure {
    AnnounceFailure::BadResponse(reason)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("memory does not fail");
        encoder.finish().expect("memory does not fail")
    }

    #[test]
    fn what_was_compressed_comes_back() {
        assert_eq!(
            inflate(&deflate(b"d5:peers0:e")).as_deref(),
            Ok(&b"d5:peers0:e"[..])
        );
    }

    #[test]
    fn a_bomb_is_not_inflated() {
        let bomb = deflate(&vec![0; 10 << 20]);
        let verdict = inflate(&bomb);
        assert!(
            matches!(verdict, Err(AnnounceFailure::BadResponse(_))),
            "{} bytes",
            bomb.len()
        );
        assert!(inflate(&deflate(&[0; HARMLESS_LEN])).is_ok());
    }

    #[test]
    fn a_damaged_or_cut_stream_is_an_error() {
        let whole = deflate(&(0..=255).collect::<Vec<u8>>());
        assert!(inflate(&whole[..whole.len() / 2]).is_err());
        assert!(inflate(b"d5:peers0:e").is_err());
        assert!(inflate(b"").is_err());
    }
}

//! `--piece-size`: a length of pieces that other clients take, too, or one that fits the content.

use super::error::{CliError, Exit};
use super::units::{UnitError, show_size, size};

/// What `--piece-size` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PieceSize {
    /// The length that gives 1,000 to 2,000 pieces.
    Auto,
    /// This length, whatever it is.
    Bytes(u64),
}

impl PieceSize {
    /// Reads `auto` or a size.
    ///
    /// # Errors
    /// If it is neither.
    pub(super) fn parse(text: &str) -> Result<Self, UnitError> {
        if text == "auto" {
            Ok(Self::Auto)
        } else {
            size(text).map(Self::Bytes)
        }
    }

    /// The length of a piece, if one was named.
    ///
    /// # Errors
    /// If it is no power of two from 16 KiB to 128 MiB.
    pub(super) fn chosen(self) -> Result<Option<u32>, CliError> {
        match self {
            Self::Auto => Ok(None),
            Self::Bytes(bytes) => checked(bytes).map(Some),
        }
    }
}

/// A piece length that other clients take, too.
fn checked(bytes: u64) -> Result<u32, CliError> {
    let shown = show_size(bytes);
    if !bytes.is_power_of_two() {
        let above = bytes
            .checked_next_power_of_two()
            .unwrap_or(u64::MAX)
            .clamp(32 << 10, 128 << 20);
        let what = format!("piece size {shown} is not a power of two");
        return Err(CliError::new(Exit::Usage, what).help(format!(
            "{}K or {}K",
            above >> 11,
            above >> 10
        )));
    }
    u32::try_from(bytes)
        .ok()
        .filter(|bytes| (16 << 10..=128 << 20).contains(bytes))
        .ok_or_else(|| {
            CliError::new(
                Exit::Usage,
                format!("piece size {shown} is not between 16 KiB and 128 MiB"),
            )
            .help("leave -s out for a size that fits the content")
        })
}

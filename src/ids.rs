//! The 20-byte names of BitTorrent: what a swarm is about, who a peer is, what a piece must hash to.

use std::fmt;
use std::str::FromStr;

/// A string is not the hexadecimal form of an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// The string has another length than 40 characters.
    #[error("want 40 hexadecimal characters, got: {0}")]
    Length(usize),
    /// A character is not a hexadecimal digit.
    #[error("not a hexadecimal digit: {0:?}")]
    Digit(char),
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 20]);

        impl $name {
            /// The id with exactly these bytes.
            pub const fn new(bytes: [u8; 20]) -> Self {
                Self(bytes)
            }

            /// The raw bytes, as they go over the wire.
            pub const fn as_bytes(&self) -> &[u8; 20] {
                &self.0
            }
        }

        impl From<[u8; 20]> for $name {
            fn from(bytes: [u8; 20]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for byte in self.0 {
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex(text).map(Self)
            }
        }
    };
}

id! {
    /// SHA-1 of the raw bytes of a manifest's `info` dictionary: the name of a swarm (BEP 3).
    InfoHash
}
id! {
    /// What a program calls itself in one session (BEP 3, BEP 20).
    PeerId
}
id! {
    /// SHA-1 of one piece, from the manifest (BEP 3).
    PieceHash
}

/// Our mark in peer ids: client `SW`, version 0.1.0.0 (BEP 20).
pub const PEER_ID_PREFIX: [u8; 8] = *b"-SW0100-";

impl PeerId {
    /// Our own id: the prefix of this client followed by 12 random bytes (BEP 20).
    pub fn ours(random: [u8; 12]) -> Self {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&PEER_ID_PREFIX);
        bytes[8..].copy_from_slice(&random);
        Self(bytes)
    }
}

fn parse_hex(text: &str) -> Result<[u8; 20], ParseIdError> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| {
            let digit = c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            digit.ok_or(ParseIdError::Digit(c))
        })
        .collect::<Result<_, _>>()?;
    if digits.len() != 40 {
        return Err(ParseIdError::Length(digits.len()));
    }
    Ok(std::array::from_fn(|i| {
        digits[2 * i] << 4 | digits[2 * i + 1]
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips() {
        let id = InfoHash::new(std::array::from_fn(|i| {
            u8::try_from(i * 13).expect("small")
        }));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
    }

    #[test]
    fn a_wrong_length_or_digit_is_named() {
        assert_eq!("00ff".parse::<InfoHash>(), Err(ParseIdError::Length(4)));
        assert_eq!("zz".parse::<InfoHash>(), Err(ParseIdError::Digit('z')));
    }

    #[test]
    fn our_peer_id_carries_the_client_prefix() {
        assert_eq!(&PeerId::ours([7; 12]).as_bytes()[..8], b"-SW0100-");
    }
}

//! Bencode (BEP 3): a bounded, iterative scanner and the few functions that write it.
//!
//! [`Document::scan`] walks the input once, copies nothing and recurses nowhere; a [`Value`] is a
//! cursor over what it found. Input that is readable but not canonical is taken with its first
//! [`Flaw`] noted, so that each caller decides how strict to be.
//!
//! Invariant: every span of a [`Value`] lies inside the input.

use std::fmt;
use std::ops::Range;

mod scan;
#[cfg(test)]
mod tests;

/// How much input may be, before any of it is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest input in bytes.
    pub input: usize,
    /// Deepest nesting of lists and dictionaries.
    pub depth: usize,
    /// Most values; the key of a dictionary entry is no value of its own.
    pub tokens: usize,
}

impl Limits {
    /// For manifests: 32 MiB, depth 128, three million tokens (libtorrent allows 100 and as many).
    pub const MANIFEST: Self = Self {
        input: 32 << 20,
        depth: 128,
        tokens: 3_000_000,
    };
}

/// Input is not bencode, or more of it than the limits allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BencodeError {
    /// A string is longer than what is left of the input.
    #[error(
        "ends early: string of {} bytes at offset {offset}, only {} left (download cut off?)",
        Grouped(*len),
        Grouped(*left)
    )]
    StringCut {
        /// Where the string starts.
        offset: usize,
        /// How long it says it is.
        len: u64,
        /// How many bytes follow its colon.
        left: u64,
    },
    /// The input ends inside a value.
    #[error("ends early: {open} at offset {offset} is not complete (download cut off?)")]
    Cut {
        /// Where that value starts.
        offset: usize,
        /// What kind of value it is.
        open: &'static str,
    },
    /// There is no input.
    #[error("is empty")]
    Empty,
    /// A byte that cannot stand here.
    #[error("byte {offset} is {}, want: {want}", Byte(*found))]
    Unexpected {
        /// Where it is.
        offset: usize,
        /// What it is.
        found: u8,
        /// What could stand here.
        want: &'static str,
    },
    /// A number that does not fit 64 bits.
    #[error("number is too large at offset: {offset}")]
    NumberTooLarge {
        /// Where its first digit is.
        offset: usize,
    },
    /// Bytes follow the value.
    #[error("{} unexpected bytes after the end at offset: {offset}", Grouped(*count as u64))]
    Trailing {
        /// Where the value ended.
        offset: usize,
        /// How many bytes follow.
        count: usize,
    },
    /// The input is longer than [`Limits::input`].
    #[error("is {} bytes long, limit: {}", Grouped(*len as u64), Grouped(*limit as u64))]
    TooLong {
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// Nested deeper than [`Limits::depth`].
    #[error("nesting at offset {offset} is too deep, limit: {limit}")]
    TooDeep {
        /// Where the value that is too deep starts.
        offset: usize,
        /// The limit.
        limit: usize,
    },
    /// More values than [`Limits::tokens`].
    #[error("too many values, limit: {}", Grouped(*limit as u64))]
    TooManyTokens {
        /// The limit.
        limit: usize,
    },
    /// Readable, but not the one canonical form, where that is asked for.
    #[error("not canonical: {0}")]
    NotCanonical(Flaw),
}

/// Something readable that the canonical form forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Where it is, in bytes.
    pub offset: usize,
    /// What it is.
    pub kind: FlawKind,
}

/// The ways to be readable and not canonical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlawKind {
    /// A key is smaller than the one before it.
    UnsortedKey,
    /// A key is equal to the one before it.
    DuplicateKey,
    /// A number or length starts with a needless zero, or is minus zero.
    LeadingZero,
    /// A number fits 64 bits, but not with a sign: it reads as no integer at all.
    IntegerRange,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FlawKind::UnsortedKey => "key out of order",
            FlawKind::DuplicateKey => "key given twice",
            FlawKind::LeadingZero => "number with a leading zero",
            FlawKind::IntegerRange => "number out of range",
        };
        write!(f, "{what} at offset: {}", self.offset)
    }
}

/// One value of the input. Tokens stand in the order of the input, a container before its content.
/// Where a token starts follows from what is before it, so eight bytes are enough.
#[derive(Clone, Copy, Debug)]
struct Token {
    /// One past its last byte.
    end: u32,
    /// The number of the token after it and all its content.
    next: u32,
}

/// Input that has been found to be bencode.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    input: &'a [u8],
    tokens: Vec<Token>,
    flaw: Option<Flaw>,
}

impl<'a> Document<'a> {
    /// Reads input that is one value and nothing else.
    ///
    /// # Errors
    /// If it is not, or passes a limit.
    pub fn scan(input: &'a [u8], limits: &Limits) -> Result<Self, BencodeError> {
        let document = Self::scan_prefix(input, limits)?;
        let offset = document.len();
        match input.len() - offset {
            0 => Ok(document),
            count => Err(BencodeError::Trailing { offset, count }),
        }
    }

    /// Reads the value that the input starts with; [`Document::len`] says where it ends.
    ///
    /// # Errors
    /// If the input does not start with a value, or passes a limit.
    pub fn scan_prefix(input: &'a [u8], limits: &Limits) -> Result<Self, BencodeError> {
        scan::scan(input, limits)
    }

    /// Insists on the one canonical form: keys sorted and unique, no leading zeros.
    ///
    /// # Errors
    /// The first flaw, if there is one.
    pub fn canonical(self) -> Result<Self, BencodeError> {
        match self.flaw {
            None => Ok(self),
            Some(flaw) => Err(BencodeError::NotCanonical(flaw)),
        }
    }

    /// The first thing in the input that the canonical form forbids.
    pub const fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }

    /// How many bytes of the input the value takes.
    #[expect(clippy::len_without_is_empty, reason = "a value is never empty")]
    pub fn len(&self) -> usize {
        self.tokens[0].end as usize
    }

    /// The value itself.
    pub fn root(&self) -> Value<'_> {
        Value {
            document: self,
            token: 0,
            start: 0,
        }
    }
}

/// A value in a [`Document`]; as cheap to copy as a reference.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    document: &'a Document<'a>,
    token: u32,
    start: u32,
}

impl<'a> Value<'a> {
    /// Its bytes as they stand in the input, delimiters included.
    pub fn raw(self) -> &'a [u8] {
        &self.document.input[self.span()]
    }

    /// Where [`Value::raw`] stands in the input.
    pub fn span(self) -> Range<usize> {
        self.start as usize..self.end() as usize
    }

    /// The integer, if it is one and fits.
    pub fn int(self) -> Option<i64> {
        let digits = self.raw().strip_prefix(b"i")?.strip_suffix(b"e")?;
        let (negative, digits) = match digits.strip_prefix(b"-") {
            Some(digits) => (true, digits),
            None => (false, digits),
        };
        digits.iter().try_fold(0i64, |number, &digit| {
            let digit = i64::from(digit - b'0');
            let digit = if negative { -digit } else { digit };
            number.checked_mul(10)?.checked_add(digit)
        })
    }

    /// The integer, if it is one and not negative.
    pub fn uint(self) -> Option<u64> {
        self.int()?.try_into().ok()
    }

    /// The string, if it is one.
    pub fn bytes(self) -> Option<&'a [u8]> {
        let input = self.document.input;
        Some(&input[string_at(input, self.start as usize)?])
    }

    /// The string, if it is one and valid UTF-8.
    pub fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// The elements in order, if it is a list.
    pub fn list(self) -> Option<List<'a>> {
        (self.raw()[0] == b'l').then(|| List(self.content()))
    }

    /// The entries in the order of the input, if it is a dictionary.
    pub fn dict(self) -> Option<Dict<'a>> {
        (self.raw()[0] == b'd').then(|| Dict(self.content()))
    }

    /// The value under a key, if it is a dictionary that has it; the first one where there are two.
    pub fn get(self, key: &[u8]) -> Option<Self> {
        self.dict()?
            .find_map(|(name, value)| (name == key).then_some(value))
    }

    fn end(self) -> u32 {
        self.document.tokens[self.token as usize].end
    }

    fn content(self) -> Siblings<'a> {
        let next = Value {
            token: self.token + 1,
            start: self.start + 1,
            ..self
        };
        Siblings {
            next,
            end: self.end() - 1,
        }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.raw().escape_ascii())
    }
}

/// The values between here and the `e` that ends their container.
#[derive(Clone)]
struct Siblings<'a> {
    next: Value<'a>,
    end: u32,
}

impl<'a> Iterator for Siblings<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let value = self.next;
        if value.start == self.end {
            return None;
        }
        self.next.start = value.end();
        self.next.token = value.document.tokens[value.token as usize].next;
        Some(value)
    }
}

/// The elements of a list.
#[derive(Clone)]
pub struct List<'a>(Siblings<'a>);

impl<'a> Iterator for List<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.0.next()
    }
}

/// The keys and values of a dictionary.
#[derive(Clone)]
pub struct Dict<'a>(Siblings<'a>);

impl<'a> Iterator for Dict<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let Siblings { next, end } = &mut self.0;
        if next.start == *end {
            return None;
        }
        let key = string_at(next.document.input, next.start as usize)?;
        next.start = u32::try_from(key.end).ok()?;
        Some((&next.document.input[key], self.0.next()?))
    }
}

/// Where the content is of the string that starts here.
fn string_at(input: &[u8], start: usize) -> Option<Range<usize>> {
    let (mut len, mut at) = (0, start);
    while let digit @ b'0'..=b'9' = input[at] {
        len = 10 * len + usize::from(digit - b'0');
        at += 1;
    }
    (input[at] == b':').then(|| at + 1..at + 1 + len)
}

/// Appends a string.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(bytes);
}

/// Appends an integer.
pub fn put_int(out: &mut Vec<u8>, number: i64) {
    out.push(b'i');
    out.extend_from_slice(number.to_string().as_bytes());
    out.push(b'e');
}

/// A count as people read it: `168,200`.
pub(crate) struct Grouped(pub(crate) u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// A byte as people read it: `'H'` or `0x1f`.
pub(crate) struct Byte(pub(crate) u8);

impl fmt::Display for Byte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b' '..=b'~' => write!(f, "'{}'", char::from(self.0)),
            other => write!(f, "0x{other:02x}"),
        }
    }
}

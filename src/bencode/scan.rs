//! The one pass over the input that finds where every value starts and ends.

use super::{BencodeError, Document, Flaw, FlawKind, Limits, Token};

/// A list or dictionary whose end has not been seen.
struct Open {
    start: usize,
    token: usize,
    kind: Kind,
}

enum Kind {
    List,
    /// Before a key; the key before it, as a range of the input.
    Key(Option<(usize, usize)>),
    /// Between that key and its value.
    Entry((usize, usize)),
}

struct Scanner<'a> {
    input: &'a [u8],
    at: usize,
    limits: Limits,
    tokens: Vec<Token>,
    open: Vec<Open>,
    flaw: Option<Flaw>,
}

pub(super) fn scan<'a>(input: &'a [u8], limits: &Limits) -> Result<Document<'a>, BencodeError> {
    let limit = limits.input.min(u32::MAX as usize);
    if input.len() > limit {
        return Err(BencodeError::TooLong {
            len: input.len(),
            limit,
        });
    }
    let mut scanner = Scanner {
        input,
        at: 0,
        limits: *limits,
        tokens: Vec::new(),
        open: Vec::new(),
        flaw: None,
    };
    scanner.value()?;
    while let Some(open) = scanner.open.last_mut() {
        match open.kind {
            _ if input.get(scanner.at) == Some(&b'e') && !matches!(open.kind, Kind::Entry(_)) => {
                scanner.close();
            }
            Kind::List => scanner.value()?,
            Kind::Key(before) => scanner.key(before)?,
            Kind::Entry(key) => {
                open.kind = Kind::Key(Some(key));
                scanner.value()?;
            }
        }
    }
    Ok(Document {
        input,
        tokens: scanner.tokens,
        flaw: scanner.flaw,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "input longer than u32::MAX is refused first"
)]
impl Scanner<'_> {
    /// Reads a whole string or integer, or the start of a container.
    fn value(&mut self) -> Result<(), BencodeError> {
        if self.tokens.len() == self.limits.tokens {
            return Err(BencodeError::TooManyTokens {
                limit: self.limits.tokens,
            });
        }
        match self.peek()? {
            b'0'..=b'9' => {
                self.string()?;
                self.leaf();
                Ok(())
            }
            b'i' => self.integer(),
            b'l' => self.open(Kind::List),
            b'd' => self.open(Kind::Key(None)),
            found => Err(self.unexpected(found, "a value")),
        }
    }

    fn key(&mut self, before: Option<(usize, usize)>) -> Result<(), BencodeError> {
        let offset = self.at;
        let found = self.peek()?;
        if !found.is_ascii_digit() {
            return Err(self.unexpected(found, "a key or the end of the dictionary"));
        }
        let key = self.string()?;
        if let Some(before) = before {
            let (before, key) = (&self.input[before.0..before.1], &self.input[key.0..key.1]);
            match before.cmp(key) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => self.note(offset, FlawKind::DuplicateKey),
                std::cmp::Ordering::Greater => self.note(offset, FlawKind::UnsortedKey),
            }
        }
        if let Some(open) = self.open.last_mut() {
            open.kind = Kind::Entry(key);
        }
        Ok(())
    }

    fn open(&mut self, kind: Kind) -> Result<(), BencodeError> {
        if self.open.len() == self.limits.depth {
            return Err(BencodeError::TooDeep {
                offset: self.at,
                limit: self.limits.depth,
            });
        }
        self.open.push(Open {
            start: self.at,
            token: self.tokens.len(),
            kind,
        });
        self.at += 1;
        self.tokens.push(Token { end: 0, next: 0 });
        Ok(())
    }

    fn close(&mut self) {
        self.at += 1;
        let next = self.tokens.len() as u32;
        if let Some(open) = self.open.pop() {
            self.tokens[open.token] = Token {
                end: self.at as u32,
                next,
            };
        }
    }

    /// Notes a string or integer that ends here.
    fn leaf(&mut self) {
        self.tokens.push(Token {
            end: self.at as u32,
            next: self.tokens.len() as u32 + 1,
        });
    }

    /// Reads `5:hello`; returns where its bytes are.
    fn string(&mut self) -> Result<(usize, usize), BencodeError> {
        let offset = self.at;
        let len = self.digits("string")?;
        match self.input.get(self.at) {
            None => return Err(Self::cut(offset, "string")),
            Some(b':') => self.at += 1,
            Some(&found) => return Err(self.unexpected(found, "a digit or ':'")),
        }
        let left = self.input.len() - self.at;
        if len > left as u64 {
            return Err(BencodeError::StringCut {
                offset,
                len,
                left: left as u64,
            });
        }
        let start = self.at;
        self.at += len as usize;
        Ok((start, self.at))
    }

    /// Reads `i-42e`.
    fn integer(&mut self) -> Result<(), BencodeError> {
        let offset = self.at;
        self.at += 1;
        let negative = self.input.get(self.at) == Some(&b'-');
        self.at += usize::from(negative);
        let magnitude = self.digits("integer")?;
        match self.input.get(self.at) {
            None => return Err(Self::cut(offset, "integer")),
            Some(b'e') => self.at += 1,
            Some(&found) => return Err(self.unexpected(found, "a digit or 'e'")),
        }
        if negative && magnitude == 0 {
            self.note(offset, FlawKind::LeadingZero);
        }
        if magnitude > i64::MAX as u64 + u64::from(negative) {
            self.note(offset, FlawKind::IntegerRange);
        }
        self.leaf();
        Ok(())
    }

    /// Reads at least one digit.
    fn digits(&mut self, open: &'static str) -> Result<u64, BencodeError> {
        let offset = self.at;
        let mut number = 0u64;
        while let Some(digit @ b'0'..=b'9') = self.input.get(self.at) {
            number = number
                .checked_mul(10)
                .and_then(|number| number.checked_add(u64::from(digit - b'0')))
                .ok_or(BencodeError::NumberTooLarge { offset })?;
            self.at += 1;
        }
        match self.at - offset {
            0 => match self.input.get(self.at) {
                None => return Err(Self::cut(offset, open)),
                Some(&found) => return Err(self.unexpected(found, "a digit")),
            },
            1 => {}
            _ if self.input[offset] == b'0' => self.note(offset, FlawKind::LeadingZero),
            _ => {}
        }
        Ok(number)
    }

    fn peek(&self) -> Result<u8, BencodeError> {
        if let Some(&byte) = self.input.get(self.at) {
            return Ok(byte);
        }
        Err(self.open.last().map_or(BencodeError::Empty, |open| {
            let name = match open.kind {
                Kind::List => "list",
                Kind::Key(_) | Kind::Entry(_) => "dictionary",
            };
            Self::cut(open.start, name)
        }))
    }

    fn note(&mut self, offset: usize, kind: FlawKind) {
        self.flaw.get_or_insert(Flaw { offset, kind });
    }

    const fn cut(offset: usize, open: &'static str) -> BencodeError {
        BencodeError::Cut { offset, open }
    }

    const fn unexpected(&self, found: u8, want: &'static str) -> BencodeError {
        BencodeError::Unexpected {
            offset: self.at,
            found,
            want,
        }
    }
}

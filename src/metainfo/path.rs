//! The only way to name an output file: a relative path that cannot leave its directory.
//!
//! What tries to leave is refused; what is merely odd is written as `%XX`, the same way on every
//! system. `docs/manifests.md` has the rules.

use std::cmp::Ordering;
use std::fmt;
use std::fmt::Write as _;
use std::path::Path;

use super::escape;

/// Longest element in bytes: room is left below the 255 of most file systems for a suffix of ours.
pub const ELEMENT_LEN_MAX: usize = 240;
/// Most elements of a path.
pub const DEPTH_MAX: usize = 64;
/// Longest path in bytes: room is left below the 4,096 of Linux for the output directory.
pub const PATH_LEN_MAX: usize = 3_500;

/// Longest extension, dot included, that survives where an element is shortened.
const EXTENSION_LEN_MAX: usize = 16;

/// A relative path of safe elements, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafePath(Box<str>);

/// Why a path from outside cannot name an output file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It climbs with `..` or starts at a root.
    #[error("leaves the directory")]
    Escapes,
    /// A name holds a zero byte.
    #[error("holds a zero byte")]
    Nul,
    /// It has no element that names anything.
    #[error("names nothing")]
    Empty,
    /// More elements than [`DEPTH_MAX`].
    #[error("is deeper than {DEPTH_MAX}")]
    TooDeep,
    /// More bytes than [`PATH_LEN_MAX`].
    #[error("is longer than {PATH_LEN_MAX} bytes")]
    TooLong,
}

impl SafePath {
    /// Makes the elements of a path safe and joins them. Empty elements and `.` name nothing and
    /// are left out.
    ///
    /// # Errors
    /// If the path tries to leave its directory, names nothing, or passes a limit.
    pub fn new<'a, I>(elements: I) -> Result<Self, PathError>
    where
        I: IntoIterator<Item = &'a [u8], IntoIter: Clone>,
    {
        let elements = elements.into_iter();
        let len: usize = elements.clone().map(|element| element.len() + 1).sum();
        let mut path = String::with_capacity(len.saturating_sub(1).min(PATH_LEN_MAX));
        let mut depth = 0;
        for element in elements {
            if element.is_empty() || element == b"." {
                continue;
            }
            if depth > 0 {
                path.push('/');
            }
            push_element(&mut path, element)?;
            depth += 1;
            if depth > DEPTH_MAX {
                return Err(PathError::TooDeep);
            }
            if path.len() > PATH_LEN_MAX {
                return Err(PathError::TooLong);
            }
        }
        if depth == 0 {
            return Err(PathError::Empty);
        }
        Ok(Self(path.into_boxed_str()))
    }

    /// The path, relative to the output directory.
    pub fn as_path(&self) -> &Path {
        Path::new(&*self.0)
    }

    /// The path with `/` between its elements, on every system.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names from the top down.
    pub fn elements(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.0.split('/')
    }
}

impl fmt::Display for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// By raw bytes, element by element, as BEP 52 orders its file tree.
impl Ord for SafePath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.elements().cmp(other.elements())
    }
}

impl PartialOrd for SafePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn push_element(path: &mut String, element: &[u8]) -> Result<(), PathError> {
    if element.contains(&0) {
        return Err(PathError::Nul);
    }
    let is_separator = |&byte: &u8| matches!(byte, b'/' | b'\\');
    let climbs = element.split(is_separator).any(|part| part == b"..");
    let rooted = element.len() > 1 && element[0] == b'/';
    let drive = element.len() > 2 && element[1] == b':' && is_separator(&element[2]);
    if climbs || rooted || drive {
        return Err(PathError::Escapes);
    }
    let start = path.len();
    for chunk in element.utf8_chunks() {
        for c in chunk.valid().chars() {
            if must_escape(c) {
                push_percent(path, c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                path.push(c);
            }
        }
        push_percent(path, chunk.invalid());
    }
    shorten(path, start);
    Ok(())
}

/// Separators of any system, and what would make one name look like another. The zero-width joiners
/// stay: Persian, Indic scripts and emoji are not written without them.
fn must_escape(c: char) -> bool {
    match c {
        '/' | '\\' => true,
        '\u{200c}' | '\u{200d}' => false,
        _ => escape::is_unsafe(c),
    }
}

fn push_percent(path: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(path, "%{byte:02X}").expect("a String takes everything");
    }
}

/// Takes from the middle of an element that is too long, so that its extension stays.
fn shorten(path: &mut String, start: usize) {
    let element = &path[start..];
    if element.len() <= ELEMENT_LEN_MAX {
        return;
    }
    let extension = match element.rfind('.') {
        Some(dot) if element.len() - dot <= EXTENSION_LEN_MAX => element[dot..].to_owned(),
        _ => String::new(),
    };
    let mut cut = start + ELEMENT_LEN_MAX - extension.len();
    while !path.is_char_boundary(cut) {
        cut -= 1;
    }
    path.truncate(cut);
    path.push_str(&extension);
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    fn safe(elements: &[&[u8]]) -> Result<String, PathError> {
        SafePath::new(elements.iter().copied()).map(|path| path.to_string())
    }

    fn hostile_element() -> impl Strategy<Value = Vec<u8>> {
        let parts: &[&[u8]] = &[
            b"..",
            b".",
            b"/",
            b"\\",
            b"\0",
            b"a",
            b"C:",
            b" ",
            b"%",
            b"\x1b",
            b"\xff",
            b"\xc0\xae",
            b"\xe2\x80\xae",
            b"\xc3\xa9",
        ];
        let salad = prop::collection::vec(prop::sample::select(parts), 0..6);
        prop_oneof![salad.prop_map(|parts| parts.concat()), any::<Vec<u8>>()]
    }

    proptest! {
        #[test]
        fn no_path_leaves_its_directory(elements in prop::collection::vec(hostile_element(), 0..6)) {
            let Ok(path) = SafePath::new(elements.iter().map(Vec::as_slice)) else { return Ok(()) };
            prop_assert!(path.as_path().components().all(|c| matches!(c, Component::Normal(_))));
            prop_assert_eq!(path.as_path().components().count(), path.elements().count());
            prop_assert!(path.elements().all(|element| element.len() <= ELEMENT_LEN_MAX));
            prop_assert!(!path.as_str().contains(|c: char| c.is_control() || c == '\\'));
        }

        #[test]
        fn a_safe_path_is_safe_as_it_is(elements in prop::collection::vec(hostile_element(), 0..6)) {
            let Ok(path) = SafePath::new(elements.iter().map(Vec::as_slice)) else { return Ok(()) };
            let again = SafePath::new(path.elements().map(str::as_bytes));
            prop_assert_eq!(again, Ok(path));
        }
    }

    #[test]
    fn what_tries_to_leave_is_refused() {
        for element in [
            "..",
            "a/../b",
            "..\\x",
            "x\\..",
            "/etc/passwd",
            "C:\\x",
            "c:/x",
        ] {
            assert_eq!(safe(&[b"a", element.as_bytes()]), Err(PathError::Escapes));
        }
        assert_eq!(safe(&[b"a\0b"]), Err(PathError::Nul));
        assert_eq!(safe(&[b"", b"."]), Err(PathError::Empty));
        assert_eq!(safe(&[]), Err(PathError::Empty));
    }

    #[test]
    fn what_is_odd_is_escaped() {
        assert_eq!(safe(&[b"a/b", b"\\c"]).unwrap(), "a%2Fb/%5Cc");
        assert_eq!(safe(&[b"tab\t", b"\xffx"]).unwrap(), "tab%09/%FFx");
        assert_eq!(
            safe(&["gpj\u{202e}exe".as_bytes()]).unwrap(),
            "gpj%E2%80%AEexe"
        );
        assert_eq!(safe(&[b".", b"a", b"", b"b"]).unwrap(), "a/b");
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in [
            "...",
            "a..b",
            "aux.c",
            "foo.",
            " foo ",
            "100%",
            "he:y",
            "👩\u{200d}💻",
            "日本",
        ] {
            assert_eq!(safe(&[name.as_bytes()]).unwrap(), name);
        }
    }

    #[test]
    fn a_long_name_keeps_its_extension() {
        let name = ["x".repeat(400).as_bytes(), b".tar.gz"].concat();
        let path = safe(&[&name]).unwrap();
        assert_eq!(path.len(), ELEMENT_LEN_MAX);
        assert!(path.ends_with("x.gz"));
        let wide = "é".repeat(200);
        assert_eq!(safe(&[wide.as_bytes()]).unwrap(), "é".repeat(120));
    }

    #[test]
    fn limits_hold_exactly() {
        let deep = |depth| vec![&b"a"[..]; depth];
        assert!(safe(&deep(DEPTH_MAX)).is_ok());
        assert_eq!(safe(&deep(DEPTH_MAX + 1)), Err(PathError::TooDeep));
        let element = [b'x'; 99];
        let mut long = vec![&element[..]; 35];
        assert_eq!(safe(&long).unwrap().len(), PATH_LEN_MAX - 1);
        long.push(b"y");
        assert_eq!(safe(&long), Err(PathError::TooLong));
    }

    #[test]
    fn order_is_by_element_not_by_joined_bytes() {
        let path = |elements: &[&[u8]]| SafePath::new(elements.iter().copied()).unwrap();
        assert!(path(&[b"a", b"b"]) < path(&[b"a-b"]));
        assert!(path(&[b"a"]) < path(&[b"a", b"b"]));
        assert!(path(&[b"B"]) < path(&[b"a"]));
    }
}

//! The project's own files, with just enough understanding of Rust to look for words in code
//! rather than in comments, text or tests.

use std::fs;
use std::path::{Path, PathBuf};

/// What a file is to the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Rust that ships.
    Product,
    /// Rust that tests.
    Test,
    /// Rust that measures.
    Bench,
    /// Shell or Python.
    Script,
}

/// One file.
pub(crate) struct Source {
    /// Path from the root of the project, with `/` between its parts.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// The Rust code without comments, literals and test modules: same lines, blanks instead.
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: String) -> Self {
        let kind = kind_of(path);
        let code = match kind {
            Kind::Script => String::new(),
            Kind::Product => without_test_modules(&without_comments_and_literals(&text)),
            Kind::Test | Kind::Bench => without_comments_and_literals(&text),
        };
        Self {
            path: path.to_owned(),
            kind,
            text,
            code,
        }
    }

    /// The path of this file as a module: `src/torrent/picker.rs` is `["torrent", "picker"]`.
    pub(crate) fn module(&self) -> Vec<&str> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut parts: Vec<&str> = inner.split('/').collect();
        if matches!(parts.last(), Some(&("mod" | "lib"))) {
            parts.pop();
        }
        parts
    }

    /// The line on which byte `at` of the code stands, counted from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

fn kind_of(path: &str) -> Kind {
    let file = path.rsplit('/').next().unwrap_or(path);
    if extension(file) != Some("rs") {
        Kind::Script
    } else if path.starts_with("benches/") {
        Kind::Bench
    } else if path.starts_with("src/")
        && file != "tests.rs"
        && !file.ends_with("_tests.rs")
        && !path.contains("/tests/")
    {
        Kind::Product
    } else {
        Kind::Test
    }
}

fn extension(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(_, extension)| extension)
}

/// Every source file of the project.
pub(crate) fn project() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for top in ["src", "tests", "benches", "scripts", ".ci"] {
        collect(&root.join(top), &mut files);
    }
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(root).expect("found below the root");
        let name = name
            .to_str()
            .expect("file names are UTF-8")
            .replace('\\', "/");
        Source::new(
            &name,
            fs::read_to_string(path).expect("sources are UTF-8 text"),
        )
    };
    files.iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("a folder that can be listed").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "__pycache__" | "snapshots" | ".pytest_cache") {
                collect(&path, files);
            }
        } else if matches!(extension(&name), Some("rs" | "py") | None) {
            files.push(path);
        }
    }
}

/// Replaces comments and the inside of literals by blanks, keeping line breaks.
fn without_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => find(bytes, at, b"\n"),
            b'/' if bytes[at..].starts_with(b"/*") => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at + 1),
            b'r' if !follows_word(&code) => raw_string_end(bytes, at),
            b'\'' => char_end(bytes, at),
            _ => at,
        };
        if end == at {
            code.push(bytes[at]);
            at += 1;
        } else {
            code.extend(
                bytes[at..end]
                    .iter()
                    .map(|&b| if b == b'\n' { b } else { b' ' }),
            );
            at = end;
        }
    }
    String::from_utf8(code).expect("whole characters were kept or blanked")
}

fn follows_word(code: &[u8]) -> bool {
    code.last()
        .is_some_and(|&b| b != b'b' && (b.is_ascii_alphanumeric() || b == b'_'))
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> usize {
    let found = bytes[from..]
        .windows(what.len())
        .position(|window| window == what);
    found.map_or(bytes.len(), |offset| from + offset)
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn raw_string_end(bytes: &[u8], start: usize) -> usize {
    let hashes = bytes[start + 1..]
        .iter()
        .take_while(|&&b| b == b'#')
        .count();
    let open = start + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return start;
    }
    let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    (find(bytes, open + 1, &close) + close.len()).min(bytes.len())
}

/// The end of a character literal, or `start` if this is a lifetime.
fn char_end(bytes: &[u8], start: usize) -> usize {
    match bytes.get(start + 1) {
        Some(b'\\') => find(bytes, start + 3, b"'") + 1,
        Some(_) => {
            // One character of one to four bytes, then the closing quote.
            let close = (start + 2..start + 6).find(|&at| bytes.get(at) == Some(&b'\''));
            match close {
                Some(at) if at == start + 2 || !bytes[start + 1].is_ascii() => at + 1,
                _ => start,
            }
        }
        None => start,
    }
}

/// Blanks every `#[cfg(test)] mod name { … }`.
fn without_test_modules(code: &str) -> String {
    let mut code = code.to_owned();
    let mut from = 0;
    while let Some(offset) = code[from..].find("#[cfg(test)]") {
        let start = from + offset;
        from = start + "#[cfg(test)]".len();
        let item_end = code[from..]
            .find(['{', ';'])
            .map_or(code.len(), |offset| from + offset);
        if code[item_end..].starts_with('{') {
            let end = closing(&code, item_end);
            let blank: String = code[start..end]
                .chars()
                .map(|c| if c == '\n' { c } else { ' ' })
                .collect();
            code.replace_range(start..end, &blank);
            from = start + blank.len();
        }
    }
    code
}

/// The position after the bracket that closes the one at `open`.
pub(crate) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (offset, byte) in code[open..].bytes().enumerate() {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + offset + 1;
        }
    }
    code.len()
}

//! The two halves of a hybrid manifest (BEP 52) must describe the same files.
//!
//! Only the v1 half is used. Were the halves to differ, clients of either kind would trade
//! different content in one swarm.

use super::files::FileFields;
use super::parse::bytes;
use super::{FileEntry, FileKind, MetainfoError};
use crate::bencode::{Dict, Value};

const TREE: MetainfoError = MetainfoError::Field("file tree");

/// Checks that the v2 `tree` lists the files of the v1 half: same paths, lengths and order, with
/// padding left aside.
pub(super) fn check(
    tree: Value<'_>,
    name: &[u8],
    list: Option<Value<'_>>,
    files: &[FileEntry],
) -> Result<(), MetainfoError> {
    let mut leaves = Leaves::new(tree)?;
    let mut entries = list.and_then(Value::list);
    for (number, file) in (1..).zip(files) {
        let entry = entries.as_mut().and_then(Iterator::next);
        if file.kind == FileKind::Padding {
            continue;
        }
        let path = entry
            .map(FileFields::read)
            .transpose()?
            .and_then(|file| file.path);
        let same = leaves.next()?.is_some_and(|len| {
            let expected = path.and_then(Value::list).into_iter().flatten();
            let expected = expected.filter_map(Value::bytes);
            let expected = expected.chain(list.is_none().then_some(name));
            len == file.len && leaves.path().eq(expected)
        });
        if !same {
            return Err(MetainfoError::HalvesDiffer(number));
        }
    }
    match leaves.next()? {
        None => Ok(()),
        Some(_) => Err(MetainfoError::HalvesDiffer(files.len() + 1)),
    }
}

/// Walks a file tree in its order, without recursion.
struct Leaves<'a> {
    /// The directories that are open, and the name of the entry of each that was taken last.
    open: Vec<(Dict<'a>, &'a [u8])>,
}

impl<'a> Leaves<'a> {
    fn new(tree: Value<'a>) -> Result<Self, MetainfoError> {
        let root = tree.dict().ok_or(TREE)?;
        Ok(Self {
            open: vec![(root, b"")],
        })
    }

    /// Goes to the next file and returns its length.
    fn next(&mut self) -> Result<Option<u64>, MetainfoError> {
        while let Some((directory, at)) = self.open.last_mut() {
            let Some((name, node)) = directory.next() else {
                self.open.pop();
                continue;
            };
            *at = name;
            let inner = node.dict().ok_or(TREE)?;
            if name.is_empty() {
                return Err(TREE);
            }
            let mut peek = inner.clone();
            if let (Some((b"", leaf)), None) = (peek.next(), peek.next()) {
                return leaf_len(leaf).map(Some);
            }
            self.open.push((inner, b""));
        }
        Ok(None)
    }

    /// The path of the file that [`Leaves::next`] went to.
    fn path(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.open.iter().map(|&(_, name)| name)
    }
}

/// The length of a file of the tree, which must have a hash unless it is empty.
fn leaf_len(leaf: Value<'_>) -> Result<u64, MetainfoError> {
    let attr = bytes(leaf.get(b"attr")).unwrap_or_default();
    if attr.contains(&b'l') {
        return Ok(0);
    }
    let len = leaf.get(b"length").and_then(Value::uint).ok_or(TREE)?;
    let root = bytes(leaf.get(b"pieces root")).unwrap_or_default();
    let rooted = root.len() == 32 && root.iter().any(|&byte| byte != 0);
    if len == 0 || rooted {
        Ok(len)
    } else {
        Err(TREE)
    }
}

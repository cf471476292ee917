//! The only way to name an output file: a relative path that cannot leave its directory.

use std::path::Path;

/// A relative path of safe elements.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SafePath(String);

impl SafePath {
    /// The path, relative to the output directory.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

//! An open directory below which names are resolved without ever following a link.
//!
//! Linux does it in one call (`openat2`); elsewhere, and where a sandbox forbids that call, each
//! element is opened on its own with `O_NOFOLLOW`. Paths are relative and without `..` because
//! they come from `SafePath` or are ours.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

/// A directory held open: renaming or replacing it does not redirect us.
#[derive(Debug)]
pub(super) struct Dir(OwnedFd);

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
    /// Reading and writing; it and its directories are created where they are missing.
    Create {
        /// With the permission to execute it, as far as the umask grants that.
        executable: bool,
    },
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    /// A link or anything else that is no place for content.
    Other,
}

/// A FIFO in a file's place must not hang us (`NONBLOCK`), nor a terminal become ours (`NOCTTY`).
const PLAIN: OFlags = OFlags::CLOEXEC
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);
const DIRECTORY: OFlags = OFlags::CLOEXEC
    .union(OFlags::DIRECTORY)
    .union(OFlags::RDONLY);

impl Dir {
    /// Opens a directory that the user named: links on the way to it are the user's business.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        Ok(Self(rustix::fs::openat(
            CWD,
            path,
            DIRECTORY,
            Mode::empty(),
        )?))
    }

    /// Opens a directory below this one.
    pub(super) fn subdir(&self, path: &Path) -> io::Result<Self> {
        Ok(Self(self.resolve(path, DIRECTORY, Mode::empty())?))
    }

    /// Opens a directory below this one, creating what is missing on the way.
    pub(super) fn make_subdir(&self, path: &Path) -> io::Result<Self> {
        let mut dir = Self(self.0.try_clone()?);
        for element in elements(path) {
            match rustix::fs::mkdirat(&dir.0, element, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            let flags = DIRECTORY | OFlags::NOFOLLOW;
            dir = Self(rustix::fs::openat(&dir.0, element, flags, Mode::empty())?);
        }
        Ok(dir)
    }

    /// Opens a plain file below this directory.
    ///
    /// # Errors
    /// `ELOOP`, `ENOTDIR` or `EXDEV` if a link is in the way, `EISDIR` if it is no plain file.
    pub(super) fn file(&self, path: &Path, access: Access) -> io::Result<File> {
        let (flags, mode) = match access {
            Access::Read => (OFlags::RDONLY, 0),
            Access::Write => (OFlags::RDWR, 0),
            Access::Create { executable: true } => (OFlags::RDWR | OFlags::CREATE, 0o777),
            Access::Create { executable: false } => (OFlags::RDWR | OFlags::CREATE, 0o666),
        };
        let open = || self.resolve(path, flags | PLAIN, Mode::from_raw_mode(mode));
        let fd = match (open(), access, path.parent()) {
            (Err(Errno::NOENT), Access::Create { .. }, Some(parent)) => {
                self.make_subdir(parent)?;
                open()?
            }
            (result, _, _) => result?,
        };
        plain(File::from(fd))
    }

    /// Opens a file for reading, links followed: for content that the user shares.
    pub(super) fn file_through_links(&self, path: &Path) -> io::Result<File> {
        let fd = rustix::fs::openat(&self.0, path, OFlags::RDONLY | PLAIN, Mode::empty())?;
        plain(File::from(fd))
    }

    /// What `name` in this directory is, links not followed; `None` if there is no such name.
    pub(super) fn kind(&self, name: &Path) -> io::Result<Option<Kind>> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Kind::File,
                FileType::Directory => Kind::Directory,
                _ => Kind::Other,
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The names in this directory.
    pub(super) fn names(&self) -> io::Result<Vec<std::ffi::OsString>> {
        use std::os::unix::ffi::OsStrExt;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            let name = std::ffi::OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Deletes a file (or a link itself) in this directory.
    pub(super) fn remove(&self, name: &Path) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Deletes everything at `name`; links inside are deleted, not followed.
    pub(super) fn remove_all(&self, name: &Path) -> io::Result<()> {
        match self.kind(name)? {
            None => Ok(()),
            Some(Kind::Directory) => {
                let inside = self.subdir(name)?;
                for entry in inside.names()? {
                    inside.remove_all(Path::new(&entry))?;
                }
                Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR)?)
            }
            Some(_) => self.remove(name),
        }
    }

    /// Replaces `to` by `from`, both in this directory.
    pub(super) fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    /// Moves `from` to `to` in another directory, unless something is there already.
    pub(super) fn publish(&self, from: &Path, other: &Self, to: &Path) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_vendor = "apple"))]
        {
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(&self.0, from, &other.0, to, flags) {
                // Some file systems (NFS, older FUSE) cannot promise it.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
                result => return Ok(result?),
            }
        }
        if other.kind(to)?.is_some() {
            return Err(Errno::EXIST.into());
        }
        Ok(rustix::fs::renameat(&self.0, from, &other.0, to)?)
    }

    /// Makes the names in this directory durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    /// Makes the whole file system durable: cheaper than syncing thousands of files one by one.
    pub(super) fn sync_file_system(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(&self.0)?;
        #[cfg(not(target_os = "linux"))]
        rustix::fs::sync();
        Ok(())
    }

    /// Bytes that this process may still write to the file system.
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.0)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn resolve(&self, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::ResolveFlags;
            let rules =
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match rustix::fs::openat2(&self.0, path, flags, mode, rules) {
                // Kernels before 5.6 and some sandboxes do not know the call.
                Err(Errno::NOSYS | Errno::PERM) => {}
                result => return result,
            }
        }
        self.resolve_by_element(path, flags, mode)
    }

    fn resolve_by_element(&self, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let mut names: Vec<_> = elements(path).collect();
        // `.` has no elements: it is this directory itself.
        let last = names.pop().unwrap_or(Path::new("."));
        let mut dir: Option<OwnedFd> = None;
        for name in names {
            let at = dir.as_ref().map_or(self.0.as_fd(), AsFd::as_fd);
            let next = rustix::fs::openat(at, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
            dir = Some(next);
        }
        let at = dir.as_ref().map_or(self.0.as_fd(), AsFd::as_fd);
        rustix::fs::openat(at, last, flags | OFlags::NOFOLLOW, mode)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether the error of an opening says that a link or a special file is in the way.
pub(super) fn is_obstacle(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(
        errno,
        Some(Errno::LOOP | Errno::NOTDIR | Errno::XDEV | Errno::ISDIR | Errno::NXIO)
    )
}

fn plain(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(Errno::ISDIR.into())
    }
}

fn elements(path: &Path) -> impl Iterator<Item = &Path> {
    path.components().filter_map(|element| match element {
        Component::Normal(name) => Some(Path::new(name)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const READ: OFlags = OFlags::RDONLY;

    #[test]
    fn resolving_by_element_agrees_with_the_system_call() {
        let root = tempfile::tempdir().expect("made");
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("a/b")).expect("made");
        fs::write(at("a/b/file"), "x").expect("written");
        symlink("a", at("to-dir")).expect("made");
        symlink("file", at("a/b/to-file")).expect("made");
        symlink("/etc", at("a/out")).expect("made");
        let dir = Dir::open(root.path()).expect("opens");
        let paths = [
            ".",
            "a/b/file",
            "a/b",
            "to-dir/b/file",
            "a/b/to-file",
            "a/out/passwd",
            "a/x",
            "a/b/file/y",
        ];
        for path in paths.map(Path::new) {
            let called = dir.resolve(path, READ, Mode::empty());
            let stepped = dir.resolve_by_element(path, READ, Mode::empty());
            assert_eq!(called.is_ok(), stepped.is_ok(), "{}", path.display());
            let refused = |result: Result<OwnedFd, Errno>| {
                result.err().is_some_and(|errno| is_obstacle(&errno.into()))
            };
            assert_eq!(refused(called), refused(stepped), "{}", path.display());
        }
    }

    #[test]
    fn what_is_no_plain_file_is_not_opened() {
        let root = tempfile::tempdir().expect("made");
        let dir = Dir::open(root.path()).expect("opens");
        fs::create_dir(root.path().join("dir")).expect("made");
        let fifo = root.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.is_ok_and(|status| status.success()));
        for name in ["dir", "fifo"] {
            for access in [
                Access::Read,
                Access::Write,
                Access::Create { executable: false },
            ] {
                let error = dir.file(Path::new(name), access).expect_err("refused");
                assert!(is_obstacle(&error), "{name} {access:?}: {error}");
            }
        }
    }

    #[test]
    fn publishing_never_replaces_anything() {
        let root = tempfile::tempdir().expect("made");
        let dir = Dir::open(root.path()).expect("opens");
        fs::write(root.path().join("new"), "new").expect("written");
        fs::write(root.path().join("old"), "old").expect("written");
        let refused = dir
            .publish(Path::new("new"), &dir, Path::new("old"))
            .expect_err("taken");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(root.path().join("old")).expect("there"), b"old");
        dir.publish(Path::new("new"), &dir, Path::new("free"))
            .expect("free");
    }

    #[test]
    fn removing_a_tree_stops_at_links() {
        let root = tempfile::tempdir().expect("made");
        let outside = tempfile::tempdir().expect("made");
        fs::write(outside.path().join("precious"), "x").expect("written");
        fs::create_dir_all(root.path().join("t/sub")).expect("made");
        symlink(outside.path(), root.path().join("t/sub/link")).expect("made");
        let dir = Dir::open(root.path()).expect("opens");
        dir.remove_all(Path::new("t")).expect("removed");
        assert!(!root.path().join("t").exists());
        assert!(outside.path().join("precious").exists());
    }
}

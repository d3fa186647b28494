//! The secrets of a function, as its containers see them.
//!
//! The secrets that the gateway keeps are files that only its own user may read, and the user in a container is another one.
//! So there is a folder of copies for each function, in a folder that only the gateway's user can enter. A container sees
//! the inner one, so that a secret that is replaced is replaced in containers that run, as on Kubernetes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::private_file;
use crate::stack::FunctionSpec;

const FOLDER: &str = "mounts";

/// A folder of secrets, which is removed when nobody needs it any more.
#[derive(Debug)]
pub(crate) struct Mount {
    folder: PathBuf,
    kept: PathBuf,
    secrets: Vec<String>,
    /// Whether the folder is there. Locked while anything in it changes, so that a copy that is made later is of a secret
    /// that was read later.
    made: Mutex<bool>,
}

impl Mount {
    /// The folder of the secrets that a function names, which is not there yet.
    pub(super) fn new(state: &Path, spec: &FunctionSpec) -> Mount {
        let folder = state.join(FOLDER).join(format!("{}-{:08x}", spec.name, rand::random::<u32>()));
        Mount { folder, kept: state.join("secrets"), secrets: spec.secrets.clone(), made: Mutex::new(false) }
    }

    /// Makes the folder, and copies the secrets. One that is not there is left out. What failed may be tried again.
    pub(super) fn fill(&self) -> io::Result<()> {
        let mut made = self.made();
        if !*made {
            self.folder.parent().map_or(Ok(()), private_file::folder)?;
            fs::create_dir(&self.folder)?;
            *made = true;
        }
        set_mode(&self.folder, 0o755)?;
        label(&self.folder);
        self.secrets.iter().try_for_each(|secret| self.copy(secret))
    }

    fn made(&self) -> MutexGuard<'_, bool> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Copies a secret again, if it is one of these, or removes the copy of one that is gone. Before the folder is filled there is nothing to be done.
    pub(super) fn refresh(&self, secret: &str) -> io::Result<()> {
        let made = self.made();
        if *made && self.secrets.iter().any(|own| own == secret) { self.copy(secret) } else { Ok(()) }
    }

    fn copy(&self, secret: &str) -> io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let bytes = match fs::read(self.kept.join(secret)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return match fs::remove_file(self.folder.join(secret)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                };
            }
            read => read?,
        };
        // Given its name when it is whole: a function may be reading it. Not made of the name, which may be as long as names
        // can be.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.folder.join(format!(".new-{number}"));
        let copied = fs::write(&unfinished, bytes)
            .and_then(|()| set_mode(&unfinished, 0o444))
            .and_then(|()| fs::rename(&unfinished, self.folder.join(secret)));
        if copied.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        copied
    }

    /// Removes the folders that an earlier run has left.
    pub(super) fn sweep(state: &Path) {
        let _ = fs::remove_dir_all(state.join(FOLDER));
    }
}

/// Sets who may read a file or folder.
#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

/// On other systems, nobody reads it: the gateway runs no containers there.
#[cfg(not(unix))]
fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

/// Lets containers read a folder, and what is made in it, where SELinux asks for that. An engine labels what is named in
/// `binds` with `z`, and has no such word for mounts, which are what fails when a folder is missing.
fn label(folder: &Path) {
    #[cfg(target_os = "linux")]
    if Path::new("/sys/fs/selinux/enforce").exists() {
        let label = b"system_u:object_r:container_file_t:s0\0";
        if let Err(error) = rustix::fs::setxattr(folder, "security.selinux", label, rustix::fs::XattrFlags::empty()) {
            tracing::warn!("SELinux may keep containers from reading {}: {error}", folder.display());
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = folder;
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    #[cfg(unix)]
    use std::os::unix::fs::PermissionsExt as _;

    use faasflow_admin::Deployment;

    use super::*;
    use crate::functions::deployment::{Runs, spec};

    #[test]
    fn others_may_read_the_copies_and_nobody_else_finds_them() {
        let state = tempfile::tempdir().unwrap();
        let secrets = state.path().join("secrets");
        fs::create_dir(&secrets).unwrap();
        private_file::create(&secrets.join("key"), b"one").unwrap();
        let deployment = Deployment {
            service: "f".to_owned(),
            image: "f".to_owned(),
            secrets: Some(vec!["key".to_owned(), "absent".to_owned()]),
            labels: Some(BTreeMap::new()),
            ..Deployment::default()
        };
        let spec = spec(&deployment, Path::new("."), Runs::Container).unwrap();
        let mount = Mount::new(state.path(), &spec);
        mount.refresh("key").unwrap();
        assert!(!mount.folder().exists());
        mount.fill().unwrap();
        let copy = mount.folder().join("key");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&copy), mode(mount.folder())), (0o444, 0o755));
        assert_eq!(mode(&state.path().join(FOLDER)), 0o700);
        assert!(!mount.folder().join("absent").exists());

        private_file::replace(&secrets.join("key"), b"two").unwrap();
        private_file::create(&secrets.join("other"), b"other").unwrap();
        mount.refresh("key").unwrap();
        mount.refresh("other").unwrap();
        assert_eq!(fs::read(&copy).unwrap(), b"two");
        let names: Vec<_> = fs::read_dir(mount.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["key"]);
        private_file::remove(&secrets.join("key")).unwrap();
        mount.refresh("key").unwrap();
        assert!(!copy.exists());
        let folder = mount.folder().to_owned();
        drop(mount);
        assert!(!folder.exists());
    }

    /// Two that copied at once took each other's unfinished file, or the older copy came last.
    #[test]
    fn the_last_copy_is_of_the_last_secret() {
        let state = tempfile::tempdir().unwrap();
        let kept = state.path().join("secrets/key");
        fs::create_dir(kept.parent().unwrap()).unwrap();
        private_file::create(&kept, b"0").unwrap();
        let deployment = Deployment {
            service: "f".to_owned(),
            image: "f".to_owned(),
            secrets: Some(vec!["key".to_owned()]),
            ..Deployment::default()
        };
        let mount = Mount::new(state.path(), &spec(&deployment, Path::new("."), Runs::Container).unwrap());
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (mount, kept) = (&mount, &kept);
                scope.spawn(move || {
                    for round in 0..50 {
                        private_file::replace(kept, format!("{thread}-{round}").as_bytes()).unwrap();
                        mount.refresh("key").unwrap();
                    }
                });
            }
            scope.spawn(|| mount.fill().unwrap());
        });
        assert_eq!(fs::read(mount.folder().join("key")).unwrap(), fs::read(&kept).unwrap());
        assert_eq!(fs::read_dir(mount.folder()).unwrap().count(), 1);
    }
}

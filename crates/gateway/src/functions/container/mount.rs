//! The copies of a function's secrets that its containers read.
//!
//! Only the gateway's user may read the gateway's secrets, and a container runs as another user. So each function has a folder
//! with copies, inside a folder that only the gateway's user can enter. Its containers mount the inner folder. If a secret
//! changes, running containers see the new one, as on Kubernetes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::private_file;
use crate::stack::FunctionSpec;

const FOLDER: &str = "mounts";

/// A folder with copies of secrets, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Mount {
    folder: PathBuf,
    originals: PathBuf,
    secrets: Vec<String>,
    /// Whether the folder exists. Locked while the folder changes, so that the last copy is of the secret that was read last.
    exists: Mutex<bool>,
}

impl Mount {
    /// Chooses a folder for the secrets that a function names. It does not exist yet.
    pub(super) fn new(state: &Path, spec: &FunctionSpec) -> Mount {
        let folder = state.join(FOLDER).join(format!("{}-{:08x}", spec.name, rand::random::<u32>()));
        Mount { folder, originals: state.join("secrets"), secrets: spec.secrets.clone(), exists: Mutex::new(false) }
    }

    /// Creates the folder and copies the secrets. A secret that does not exist is left out. This can be tried again after a
    /// failure.
    pub(super) fn fill(&self) -> io::Result<()> {
        let mut exists = self.lock();
        if !*exists {
            self.folder.parent().map_or(Ok(()), private_file::folder)?;
            fs::create_dir(&self.folder)?;
            *exists = true;
        }
        set_mode(&self.folder, 0o755)?;
        label(&self.folder);
        self.secrets.iter().try_for_each(|secret| self.copy(secret))
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.exists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Copies a secret again if it is one of these, or removes the copy if the secret is gone. Does nothing before the folder
    /// is filled.
    pub(super) fn refresh(&self, secret: &str) -> io::Result<()> {
        let exists = self.lock();
        if *exists && self.secrets.iter().any(|own| own == secret) { self.copy(secret) } else { Ok(()) }
    }

    fn copy(&self, secret: &str) -> io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let bytes = match fs::read(self.originals.join(secret)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return match fs::remove_file(self.folder.join(secret)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                };
            }
            read => read?,
        };
        // The copy gets its name when it is complete, because a function may be reading it. The temporary name is not derived
        // from the name, which may have the maximum length already.
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

    /// Removes the folders that an earlier run left behind.
    pub(super) fn sweep(state: &Path) {
        let _ = fs::remove_dir_all(state.join(FOLDER));
    }
}

/// Sets the mode of a file or folder.
#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

/// Does nothing on other systems, where the gateway runs no containers.
#[cfg(not(unix))]
fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

/// Lets containers read a folder and its files under SELinux. An engine can label a folder in `binds` with `z`, but not one
/// in mounts. Mounts are used here because they fail if the folder is missing.
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
    fn copies_are_readable_but_only_the_owner_can_enter_the_folder() {
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

    /// Two threads that copied at once took each other's unfinished file, or the older copy came last.
    #[test]
    fn the_last_copy_is_of_the_last_secret() {
        let state = tempfile::tempdir().unwrap();
        let secret_file = state.path().join("secrets/key");
        fs::create_dir(secret_file.parent().unwrap()).unwrap();
        private_file::create(&secret_file, b"0").unwrap();
        let deployment = Deployment {
            service: "f".to_owned(),
            image: "f".to_owned(),
            secrets: Some(vec!["key".to_owned()]),
            ..Deployment::default()
        };
        let mount = Mount::new(state.path(), &spec(&deployment, Path::new("."), Runs::Container).unwrap());
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (mount, secret_file) = (&mount, &secret_file);
                scope.spawn(move || {
                    for round in 0..50 {
                        private_file::replace(secret_file, format!("{thread}-{round}").as_bytes()).unwrap();
                        mount.refresh("key").unwrap();
                    }
                });
            }
            scope.spawn(|| mount.fill().unwrap());
        });
        assert_eq!(fs::read(mount.folder().join("key")).unwrap(), fs::read(&secret_file).unwrap());
        assert_eq!(fs::read_dir(mount.folder()).unwrap().count(), 1);
    }
}

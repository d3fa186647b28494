//! The secrets of a function, as its containers see them.
//!
//! The secrets that the gateway keeps are files that only its own user may read, and the user in a container is another one.
//! So there is a folder of copies for each function, in a folder that only the gateway's user can enter. A container sees
//! the inner one, so that a secret that is replaced is replaced in containers that run, as on Kubernetes.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::private_file;
use crate::stack::FunctionSpec;

const FOLDER: &str = "mounts";

/// A folder of secrets, which is removed when nobody needs it any more.
#[derive(Debug)]
pub(crate) struct Mount {
    folder: PathBuf,
    kept: PathBuf,
    secrets: Vec<String>,
}

impl Mount {
    /// Copies the secrets that a function names. One that is not there is left out.
    pub(super) fn new(state: &Path, spec: &FunctionSpec) -> io::Result<Mount> {
        let parent = state.join(FOLDER);
        private_file::folder(&parent)?;
        let folder = parent.join(format!("{}-{:08x}", spec.name, rand::random::<u32>()));
        fs::create_dir(&folder)?;
        label(&folder);
        let mount = Mount { folder, kept: state.join("secrets"), secrets: spec.secrets.clone() };
        fs::set_permissions(&mount.folder, Permissions::from_mode(0o755))?;
        for secret in &mount.secrets {
            match mount.copy(secret) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(mount)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Copies a secret again, if it is one of these.
    pub(super) fn refresh(&self, secret: &str) -> io::Result<()> {
        if self.secrets.iter().any(|own| own == secret) { self.copy(secret) } else { Ok(()) }
    }

    fn copy(&self, secret: &str) -> io::Result<()> {
        let bytes = fs::read(self.kept.join(secret))?;
        // Given its name when it is whole: a function may be reading it.
        let unfinished = self.folder.join(format!(".{secret}"));
        fs::write(&unfinished, bytes)?;
        fs::set_permissions(&unfinished, Permissions::from_mode(0o444))?;
        fs::rename(&unfinished, self.folder.join(secret))
    }

    /// Removes the folders that an earlier run has left.
    pub(super) fn sweep(state: &Path) {
        let _ = fs::remove_dir_all(state.join(FOLDER));
    }
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

    use super::*;
    use crate::functions::deployment::{Deployment, Runs};

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
        let spec = deployment.spec(Path::new("."), Runs::Container).unwrap();
        let mount = Mount::new(state.path(), &spec).unwrap();
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
        let folder = mount.folder().to_owned();
        drop(mount);
        assert!(!folder.exists());
    }
}

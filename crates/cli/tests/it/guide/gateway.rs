//! `faasflow up`, on copies of examples and in the project that a page makes.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Building an example on a loaded machine may take long; a hang must end all the same.
const PATIENCE: Duration = Duration::from_secs(600);

/// A folder for commands, which is removed in the end.
pub(crate) struct Folder {
    _root: TempDir,
    pub(crate) path: PathBuf,
}

impl Folder {
    /// An empty one.
    pub(crate) fn empty() -> Folder {
        let root = tempfile::tempdir().expect("a folder");
        Folder { path: root.path().to_owned(), _root: root }
    }

    /// A copy of an example, beside copies of the others, whose files it may use. What cargo builds stays where it is: the
    /// copy's stack file points to it.
    pub(crate) fn copy(root: &Path, example: &str) -> Folder {
        let examples = root.join("examples");
        let folder = tempfile::tempdir().expect("a folder");
        copy_folder(&examples, folder.path());
        let path = folder.path().join(example);
        let stack = path.join("stack.yml");
        let text = std::fs::read_to_string(&stack).expect("an example has a stack.yml");
        let handler = |to: &str| format!("handler: {}{to}", examples.join(example).display());
        let text = text.replace("handler: ./", &handler("/")).replace("handler: ../", &handler("/../"));
        let text = text.replace("handler: .\n", &handler("/\n"));
        std::fs::write(stack, text).expect("the copy can be written");
        Folder { _root: folder, path }
    }
}

/// A running `faasflow up`.
pub(crate) struct Up {
    pub(crate) folder: Folder,
    pub(crate) address: String,
    child: Child,
    printed: Arc<Mutex<String>>,
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())).flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_file() {
            std::fs::copy(&path, &target).expect("a file can be copied");
        } else if !["target", ".faasflow", "storage"].contains(&name.as_str()) {
            std::fs::create_dir_all(&target).expect("a folder");
            copy_folder(&path, &target);
        }
    }
}

impl Up {
    /// On a copy of an example.
    pub(crate) fn start(root: &Path, example: &str) -> Up {
        Up::start_in(Folder::copy(root, example), &["--no-watch"])
    }

    /// In a folder that has a stack file.
    pub(crate) fn start_in(folder: Folder, options: &[&str]) -> Up {
        let mut child = Command::new(env!("CARGO_BIN_EXE_faasflow"))
            .args(["up", "--port", "0"])
            .args(options)
            .current_dir(&folder.path)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("faasflow runs");
        let printed = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        std::thread::spawn({
            let printed = printed.clone();
            move || {
                for line in stderr.lines().map_while(Result::ok) {
                    let mut printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
                    printed.push_str(&line);
                    printed.push('\n');
                }
            }
        });
        let mut up = Up { folder, address: String::new(), child, printed };
        up.until(|printed| printed.contains("All functions are ready"));
        let printed = up.printed();
        let url = printed.lines().find_map(|line| line.strip_prefix("The gateway is at http://"));
        up.address = url.expect("it says where it is").to_owned();
        up
    }

    /// What it has written to standard error.
    pub(crate) fn printed(&self) -> String {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn until(&mut self, done: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(&self.printed()) {
            let ended = self.child.try_wait().expect("a child can be asked");
            assert!(ended.is_none() && Instant::now() < deadline, "faasflow up said:\n{}", self.printed());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Up {
    /// SIGTERM, so that its functions are stopped in good order; the kernel ends them with it in any case.
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A trial of a program before it is packed: its version, a new project, and one request through its gateway.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Release;
use crate::command;

/// The time limit until the gateway answers. An emulated gateway takes seconds.
const START: Duration = Duration::from_secs(60);

/// A function that every Linux can run.
const STACK: &str = "\
version: 1.0
provider:
  name: openfaas
functions:
  echo:
    fprocess: cat
    image: none
";

/// Runs a program, under qemu's emulator if it is for another processor.
///
/// # Errors
///
/// If the program has another version or does not create a project, or if its gateway does not answer a request.
pub(super) fn run(release: &Release, program: &Path, target: &str) -> Result<(), String> {
    let version = release.version;
    let processor = target.split('-').next().unwrap_or_default();
    let emulator = (processor != std::env::consts::ARCH).then(|| format!("qemu-{processor}-static"));
    if let Some(emulator) = &emulator {
        command::debian("qemu-user-static", emulator)?;
    }
    let faasflow = || match &emulator {
        Some(emulator) => {
            let mut command = Command::new(emulator);
            command.arg(program);
            command
        }
        None => Command::new(program),
    };
    let printed = command::output(faasflow().arg("--version"))?;
    if printed.trim() != format!("faasflow {version}") {
        return Err(format!("{} says that it is `{}`", program.display(), printed.trim()));
    }

    let folder = program.with_file_name("trial");
    let fault = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(fault)?;
    }
    std::fs::create_dir_all(&folder).map_err(fault)?;
    let project = folder.join("project");
    std::fs::create_dir(&project).map_err(fault)?;
    let mut new = faasflow();
    command::output(new.current_dir(&project).args(["new", "trial", "--checkout"]).arg(release.root))?;
    if !project.join("trial/Cargo.toml").is_file() {
        return Err(format!("`faasflow new` of {} wrote no project", program.display()));
    }

    std::fs::write(folder.join("stack.yml"), STACK).map_err(fault)?;
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).map_err(fault)?.port();
    let log = std::fs::File::create(folder.join("log")).map_err(fault)?;
    let mut up = faasflow();
    up.current_dir(&folder).args(["up", "--no-containers", "--port", &port.to_string()]);
    up.stdin(Stdio::null()).stdout(log.try_clone().map_err(fault)?).stderr(log);
    let _up = KilledOnDrop(up.spawn().map_err(fault)?);

    let url = format!("http://127.0.0.1:{port}");
    let deadline = Instant::now() + START;
    while command::output(faasflow().args(["health", "--gateway", &url])).is_err() {
        if Instant::now() > deadline {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            return Err(format!("the gateway of {} does not answer. It printed:\n{log}", program.display()));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut invoke = faasflow();
    invoke.args(["invoke", "--gateway", &url, "echo"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut invoke = invoke.spawn().map_err(fault)?;
    invoke.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(b"release")).map_err(fault)?;
    let answer = invoke.wait_with_output().map_err(fault)?;
    if answer.stdout != b"release" {
        return Err(format!(
            "a function of {} answered {:?}",
            program.display(),
            String::from_utf8_lossy(&answer.stdout)
        ));
    }
    let how = emulator.map_or("on this machine".to_owned(), |emulator| format!("under {emulator}"));
    println!("Tried {how}: {}, a new project, and a request through its gateway", printed.trim());
    Ok(())
}

/// A process that is killed when this is dropped.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

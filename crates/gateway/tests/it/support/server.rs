//! A program that serves HTTP, as one would deploy it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Answers `$version`; `/pid` with its number, `/env` with its environment, `/args` with its arguments, `/slow` after
/// a while, `/metrics` with its port, on `metrics_port` too where `serves_metrics` is set, `/hold` when there is a file `go` in its folder, having made a file `held`; and dies of `/die`.
const SOURCE: &str = r#"
use std::io::{Read, Write};
fn main() {
    if std::env::var("version").as_deref() == Ok("broken") { std::process::exit(3); }
    // Both before anyone is served: who finds the one finds the other.
    let metrics = std::env::var("serves_metrics").is_ok().then(|| bind("metrics_port"));
    if let Some((listener, port)) = metrics { std::thread::spawn(|| serve(listener, port)); }
    let (listener, port) = bind("port");
    serve(listener, port);
}
fn bind(port: &str) -> (std::net::TcpListener, String) {
    let port = std::env::var(port).unwrap();
    (std::net::TcpListener::bind(format!("127.0.0.1:{port}")).unwrap(), port)
}
fn serve(listener: std::net::TcpListener, port: String) {
    for stream in listener.incoming() {
        let port = port.clone();
        std::thread::spawn(move || {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap_or(0) == 0 { return; }
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let pause = || std::thread::sleep(std::time::Duration::from_millis(5));
            if head.contains(" /die ") { std::process::exit(7); }
            if head.contains(" /slow ") { for _ in 0..20 { pause(); } }
            if head.contains(" /hold ") {
                std::fs::write("held", "").unwrap();
                while !std::path::Path::new("go").exists() { pause(); }
            }
            let body = match head.split(' ').nth(1) {
                Some("/pid") => std::process::id().to_string(),
                Some("/env") => std::env::vars().map(|(name, value)| format!("{name}={value}\n")).collect(),
                Some("/metrics") => format!("port {port}"),
                Some("/args") => std::env::args().skip(1).collect::<Vec<_>>().join(" "),
                _ => std::env::var("version").unwrap_or_default(),
            };
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        });
    }
}
"#;

/// Puts the program into a folder, as `server`.
pub(crate) fn put_into(folder: &Path) {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let (source, program) = (folder.path().join("server.rs"), folder.path().join("server"));
        std::fs::write(&source, SOURCE).unwrap();
        let status = std::process::Command::new("rustc").arg("-o").arg(&program).arg(&source).status().unwrap();
        assert!(status.success());
        (folder, program)
    });
    std::fs::copy(program, folder.join("server")).unwrap();
}

/// Whether a process is there and is no zombie, which nobody waited for.
pub(crate) fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

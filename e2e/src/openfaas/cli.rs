//! From the template to an invocation with faas-cli, as a user would do it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::invocations::PATIENCE;
use super::stand::{Programs, Stand};
use crate::suite::{Suite, expect};
use crate::tools;

/// The edited handler.
const LIB: &str = r#"//! The flow.

use faasflow::{Context, DefinitionError, Flow};

/// The steps, in order.
pub fn define() -> Result<Flow, DefinitionError> {
    Flow::builder().apply("one").modify(greet).build()
}

async fn greet(context: Context, name: String) -> String {
    format!("Hello, {}{}", name.trim(), context.query("mark").unwrap_or_default())
}
"#;

/// The time limit for an optimised build of the whole library, on a slow machine.
const BUILD: Duration = Duration::from_secs(1200);
/// The size limit of the image.
const IMAGE: u64 = 20_000_000;
/// The watchdog's share of it, according to the binary of version 0.8.
const WATCHDOG: u64 = 8_000_000;

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>, programs: &Programs) {
    let home = stand.folder.path().join("user");
    let user = Arc::new(User {
        faas_cli: programs.faas_cli.clone(),
        faasflow: programs.faasflow.clone(),
        home,
        gateway: stand.url.clone(),
    });
    suite.check("faas-cli: template pull of this checkout, and new", new(user.clone())).await;
    if stand.real {
        // This does not depend on the gateway, so it runs only once.
        suite.check("faasflow new gives the same project", same_project(user.clone())).await;
        suite.check_within(BUILD, "the image's steps, with the handler's own test", handler_test(user.clone())).await;
    }
    suite.check_within(BUILD, "faas-cli: build --shrinkwrap, and what its Dockerfile runs", build(user.clone())).await;
    suite.check("faas-cli: deploy, list, describe", deploy(user.clone(), stand.clone())).await;
    suite.check("faas-cli: invoke, --query, --async", invoke(user.clone(), stand.clone())).await;
    suite
        .check(
            "invoke --sign: SHA-256 is verified, the SHA-1 of an old faas-cli refused",
            sign(user.clone(), stand.clone()),
        )
        .await;
    suite
        .check("faas-cli: a signed flow of three phases, with its secret", signed_flow(user.clone(), stand.clone()))
        .await;
    suite.check("faas-cli: secret create, list, update, remove", secrets(user.clone())).await;
    suite.check("faas-cli: logs, version, namespaces", looking(user.clone())).await;
    suite.check("faas-cli: remove", remove(user.clone())).await;
}

/// A user with a folder and faas-cli.
struct User {
    faas_cli: PathBuf,
    faasflow: PathBuf,
    home: PathBuf,
    gateway: String,
}

fn checkout() -> Result<PathBuf, String> {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().map_err(|error| error.to_string())
}

impl User {
    /// Runs a command in the user's folder. Returns both outputs.
    async fn run(&self, program: &Path, arguments: &[&str], input: &str) -> Result<String, String> {
        std::fs::create_dir_all(&self.home).map_err(|error| error.to_string())?;
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(&self.home)
            .env("HOME", &self.home)
            .env("OPENFAAS_URL", &self.gateway)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // The program may end without reading it.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await.map_err(|error| error.to_string())?;
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed).into_owned();
        if output.status.success() {
            Ok(printed)
        } else {
            Err(format!("`{}` ended with {}: {printed}", arguments.join(" "), output.status))
        }
    }

    async fn faas_cli(&self, line: &str) -> Result<String, String> {
        self.faas_cli_with(line, "").await
    }

    async fn faas_cli_with(&self, line: &str, input: &str) -> Result<String, String> {
        self.run(&self.faas_cli, &line.split_whitespace().collect::<Vec<_>>(), input).await
    }

    fn project(&self) -> PathBuf {
        self.home.join("my-flow")
    }

    fn write(&self, file: &str, text: &str) -> Result<(), String> {
        let path = self.home.join(file);
        let folder = path.parent().unwrap_or(&path);
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// There is no image here. The built program is deployed as a process, which the stack file names instead of the
    /// template's.
    fn deploy(&self, stack: &Path) -> String {
        format!("deploy -f {} --gateway {} --read-template=false", stack.display(), self.gateway)
    }

    /// The stack file of faas-cli. Its name depends on the version.
    fn stack(&self) -> Result<PathBuf, String> {
        let found = ["my-flow.yml", "stack.yaml", "stack.yml"].map(|name| self.home.join(name));
        found.into_iter().find(|path| path.is_file()).ok_or_else(|| "faas-cli wrote no stack file".to_owned())
    }
}

/// Cargo, with a target folder that is kept for the next run.
async fn cargo_like(program: &str, arguments: &[&str], folder: &Path, built: &str) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", checkout()?.join("target").join(built))
        .output()
        .await
        .map_err(|error| format!("{program}: {error}"))?;
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() {
        Ok(printed)
    } else {
        let tail: Vec<&str> = printed.lines().rev().take(25).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        Err(format!("`{program} {}` ended with {}:\n{}", arguments.join(" "), output.status, tail.join("\n")))
    }
}

async fn new(user: Arc<User>) -> Result<(), String> {
    let checkout = checkout()?;
    user.run(&user.faas_cli, &["template", "pull", &checkout.to_string_lossy()], "").await?;
    let printed = user.faas_cli("new --lang faasflow my-flow").await?;
    let next = ["my-flow", "src/lib.rs", "cargo test", "faasflow-hmac-secret", "faas-cli invoke"];
    let missing: Vec<_> = next.into_iter().filter(|what| !printed.contains(what)).collect();
    expect(missing.is_empty(), || format!("the welcome says nothing of {missing:?}: {printed}"))?;
    // The crates are not published yet. The guide says to name a checkout like this.
    let checkout = checkout.display();
    user.write(
        "my-flow/.cargo/config.toml",
        &format!(
            "[patch.crates-io]\nfaasflow = {{ path = \"{checkout}/crates/faasflow\" }}\n\
             faasflow-testkit = {{ path = \"{checkout}/crates/testkit\" }}\n"
        ),
    )
}

/// Runs a step of the template like its Dockerfile, in the build context that faas-cli has made.
async fn step(user: &User, step: &str, tests: bool) -> Result<String, String> {
    let context = user.home.join("build/my-flow");
    let dockerfile = std::fs::read_to_string(context.join("Dockerfile")).map_err(|error| error.to_string())?;
    expect(dockerfile.contains(&format!("build.sh {step}")), || format!("the Dockerfile has no step `{step}`"))?;
    let tests = format!("TESTS={}", u8::from(tests));
    cargo_like("env", &[&tests, "sh", "build.sh", step], &context, "e2e-template").await
}

async fn shrinkwrap(user: &User) -> Result<(), String> {
    user.faas_cli(&format!("build --shrinkwrap -f {}", user.stack()?.display())).await.map(drop)
}

async fn handler_test(user: Arc<User>) -> Result<(), String> {
    prepare(&user).await?;
    shrinkwrap(&user).await?;
    step(&user, "dependencies", true).await?;
    step(&user, "test-dependencies", true).await?;
    let printed = step(&user, "test", true).await?;
    expect(printed.contains("test result: ok. 1 passed"), || format!("no test ran: {printed}"))
}

/// Needed besides Rust; the image has it.
async fn prepare(user: &User) -> Result<(), String> {
    tools::debian("musl-tools", "musl-gcc").await?;
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    cargo_like("rustup", &["target", "add", &target], &user.home, "e2e-template").await.map(drop)
}

async fn same_project(user: Arc<User>) -> Result<(), String> {
    let other = tempfile::tempdir().map_err(|error| error.to_string())?;
    let output = Command::new(&user.faasflow)
        .args(["new", "my-flow"])
        .current_dir(other.path())
        .output()
        .await
        .map_err(|error| error.to_string())?;
    expect(output.status.success(), || String::from_utf8_lossy(&output.stderr).into_owned())?;
    let (ours, theirs) = (files(&other.path().join("my-flow"))?, files(&user.project())?);
    let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    expect(names(&ours) == names(&theirs), || format!("{:?} and {:?}", names(&ours), names(&theirs)))?;
    for ((name, ours), (_, theirs)) in ours.iter().zip(&theirs) {
        // Both name the checkout, but in different words. Cargo writes `Cargo.lock`.
        let own = name.starts_with(".cargo");
        expect(own || ours == theirs, || format!("{} is not the same", name.display()))?;
    }
    Ok(())
}

/// The files below a folder, without build results.
fn files(folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).map_err(|error| format!("{}: {error}", next.display()))? {
            let path = entry.map_err(|error| error.to_string())?.path();
            let name = path.strip_prefix(folder).map_err(|error| error.to_string())?.to_owned();
            if name.ends_with("Cargo.lock") || name.starts_with("target") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((name, std::fs::read(&path).map_err(|error| error.to_string())?));
            }
        }
    }
    found.sort();
    Ok(found)
}

async fn build(user: Arc<User>) -> Result<(), String> {
    prepare(&user).await?;
    user.write("my-flow/src/lib.rs", LIB)?;
    shrinkwrap(&user).await?;
    step(&user, "dependencies", false).await?;
    let printed = step(&user, "flow", false).await?;
    let compiled: Vec<&str> = printed.lines().filter_map(|line| line.trim().strip_prefix("Compiling ")).collect();
    let only_the_flow = matches!(compiled.as_slice(), [one] if one.starts_with("flow v"));
    expect(only_the_flow, || format!("besides the flow, the second step compiled {compiled:?}"))?;
    let context = user.home.join("build/my-flow");
    let program = context.join("flow");
    let size = std::fs::metadata(&program).map_err(|error| format!("{}: {error}", program.display()))?.len();
    println!("          (the flow's program: {:.1} MB, static)", size as f64 / 1e6);
    let limit = IMAGE - WATCHDOG;
    expect(size < limit, || format!("the program has {size} bytes, and {limit} are left for it"))?;
    let kind = std::fs::read(&program).map_err(|error| error.to_string())?;
    let names = |loader: &[u8]| kind.windows(loader.len()).any(|bytes| bytes == loader);
    let interpreted = names(b"/ld-linux-") || names(b"/ld-musl-");
    expect(!interpreted, || "the program is linked dynamically".to_owned())
}

async fn deploy(user: Arc<User>, stand: Arc<Stand>) -> Result<(), String> {
    let stack = user.stack()?;
    let text = std::fs::read_to_string(&stack).map_err(|error| error.to_string())?;
    let program = user.home.join("build/my-flow/flow");
    let text = format!(
        "{}\n    fprocess: {}\n    environment:\n      mode: http\n      workflow_name: my-flow\n      write_debug: true\n",
        text.trim_end(),
        program.display()
    );
    std::fs::write(&stack, text).map_err(|error| error.to_string())?;
    // The deployed program is that of the image. There is no image here, and the suite reports that.
    let plain = user.faas_cli(&format!("deploy -f {}", stack.display())).await;
    let printed = plain.as_ref().map_or_else(String::as_str, String::as_str);
    expect(printed.contains("`./flow` is not on this machine"), || format!("a deployment of the image: {plain:?}"))?;
    let deploy = user.deploy(&stack);
    let printed = user.faas_cli(&deploy).await?;
    expect(printed.contains("202"), || format!("deploy said: {printed}"))?;
    stand.until_ready().await?;
    // An existing function is replaced.
    let printed = user.faas_cli(&deploy).await?;
    expect(printed.contains("202"), || format!("the second deploy said: {printed}"))?;
    stand.until_ready().await?;
    let printed = user.faas_cli("list").await?;
    expect(printed.contains("my-flow") && printed.contains("relay"), || format!("list said: {printed}"))?;
    let printed = user.faas_cli("describe my-flow").await?;
    expect(printed.contains("my-flow") && printed.contains("Ready"), || format!("describe said: {printed}"))
}

async fn invoke(user: Arc<User>, stand: Arc<Stand>) -> Result<(), String> {
    let printed = user.faas_cli_with("invoke my-flow", "Ada").await?;
    expect(printed.contains("Hello, Ada"), || format!("invoke said: {printed}"))?;
    let printed = user.faas_cli_with("invoke my-flow --query mark=!!", "Grace").await?;
    expect(printed.contains("Hello, Grace!!"), || format!("invoke --query said: {printed}"))?;
    stand.recorder.clear();
    let printed = user.faas_cli_with("invoke my-flow --async", "queued").await?;
    expect(printed.contains("asynchronously"), || format!("invoke --async said: {printed}"))?;
    let seen = stand.recorder.until("one", 1, PATIENCE).await?;
    expect(seen[0].body == "queued", || format!("`one` was sent {:?}", seen[0].body))
}

async fn sign(user: Arc<User>, stand: Arc<Stand>) -> Result<(), String> {
    let stack = user.stack()?;
    let text = std::fs::read_to_string(&stack).map_err(|error| error.to_string())?;
    let text = format!("{text}      verify_request: true\n    secrets: [faasflow-hmac-secret]\n");
    std::fs::write(&stack, text).map_err(|error| error.to_string())?;
    user.faas_cli(&user.deploy(&stack)).await?;
    stand.until_ready().await?;
    let key = std::fs::read_to_string(stand.folder.path().join(".faasflow/secrets/faasflow-hmac-secret"));
    let key = key.map_err(|error| error.to_string())?;
    // The previous one serves until this one is ready.
    let refused =
        |printed: &Result<String, String>| printed.as_ref().is_err_and(|printed| printed.contains("Unauthorized"));
    let mut unsigned = Ok(String::new());
    for _ in 0..100 {
        unsigned = user.faas_cli_with("invoke my-flow", "Ada").await;
        if refused(&unsigned) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    expect(refused(&unsigned), || format!("unsigned: {unsigned:?}"))?;
    let old = user.faas_cli_with(&format!("invoke my-flow --sign X-Hub-Signature --key {key}"), "Ada").await;
    expect(refused(&old), || format!("SHA-1: {old:?}"))?;
    let arguments = ["invoke", "my-flow", "--sign", "X-Hub-Signature", "--key", &key];
    let printed = user.run(&user.faasflow, &arguments, "Ada").await?;
    expect(printed.contains("Hello, Ada"), || format!("SHA-256: {printed}"))
}

async fn signed_flow(user: Arc<User>, stand: Arc<Stand>) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let program = own.with_file_name("e2e-flow");
    let deploy = format!(
        "deploy --image relay:latest --name deployed --fprocess {} --env mode=http --env E2E_FLOW=relay \
         --env workflow_name=deployed --secret faasflow-hmac-secret",
        program.display()
    );
    let printed = user.faas_cli(&deploy).await?;
    expect(printed.contains("202"), || format!("deploy said: {printed}"))?;
    stand.until_ready().await?;
    stand.recorder.clear();
    user.faas_cli_with("invoke deployed --async", "signed").await?;
    stand.recorder.until_sent("three", "signed", 1, PATIENCE).await?;
    user.faas_cli("remove deployed").await.map(drop)
}

async fn secrets(user: Arc<User>) -> Result<(), String> {
    user.faas_cli("secret create e2e-secret --from-literal one-value").await?;
    let printed = user.faas_cli("secret list").await?;
    expect(printed.contains("e2e-secret") && !printed.contains("one-value"), || format!("list said: {printed}"))?;
    user.faas_cli("secret update e2e-secret --from-literal another").await?;
    user.faas_cli("secret remove e2e-secret").await?;
    let printed = user.faas_cli("secret list").await?;
    expect(!printed.contains("e2e-secret"), || format!("list said: {printed}"))
}

async fn looking(user: Arc<User>) -> Result<(), String> {
    let printed = user.faas_cli("logs my-flow --tail=false").await?;
    expect(printed.contains("Request `"), || format!("logs said: {printed}"))?;
    let printed = user.faas_cli("version --warn-update=false").await?;
    let provider = printed.lines().any(|line| line.contains("name:") && line.contains("faasflow"));
    expect(provider, || format!("version said: {printed}"))?;
    let printed = user.faas_cli("namespaces").await?;
    expect(printed.contains("openfaas-fn"), || format!("namespaces said: {printed}"))
}

async fn remove(user: Arc<User>) -> Result<(), String> {
    user.faas_cli("remove my-flow").await?;
    let printed = user.faas_cli("list").await?;
    expect(!printed.contains("my-flow"), || format!("list said: {printed}"))?;
    let gone = user.faas_cli_with("invoke my-flow", "Ada").await;
    expect(gone.is_err(), || format!("it is still there: {gone:?}"))
}

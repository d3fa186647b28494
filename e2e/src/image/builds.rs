//! Checks the results of `faas-cli build`, and its messages if it fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shop;
use super::project::{BuildOutput, NAME, tail};
use crate::docker::Docker;
use crate::suite::{Suite, expect};

/// The time limit for a build of everything, on a slow and busy machine.
pub(super) const BUILD: Duration = Duration::from_secs(1800);
/// The wall-clock time limit for a build after a change of the handler, even on a busy machine.
const REBUILD: Duration = Duration::from_secs(60);
/// The size limit of the bare image.
const BARE: u64 = 10_000_000;

/// The flow alone.
pub(super) const BARE_IMAGE: &str = "my-flow:bare";
/// The flow behind the watchdog.
pub(super) const WATCHDOG_IMAGE: &str = "my-flow:watchdog";

/// The edited handler: the flow of the template, unless `E2E_FLOW` names another.
const LIB: &str = r#"//! The flow, edited in RUN.

use faasflow::bytes::Bytes;
use faasflow::{DefinitionError, Flow};

/// The steps, in order.
pub fn define() -> Result<Flow, DefinitionError> {
    match std::env::var("E2E_FLOW").as_deref() {
        Ok("pass") => Flow::builder().modify(pass).build(),
        Ok("relay") => Flow::builder().apply("one").modify(pass).apply("two").build(),
        _ => Flow::builder().modify(greet).build(),
    }
}

async fn pass(payload: Bytes) -> Bytes {
    payload
}

async fn greet(name: String) -> String {
    format!("Hello, {}!", name.trim())
}
"#;

/// The handler is different in each run, because the engine still has the results of the last one.
fn lib(shop: &Shop) -> String {
    LIB.replace("RUN", &shop.run)
}

/// Builds the unchanged project.
pub(super) async fn run(suite: &Suite, shop: &Arc<Shop>) {
    suite.check_within(BUILD, "faas-cli build of what `faas-cli new` made, bare", bare(shop.clone())).await;
}

/// The later builds.
pub(super) async fn run_more(suite: &Suite, shop: &Arc<Shop>) {
    suite
        .check_within(
            BUILD,
            "a change of the handler is built in under a minute, and nothing else",
            rebuild(shop.clone()),
        )
        .await;
    suite.check_within(BUILD, "the same behind the watchdog", watchdog(shop.clone())).await;
    suite.check_within(BUILD, "a broken handler: rustc's message, and no more than needed", broken(shop.clone())).await;
    suite.check_within(BUILD, "TESTS=1: the handler's tests run, and the flow is built", tested(shop.clone())).await;
    suite.check_within(BUILD, "TESTS=1: a test that fails stops the build, and says so", failing(shop.clone())).await;
}

/// The bytes of an image.
pub(super) async fn size(docker: &Docker, image: &str) -> Result<u64, String> {
    let text = docker.run(&["image", "inspect", "--format", "{{.Size}}", image]).await?;
    text.parse().map_err(|_| format!("docker says that {image} has {text} bytes"))
}

async fn say(shop: &Shop, image: &str, built: &BuildOutput) -> Result<u64, String> {
    let size = size(&shop.docker, image).await?;
    println!("          ({image}: {:.1} MB, built in {:.0} s)", size as f64 / 1e6, built.took.as_secs_f64());
    Ok(size)
}

async fn bare(shop: Arc<Shop>) -> Result<(), String> {
    let built = shop.project.build(BARE_IMAGE, &["RUNTIME=bare"]).await.map_err(|printed| tail(&printed))?;
    let size = say(&shop, BARE_IMAGE, &built).await?;
    expect(size <= BARE, || format!("the bare image has {size} bytes, more than {BARE}"))
}

/// The crates that a step compiled.
fn compiled(step: &str) -> Vec<&str> {
    step.lines().filter_map(|line| line.trim().strip_prefix("Compiling ")).collect()
}

async fn rebuild(shop: Arc<Shop>) -> Result<(), String> {
    shop.project.write("src/lib.rs", &lib(&shop))?;
    let before = shop.docker.processor_time()?;
    let built = shop.project.build(BARE_IMAGE, &["RUNTIME=bare"]).await.map_err(|printed| tail(&printed))?;
    let processor = shop.docker.processor_time()?.saturating_sub(before);
    println!("          ({:.0} s of processor time)", processor.as_secs_f64());
    say(&shop, BARE_IMAGE, &built).await?;
    let dependencies = built.step("sh build.sh dependencies")?;
    expect(dependencies.contains("Using cache"), || format!("dependencies are built again: {dependencies}"))?;
    let compiled = compiled(built.step("sh build.sh flow")?);
    let only_the_flow = matches!(compiled.as_slice(), [one] if one.starts_with("flow v"));
    expect(only_the_flow, || format!("besides the flow, this was compiled: {compiled:?}"))?;
    expect(built.took < REBUILD, || format!("it took {:?}, not under {REBUILD:?}", built.took))
}

async fn watchdog(shop: Arc<Shop>) -> Result<(), String> {
    let built = shop.project.build(WATCHDOG_IMAGE, &[]).await.map_err(|printed| tail(&printed))?;
    let whole = say(&shop, WATCHDOG_IMAGE, &built).await?;
    let flow = size(&shop.docker, BARE_IMAGE).await?;
    println!("          ({:.1} MB of it are the stand-in for the watchdog)", (whole - flow) as f64 / 1e6);
    // The program is the same, so nothing is compiled for the watchdog.
    let compiled = compiled(built.step("sh build.sh flow")?);
    expect(compiled.is_empty(), || format!("this was compiled: {compiled:?}"))
}

async fn broken(shop: Arc<Shop>) -> Result<(), String> {
    shop.project.write("src/lib.rs", &format!("{}\nfn broken() -> u32 {{\n    \"a text\"\n}}\n", lib(&shop)))?;
    let built = shop.project.build("my-flow:broken", &["RUNTIME=bare"]).await;
    shop.project.write("src/lib.rs", &lib(&shop))?;
    let Err(printed) = built else { return Err("it was built".to_owned()) };
    let (_, failed) =
        printed.split_once("sh build.sh flow").ok_or_else(|| format!("it failed before: {}", tail(&printed)))?;
    let of_rustc = failed.contains("error[E0308]: mismatched types") && failed.contains("--> src/lib.rs:");
    expect(of_rustc, || format!("rustc's message is not there: {failed}"))?;
    let lines = failed.lines().count();
    println!("          (its last {lines} lines:)");
    for line in failed.lines().skip(1) {
        println!("          | {line}");
    }
    expect(!failed.contains("not published yet"), || "it speaks of crates that are there".to_owned())?;
    expect(lines <= 30, || format!("{lines} lines are more than needed"))
}

async fn tested(shop: Arc<Shop>) -> Result<(), String> {
    let built =
        shop.project.build("my-flow:tested", &["RUNTIME=bare", "TESTS=1"]).await.map_err(|printed| tail(&printed))?;
    say(&shop, "my-flow:tested", &built).await?;
    let dependencies = built.step("sh build.sh dependencies")?;
    expect(dependencies.contains("Using cache"), || format!("dependencies are built again: {dependencies}"))?;
    let ran = built.step("sh build.sh test\n")?;
    expect(ran.contains("test it_greets ... ok"), || format!("the test of {NAME} did not run: {ran}"))?;
    let compiled = compiled(ran);
    let only_the_flow = compiled.iter().all(|one| one.starts_with("flow v"));
    expect(only_the_flow, || format!("dependencies of tests are not kept, but compiled again: {compiled:?}"))
}

async fn failing(shop: Arc<Shop>) -> Result<(), String> {
    const IMAGE: &str = "my-flow:failing";
    let begun = Instant::now();
    shop.project.write("src/lib.rs", &lib(&shop).replace("Hello, {}", "Bye, {}"))?;
    let built = shop.project.build(IMAGE, &["RUNTIME=bare", "TESTS=1"]).await;
    shop.project.write("src/lib.rs", &lib(&shop))?;
    let Err(printed) = built else { return Err("it was built".to_owned()) };
    let (_, failed) =
        printed.split_once("sh build.sh test\n").ok_or_else(|| format!("it failed before: {}", tail(&printed)))?;
    println!("          (it failed after {:.0} s; its last lines:)", begun.elapsed().as_secs_f64());
    for line in tail(failed).lines() {
        println!("          | {line}");
    }
    for what in ["test it_greets ... FAILED", "Bye, Ada!", "build.sh: the flow's tests failed"] {
        expect(failed.contains(what), || format!("`{what}` is not said: {}", tail(failed)))?;
    }
    expect(!failed.contains("sh build.sh flow"), || format!("the build went on: {}", tail(failed)))?;
    let made = shop.docker.run(&["image", "inspect", IMAGE]).await;
    expect(made.is_err(), || "there is an image all the same".to_owned())
}

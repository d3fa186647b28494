//! The deployed program, as a process of its own.
//!
//! This file is both: started under the name of one of its flows it is that flow's program, which is what a user
//! deploys and nothing else; started as a test it starts itself so and looks at what the process does.

use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use faasflow::{Call, Context, DefinitionError, Error, Flow, Json, Outcome, Query};

mod child;
mod limited;
mod logging;
mod running;
mod start_up;
mod stopping;
mod watchdog;

/// The names that a child is started under: see [`child::Program`].
const PREFIX: &str = "served-";

fn main() -> faasflow::Result<()> {
    let started_as = std::env::args().next().unwrap_or_default();
    match started_as.strip_prefix(PREFIX) {
        Some("limited") => with_512_mb("served-calling"),
        Some(flow) => faasflow::serve(define(flow)?),
        None => test(),
    }
}

/// Starts this program anew, as in a small container on any machine: from its first allocation on.
fn with_512_mb(name: &str) -> faasflow::Result<()> {
    rlimit::Resource::DATA.set(512 << 20, 512 << 20).expect("the limit can be lowered");
    let error = std::process::Command::new(std::env::current_exe()?).arg0(name).exec();
    Err(error.into())
}

fn define(flow: &str) -> Result<Flow, DefinitionError> {
    let flow = match flow {
        "hello" => Flow::builder().modify(async |name: String| format!("Hello, {name}!")),
        "photo" => Flow::builder().modify(keep).apply("facedetect").finally(async |_: Context, _: Outcome| ()),
        "talkative" => Flow::builder().modify(async |text: String| {
            tracing::warn!(at = 2, of = text, request = "another\n", "looked twice");
            text
        }),
        "panicking" => Flow::builder().modify(async |_: String| -> String { panic!("two\nlines") }),
        "unspeakable" => Flow::builder()
            .modify(async |_: ()| Err::<(), _>(Unspeakable.into()))
            .finally(async |_: Context, _: Outcome| ()),
        "loud" => Flow::builder().modify(async |text: String| tracing::info!("{text}")),
        "loud-error" => Flow::builder().modify(async |text: String| Err::<(), _>(Error::msg(text))),
        "loud-panic" => Flow::builder().modify(async |text: String| -> String { panic!("{text}") }),
        "aborting-loudly" => Flow::builder().modify(async |text: String| {
            (0..20).for_each(|number| tracing::info!("line number {number} {text}"));
            abort();
        }),
        "aborting" => Flow::builder().modify(async |_: ()| abort()),
        "calling" => Flow::builder().apply("facedetect"),
        "asking" => Flow::builder().modify(async |_: Query<QualityQuery>, Json(_): Json<u32>| "done"),
        "two-phases" => Flow::builder().apply("facedetect").modify(keep).apply("compress"),
        "blocking" => Flow::builder().modify(async |_: ()| std::thread::sleep(Duration::from_secs(120))),
        "verbose-error" => Flow::builder().modify(async |_: ()| Err::<(), _>(Error::msg("line one\r\nline two\n"))),
        "callback" => Flow::builder()
            .callback("http://example.com/x?token=secret")
            .apply(Call::new("a"))
            .state(faasflow::Memory::new()),
        _ => Flow::builder(),
    };
    flow.build()
}

/// An error that the log cannot show.
#[derive(Debug)]
struct Unspeakable;

impl std::error::Error for Unspeakable {}

impl std::fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("secret text")
    }
}

fn abort() {
    eprintln!("last words");
    std::process::abort()
}

#[derive(serde::Deserialize)]
struct QualityQuery {
    #[expect(dead_code, reason = "only read")]
    quality: Quality,
}

#[derive(serde::Deserialize)]
enum Quality {
    #[serde(rename = "1")]
    Low,
}

async fn keep(context: Context, photo: String) -> faasflow::Result<String> {
    context.set("photo", &photo).await?;
    Ok(photo)
}

fn test() -> ! {
    let arguments = libtest_mimic::Arguments::from_args();
    let tests =
        [start_up::TESTS, running::TESTS, limited::TESTS, logging::TESTS, stopping::TESTS].into_iter().flatten();
    let trials = tests.map(|&(name, test)| {
        libtest_mimic::Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit()
}

/// A table of the tests of a module, by their names.
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        pub(crate) const TESTS: &[(&str, fn())] = &[$((stringify!($test), $test)),*];
    };
}
pub(crate) use tests;

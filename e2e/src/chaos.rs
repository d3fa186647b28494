//! Kills the gateway, a flow and a function at random under load, and reports what became of the requests.

mod arguments;
mod backing;
mod keys;
mod load;
mod schedule;
mod shape;
mod stand;
mod tally;

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use arguments::Arguments;
use keys::{Keys, KillTime};
use load::Load;
use schedule::Target;
use shape::Shape;
use stand::Stand;
use tally::Tally;

/// If no request ends for this long, the open ones are lost. This is more than twice the time that a phase may take and
/// the queue may wait before it delivers again.
const STANDSTILL: Duration = Duration::from_secs(180);

/// Runs the load and the kills. Fails if a request was lost, failed, or ended in two ways.
pub(crate) async fn run(arguments: Arguments) -> Result<(), String> {
    let folder = tempfile::Builder::new().prefix("faasflow-chaos").tempdir().map_err(|error| error.to_string())?;
    println!(
        "{} requests of {}, {} kills, seed {}",
        arguments.requests, arguments.shape, arguments.kills, arguments.seed
    );
    let tally = Arc::new(Tally::new(arguments.requests));
    let ran = attack(&arguments, &tally, folder.path()).await;
    let clean = ran.as_ref().is_ok_and(|()| tally.faults(arguments.requests).is_empty());
    if !clean {
        println!("\nThe logs of the gateway, the flow and the function are in {}", folder.keep().display());
    }
    ran
}

async fn attack(arguments: &Arguments, tally: &Arc<Tally>, folder: &std::path::Path) -> Result<(), String> {
    let begun = Instant::now();
    let mut stand = Stand::start(folder, arguments.shape, tally).await?;
    let load = Load::start(arguments.requests, arguments.shape, &stand, tally);
    let mut progress = Progress::new(arguments.requests);
    let (mut made, mut killed) = ([0_usize; Target::ALL.len()], Vec::new());
    for kill in schedule::schedule(arguments.seed, arguments.requests, arguments.kills) {
        until_ended(tally, kill.after, &mut progress).await?;
        killed.push(stand.restart(kill.target, kill.pause).await?);
        made[kill.target as usize] += 1;
        progress.kills += 1;
    }
    until_ended(tally, arguments.requests, &mut progress).await.or_else(|why| {
        // Open requests are a finding, which the table shows.
        println!("\n{why}");
        Ok::<_, String>(())
    })?;
    load.stop().await;
    progress.finish();
    let took = begun.elapsed();
    let dead_letters = stand.dead_letters().await?;
    let keys = Keys::read(&stand.keys())?;
    let kills: Vec<String> =
        Target::ALL.iter().map(|&target| format!("{} {}", made[target as usize], target.as_str())).collect();
    println!();
    for (what, figure) in [
        ("accepted", tally.accepted().to_string()),
        ("ended", tally.ended().to_string()),
        ("lost", tally.lost().to_string()),
        ("ended twice", tally.ended_twice().to_string()),
        ("reported again, the same", tally.reported_again().to_string()),
        ("ended with different outcomes", tally.different_outcomes().to_string()),
        ("failed by a kill", tally.failed().to_string()),
        ("ended with a wrong payload", tally.wrong_payloads().to_string()),
        ("dead letters", dead_letters.to_string()),
        ("steps", keys.distinct().to_string()),
        ("steps executed more than once", keys.repeated().to_string()),
        ("the most executions of one step", keys.most().to_string()),
        ("repetitions without a kill in", keys.unexplained(&killed, arguments.shape).to_string()),
        ("steps with different inputs", keys.different().to_string()),
        ("joins fired", keys.joins().to_string()),
        ("kills", format!("{} ({})", made.iter().sum::<usize>(), kills.join(", "))),
        ("seconds", format!("{:.0}", took.as_secs_f64())),
        ("requests a second", format!("{:.0}", tally.ended() as f64 / took.as_secs_f64())),
    ] {
        println!("{what:>32}  {figure}");
    }
    println!("\nTo repeat it: cargo xtask chaos {arguments}");
    let mut faults = tally.faults(arguments.requests);
    if made.iter().sum::<usize>() != arguments.kills {
        faults.push(format!("{} kills were made, not {}", made.iter().sum::<usize>(), arguments.kills));
    }
    faults.extend(step_faults(&keys, &killed, arguments.shape, tally.ended()));
    if faults.is_empty() {
        return Ok(());
    }
    for example in tally.examples(10) {
        println!("{example}");
    }
    Err(faults.join("; "))
}

/// Faults in the steps, after all requests have ended.
fn step_faults(keys: &Keys, killed: &[KillTime], shape: Shape, ended: usize) -> Vec<String> {
    let mut faults = Vec::new();
    // With fewer, a request has ended although one of its steps was never executed. With more, a step was executed under two keys.
    for (what, found, expected) in [
        ("different steps were executed", keys.distinct(), shape.steps()),
        ("joins fired", keys.joins(), shape.joins()),
    ] {
        if found != ended * expected {
            faults.push(format!("{found} {what}, not {}", ended * expected));
        }
    }
    let unexplained = keys.unexplained(killed, shape);
    if unexplained > 0 {
        faults.push(format!("{unexplained} steps were repeated more often than the kills can explain"));
    }
    if keys.different() > 0 {
        faults.push(format!("{} steps had different inputs when they were repeated", keys.different()));
    }
    faults
}

/// Waits until this many requests have ended.
async fn until_ended(tally: &Tally, count: usize, progress: &mut Progress) -> Result<(), String> {
    let (mut last, mut since) = (tally.ended(), Instant::now());
    while tally.ended() < count {
        tokio::time::sleep(Duration::from_millis(2)).await;
        progress.show(tally);
        match tally.ended() {
            ended if ended == last => {
                if since.elapsed() > STANDSTILL {
                    return Err(format!("no request has ended for {} seconds", STANDSTILL.as_secs()));
                }
            }
            ended => (last, since) = (ended, Instant::now()),
        }
    }
    Ok(())
}

/// The progress of a run.
struct Progress {
    requests: usize,
    kills: usize,
    shown: Instant,
    every: Duration,
    line: bool,
}

impl Progress {
    fn new(requests: usize) -> Progress {
        let line = std::io::stdout().is_terminal();
        let every = Duration::from_secs(if line { 1 } else { 30 });
        Progress { requests, kills: 0, shown: Instant::now(), every, line }
    }

    fn show(&mut self, tally: &Tally) {
        if self.shown.elapsed() < self.every {
            return;
        }
        self.shown = Instant::now();
        let text = format!("{} of {} ended, {} kills", tally.ended(), self.requests, self.kills);
        if self.line {
            print!("\r\x1b[2K{text}");
            let _ = std::io::stdout().flush();
        } else {
            println!("{text}");
        }
    }

    fn finish(&self) {
        if self.line {
            print!("\r\x1b[2K");
        }
    }
}

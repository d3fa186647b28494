//! The fallback without cargo-fuzz: runs the same checks on stable Rust, with mutations that are not guided by
//! coverage.
//!
//! `smash [--seconds N] [--seed N] [envelope | signature]`

use std::io::Write as _;
use std::time::{Duration, Instant};

type Body = fn(&[u8]);

const TARGETS: [(&str, Body, &[u8]); 2] = [
    ("envelope", faasflow_fuzz::envelope, faasflow_fuzz::ENVELOPE_SEED),
    ("signature", faasflow_fuzz::signature, faasflow_fuzz::SIGNATURE_SEED),
];

/// The offsets of an envelope's header and of its length.
const HEADER: usize = 14;
const HEADER_LENGTH: std::ops::Range<usize> = 10..14;

fn main() {
    let mut seconds = 10;
    let mut seed = 1;
    let mut only = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => seconds = number(&argument, arguments.next()),
            "--seed" => seed = number(&argument, arguments.next()),
            name if TARGETS.iter().any(|target| target.0 == name) => only = Some(argument),
            other => usage(&format!("`{other}` is neither an option nor a target")),
        }
    }
    let chosen: Vec<_> = TARGETS.iter().filter(|target| only.as_ref().is_none_or(|only| only == target.0)).collect();
    println!("smash: the fallback for cargo-fuzz, without coverage; seed {seed}, {seconds} s");
    let share = Duration::from_secs(seconds) / u32::try_from(chosen.len()).unwrap_or(1);
    for &&(name, body, start) in &chosen {
        run(name, body, start, seed, share);
    }
}

fn run(name: &str, body: Body, start: &[u8], seed: u64, share: Duration) {
    let mut dice = Dice(seed ^ 0x9e37_79b9_7f4a_7c15);
    let until = Instant::now() + share;
    let mut count = 0u64;
    let mut input = Vec::new();
    // The first input is the seed itself.
    input.extend_from_slice(start);
    while count == 0 || Instant::now() < until {
        // Reading the clock for each input would be slow.
        for _ in 0..256 {
            let checked = std::panic::catch_unwind(|| body(&input));
            if checked.is_err() {
                let file = format!("smash-{name}-{seed}-{count}.bin");
                let written = std::fs::write(&file, &input);
                let where_it_is = written.map_or_else(|error| format!("not written: {error}"), |()| file);
                eprintln!("smash: {name} broke on input {count} of seed {seed}; the input: {where_it_is}");
                std::process::exit(1);
            }
            count += 1;
            mutate(&mut input, start, &mut dice, name == "envelope");
        }
    }
    println!("smash: {name}: {count} inputs, none broke it");
    let _ = std::io::stdout().flush();
}

/// Every other input is the seed with one to eight changes.
fn mutate(input: &mut Vec<u8>, start: &[u8], dice: &mut Dice, envelope: bool) {
    input.clear();
    input.extend_from_slice(start);
    for _ in 0..=dice.below(8) {
        let at = dice.below(input.len().max(1));
        match dice.below(9) {
            0 if !input.is_empty() => input[at] ^= 1 << dice.below(8),
            1 if !input.is_empty() => input[at] = dice.byte(),
            2 => input.truncate(at),
            3 => input.insert(at.min(input.len()), dice.byte()),
            4 => {
                let end = (at + dice.below(16)).min(input.len());
                input.drain(at.min(end)..end);
            }
            5 => {
                let end = (at + dice.below(64)).min(input.len());
                let piece = input[at.min(end)..end].to_vec();
                let to = dice.below(input.len() + 1);
                input.splice(to..to, piece);
            }
            6 => {
                // Replaces a digit by another, which changes lengths and numbers in the JSON.
                if let Some(digit) = input.iter_mut().skip(at).find(|byte| byte.is_ascii_digit()) {
                    *digit = b'0' + dice.byte() % 10;
                }
            }
            7 => {
                const WORDS: [&[u8]; 8] =
                    [b"null", b"-1", b"18446744073709551615", b"{}", b"[]", b"\"\"", b"\\u0000", b"\xc3\xa9"];
                let to = at.min(input.len());
                input.splice(to..to, WORDS[dice.below(WORDS.len())].iter().copied());
            }
            _ => input.extend((0..dice.below(32)).map(|_| dice.byte()).collect::<Vec<_>>()),
        }
    }
    // Most changes to the header make its length wrong, and the parser would stop there. So half of the inputs get a
    // correct length.
    if envelope && input.len() > HEADER && dice.below(2) == 0 {
        let payload = input.len().min(start.len()) - HEADER;
        let before = u32::from_be_bytes([start[10], start[11], start[12], start[13]]) as usize;
        let grown = (before + input.len()).saturating_sub(start.len()).min(payload + 64).min(input.len() - HEADER);
        input[HEADER_LENGTH].copy_from_slice(&u32::try_from(grown).unwrap_or(u32::MAX).to_be_bytes());
    }
}

/// A deterministic generator (SplitMix64), so that a seed and a number identify an input.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end.max(1) as u64).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.roll().to_le_bytes()[0]
    }
}

fn number(option: &str, value: Option<String>) -> u64 {
    let Some(value) = value else { usage(&format!("`{option}` needs a number")) };
    value.parse().unwrap_or_else(|_| usage(&format!("`{option}` takes a number, `{value}` is none")))
}

fn usage(what: &str) -> ! {
    eprintln!("smash: {what}\nusage: smash [--seconds N] [--seed N] [envelope | signature]");
    std::process::exit(2);
}

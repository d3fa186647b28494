//! The phases of a flow: a pure function of its steps.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::flow::Action;

/// The phases of a flow, and a fingerprint of their shape.
///
/// The rule: a flow starts with an empty first phase. A modifier, a callback or a `sync` call joins the current
/// phase. An asynchronous call starts a new phase, except when no call has yet been placed in the first
/// phase, which it then joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The end of each phase in the list of steps.
    ends: Vec<usize>,
    shape: String,
    fingerprint: Fingerprint,
}

impl Plan {
    pub(crate) fn of<'a>(actions: impl Iterator<Item = &'a Action>) -> Plan {
        let actions: Vec<&Action> = actions.collect();
        let ends = phase_ends(actions.iter().map(|action| Placement::of(action)));
        let shape = shape(&actions, &ends);
        let fingerprint = Fingerprint::of(&shape);
        Plan { ends, shape, fingerprint }
    }

    /// How many phases; at least one.
    #[must_use]
    pub fn phase_count(&self) -> usize {
        self.ends.len()
    }

    /// Where a request begins.
    #[must_use]
    pub fn start(&self) -> Position {
        Position { phase: 1 }
    }

    /// The position after this one; `None` at the end of the flow.
    #[must_use]
    pub fn after(&self, position: Position) -> Option<Position> {
        let next = Position { phase: position.phase + 1 };
        self.steps_at(next).map(|_| next)
    }

    /// The steps to execute at a position, as a range in the list of steps; `None` if the flow has no such
    /// position.
    #[must_use]
    pub fn steps_at(&self, position: Position) -> Option<Range<usize>> {
        let index = usize::try_from(position.phase).ok()?.checked_sub(1)?;
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(start..end)
    }

    /// The phases as ranges in the list of steps.
    pub fn phases(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends.iter().copied()).map(|(start, end)| start..end)
    }

    /// What the fingerprint is made of: the kinds of the steps and the names of the functions, phase by phase,
    /// such as `[modifier, call facedetect] [call compress, callback]`. Options, URLs and the names of modifiers
    /// are no part of it: they may change while requests are on their way.
    #[must_use]
    pub fn shape(&self) -> &str {
        &self.shape
    }

    /// Changes when, and only when, the shape does.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// Where a request stands in a plan: the phase to execute next. Made by a [`Plan`], carried by an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    phase: u32,
}

impl Position {
    /// The number of the phase, from 1.
    #[must_use]
    pub fn phase(self) -> usize {
        self.phase as usize
    }
}

/// How a step is placed, which is all that planning knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placement {
    Joins,
    SyncCall,
    AsyncCall,
}

impl Placement {
    fn of(action: &Action) -> Placement {
        match action {
            Action::Modify(_) | Action::Callback(_) => Placement::Joins,
            Action::Call(call) if call.is_sync() => Placement::SyncCall,
            Action::Call(_) => Placement::AsyncCall,
        }
    }
}

fn phase_ends(placements: impl Iterator<Item = Placement>) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut called = false;
    let mut count = 0;
    for placement in placements {
        if placement == Placement::AsyncCall && called {
            ends.push(count);
        }
        called |= placement != Placement::Joins;
        count += 1;
    }
    ends.push(count);
    ends
}

fn shape(actions: &[&Action], ends: &[usize]) -> String {
    let mut shape = String::new();
    let mut start = 0;
    for &end in ends {
        let steps: Vec<String> = actions[start..end]
            .iter()
            .map(|action| match action {
                Action::Call(call) => format!("call {}", call.function()),
                Action::Modify(_) => "modifier".to_owned(),
                Action::Callback(_) => "callback".to_owned(),
            })
            .collect();
        if start > 0 {
            shape.push(' ');
        }
        shape.push_str(&format!("[{}]", steps.join(", ")));
        start = end;
    }
    shape
}

/// The first 128 bits of the SHA-256 of a plan's shape, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    fn of(shape: &str) -> Fingerprint {
        let digest = Sha256::digest(shape.as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        Fingerprint(first)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.to_string()
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Fingerprint, &'static str> {
        let mut bytes = [0; 16];
        crate::hex::decode(&text, &mut bytes).ok_or("a fingerprint is 32 hexadecimal digits")?;
        Ok(Fingerprint(bytes))
    }
}

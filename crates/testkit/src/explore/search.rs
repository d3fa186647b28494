//! Visits all states, breadth first, or the states of random orders.

use std::collections::BTreeMap;

use super::act::Actions;
use super::cost::Cost;
use super::explored::Explored;
use super::hashing::fingerprint;
use super::known::Known;
use super::seed::{self, Random};
use super::setup::Setup;
use super::state::{Move, State, outcome_of};
use super::tell::tell;
use super::violation::Violation;
use super::world::World;

/// The state from which a state was first reached, and the index of the move that led to it.
#[derive(Clone, Copy)]
struct Origin {
    parent: u32,
    choice: u16,
}

fn world(setup: &Setup) -> World<'_> {
    World::new(setup)
}

/// Whether nothing needs to happen any more.
fn is_last(moves: &[Move]) -> bool {
    moves.iter().all(|this| this.is_optional())
}

/// Visits every state, the nearest first. So no violation is shorter than the first one that is found.
pub(super) fn exhaust(setup: &Setup) -> Result<Explored, Violation> {
    let mut world = world(setup);
    let start = world.start(&setup.input, setup.faults, setup.actions);
    let mut known = Known::default();
    known.number(&start, 0);
    let mut origins = vec![Origin { parent: 0, choice: 0 }];
    // Pairs of a state and one that leads to it without a fault. The request must be able to end from every state.
    let mut before: Vec<(u32, u32)> = Vec::new();
    let mut last: Vec<u32> = Vec::new();
    let mut ends = BTreeMap::new();
    let (mut level, mut transitions, mut depth) = (vec![(0u32, start)], 0, 0);
    let mut exhaustive = true;
    while !level.is_empty() && exhaustive {
        let mut next = Vec::new();
        for (index, state) in std::mem::take(&mut level) {
            let moves = world.moves(&state);
            if is_last(&moves) {
                world.check_end(&state, setup).map_err(|what| violation(setup, what, &way(&origins, index)))?;
                last.push(index);
                *ends.entry(end_of(&world, &state)).or_insert(0) += 1;
            }
            for (choice, this) in moves.into_iter().enumerate() {
                let choice = u16::try_from(choice).expect("fewer than 65,536 moves");
                transitions += 1;
                let made = world.make(&state, this).map_err(|what| {
                    let mut choices = way(&origins, index);
                    choices.push(usize::from(choice));
                    violation(setup, what, &choices)
                })?;
                let count = u32::try_from(origins.len()).expect("fewer than 2^32 states");
                let number = known.number(&made, count);
                if number == count {
                    origins.push(Origin { parent: index, choice });
                    next.push((number, made));
                }
                if !this.is_optional() {
                    before.push((number, index));
                }
            }
            if origins.len() > setup.limit {
                exhaustive = false;
                break;
            }
        }
        depth += 1;
        level = next;
    }
    if exhaustive && let Some(stuck) = stuck(origins.len(), &before, &last) {
        let what = "the request can never end from here".to_owned();
        return Err(violation(setup, what, &way(&origins, stuck)));
    }
    Ok(Explored {
        states: origins.len(),
        transitions,
        depth: depth - 1,
        faults: setup.faults,
        interruptions: setup.interruptions,
        exhaustive,
        ends,
    })
}

/// The nearest state from which no final state can be reached.
fn stuck(states: usize, before: &[(u32, u32)], last: &[u32]) -> Option<u32> {
    let mut sorted = before.to_vec();
    sorted.sort_unstable();
    let mut ends = vec![false; states];
    let mut todo = last.to_vec();
    last.iter().for_each(|index| ends[*index as usize] = true);
    while let Some(state) = todo.pop() {
        let from = sorted.partition_point(|(to, _)| *to < state);
        for (_, earlier) in sorted[from..].iter().take_while(|(to, _)| *to == state) {
            if !std::mem::replace(&mut ends[*earlier as usize], true) {
                todo.push(*earlier);
            }
        }
    }
    ends.iter().position(|ends| !ends).and_then(|index| u32::try_from(index).ok())
}

/// The choices that lead to a state.
fn way(origins: &[Origin], mut index: u32) -> Vec<usize> {
    let mut choices = Vec::new();
    while index != 0 {
        let Origin { parent, choice } = origins[index as usize];
        choices.push(usize::from(choice));
        index = parent;
    }
    choices.reverse();
    choices
}

fn end_of(world: &World<'_>, state: &State) -> (String, Vec<u8>) {
    let (_, outcome, output) = *state.ends.last().expect("it has ended");
    let output = match world.outputs.value(output) {
        faasflow_core::envelope::Carried::Inline(payload) => payload.bytes().to_vec(),
        faasflow_core::envelope::Carried::Stored(_) => Vec::new(),
    };
    (outcome_of(outcome).as_str().to_owned(), output)
}

fn violation(setup: &Setup, what: String, choices: &[usize]) -> Violation {
    let (events, _) = run(setup, choices);
    Violation { what, events, seed: seed::write(choices) }
}

/// Runs an order, and lists its events.
fn run(setup: &Setup, choices: &[usize]) -> (Vec<String>, Result<State, String>) {
    let mut world = world(setup);
    let mut state = world.start(&setup.input, setup.faults, setup.actions);
    let mut events = Vec::new();
    for &choice in choices {
        let moves = world.moves(&state);
        let Some(&this) = moves.get(choice) else { return (events, Err(NOT_OF_THIS_FLOW.to_owned())) };
        events.push(tell(&world, &state, this));
        match world.make(&state, this) {
            Ok(made) => state = made,
            Err(what) => return (events, Err(what)),
        }
    }
    if is_last(&world.moves(&state))
        && let Err(what) = world.check_end(&state, setup)
    {
        return (events, Err(what));
    }
    (events, Ok(state))
}

const NOT_OF_THIS_FLOW: &str = "the seed is not of this flow, or the flow has changed since";

pub(super) fn replay(setup: &Setup, seed: &str) -> Result<Vec<String>, Violation> {
    let choices = seed::read(seed).expect("a seed that an exploration has printed");
    match run(setup, &choices) {
        (events, Ok(_)) => Ok(events),
        (_, Err(what)) if what == NOT_OF_THIS_FLOW => panic!("{NOT_OF_THIS_FLOW}"),
        (events, Err(what)) => Err(Violation { what, events, seed: seed.to_owned() }),
    }
}

/// Runs random orders. A violation is shortened by leaving out unnecessary moves.
pub(super) fn sample(setup: &Setup, seed: u64, orders: usize) -> Result<Explored, Violation> {
    let mut random = Random(seed);
    let mut world = world(setup);
    let mut seen = std::collections::HashSet::new();
    let mut ends = BTreeMap::new();
    let (mut transitions, mut depth) = (0, 0);
    for _ in 0..orders {
        let mut state = world.start(&setup.input, setup.faults, setup.actions);
        let mut choices = Vec::new();
        loop {
            let moves = world.moves(&state);
            if is_last(&moves) {
                world.check_end(&state, setup).map_err(|what| shrink(setup, what, choices.clone()))?;
                *ends.entry(end_of(&world, &state)).or_insert(0) += 1;
            }
            if moves.iter().all(|this| this.is_fault()) {
                break;
            }
            let choice = pick(&mut random, &moves);
            choices.push(choice);
            state = world.make(&state, moves[choice]).map_err(|what| shrink(setup, what, choices.clone()))?;
            seen.insert(fingerprint(&state));
            transitions += 1;
            assert!(choices.len() < 100_000, "the request does not end: {}", seed::write(&choices));
        }
        depth = depth.max(choices.len());
    }
    Ok(Explored {
        states: seen.len(),
        transitions,
        depth,
        faults: setup.faults,
        interruptions: setup.interruptions,
        exhaustive: false,
        ends,
    })
}

/// Picks a move. Faults are rarer than other moves, so that they are spread over the order.
fn pick(random: &mut Random, moves: &[Move]) -> usize {
    let peaceful = moves.iter().filter(|this| !this.is_fault()).count();
    match peaceful > 0 && random.below(10) > 0 {
        true => random.below(peaceful),
        false => random.below(moves.len()),
    }
}

/// Removes choices or replaces them with the first one, as long as the violation stays the same.
fn shrink(setup: &Setup, what: String, mut choices: Vec<usize>) -> Violation {
    let same = |choices: &[usize]| matches!(run(setup, choices), (_, Err(other)) if kind(&other) == kind(&what));
    let mut again = true;
    while again {
        again = false;
        for index in (0..choices.len()).rev() {
            let mut without = choices.clone();
            without.remove(index);
            if same(&without) {
                (choices, again) = (without, true);
            } else if choices[index] != 0 {
                let mut first = choices.clone();
                first[index] = 0;
                if same(&first) {
                    (choices, again) = (first, true);
                }
            }
        }
    }
    violation(setup, what, &choices)
}

/// A violation without its places and numbers.
fn kind(what: &str) -> String {
    what.chars().filter(|letter| !letter.is_ascii_digit()).take(30).collect()
}

/// Runs one random order without faults, and counts its effects. Unless `at_once`, each delivery ends before the next one
/// begins.
pub(super) fn cost(setup: &Setup, seed: u64, at_once: bool) -> Result<Cost, Violation> {
    let mut random = Random(seed);
    let mut world = world(setup);
    // This check would take as long as everything else together.
    world.counts_items = false;
    let mut state = world.start(&setup.input, 0, Actions::default());
    let mut choices = Vec::new();
    loop {
        let moves = world.moves(&state);
        if moves.is_empty() {
            break;
        }
        let choice = match at_once {
            // Running deliveries come before waiting messages.
            false if !state.running.is_empty() => 0,
            _ => random.below(moves.len()),
        };
        choices.push(choice);
        world.change(&mut state, moves[choice]).map_err(|what| violation(setup, what, &choices))?;
    }
    world.check_end(&state, setup).map_err(|what| violation(setup, what, &choices))?;
    // A join reads the results of all members in one delivery.
    let joins = state.fired.iter().map(|(join, _)| *join).collect::<std::collections::HashSet<_>>();
    let members = world.keys_of.iter().filter(|(message, _)| !joins.contains(message));
    let most_in_one = members.map(|(_, keys)| *keys).max().unwrap_or_default();
    Ok(Cost { most_in_one, ..world.cost })
}

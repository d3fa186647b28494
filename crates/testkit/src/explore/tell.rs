//! Describes moves for people.

use faasflow_core::graph::{CompositeKind, Place, Segment};
use faasflow_core::machine::forked::{Effect, Reply};

use super::act::{Act, Action};
use super::state::{Move, State};
use super::world::World;

/// Describes a move on one line.
pub(super) fn tell(world: &World<'_>, state: &State, this: Move) -> String {
    let of = |local: u32| {
        let local = &world.locals[local as usize];
        (name(world, &world.messages.value(local.message).place), what(world, state, &local.effect))
    };
    let message = |number: u32| name(world, &world.messages.value(number).place);
    match this {
        Move::Deliver(number) => format!("{} is delivered", message(number)),
        Move::DeliverTwice(number) => format!("{} is delivered, and will be again", message(number)),
        Move::Step(local) => {
            let (name, what) = of(local);
            format!("{name} {what}")
        }
        Move::Together(first, second) => {
            let ((name, what), (other, _)) = (of(first), of(second));
            format!("{name} {what}, together with {other}")
        }
        Move::Lose(number) => format!("the envelope of {} is lost", message(number)),
        Move::Begin(Action::Pause) => "someone pauses the request".to_owned(),
        Move::Begin(Action::Stop) => "someone stops the request".to_owned(),
        Move::Begin(Action::Redrive) => "someone starts the request again".to_owned(),
        Move::Begin(Action::RedriveFromSecond) => "someone starts the request again from its second phase".to_owned(),
        Move::Begin(Action::Recover) | Move::Recover => "requests are recovered".to_owned(),
        Move::Resume => "someone resumes the request".to_owned(),
        Move::Act(act) => act_of(world, act),
        Move::ActDies(act) => format!("a process dies before this: {}", act_of(world, act)),
        Move::Die(local) => {
            let (name, what) = of(local);
            format!("{name} dies before it {what}")
        }
        Move::Unanswered(local) => {
            let (name, what) = of(local);
            format!("{name} {what}, and gets no answer")
        }
        Move::Lost(local) => {
            let (name, what) = of(local);
            format!("{name} {what}, but that is lost, and gets no answer")
        }
    }
}

fn act_of(world: &World<'_>, act: u32) -> String {
    match world.acts.value(act) {
        Act::Resume => "the request is no longer paused".to_owned(),
        Act::Survey { found, .. } => format!("the progress is looked up ({} keys so far)", found.len()),
        Act::Retire(_) => "the request is retired".to_owned(),
        Act::Post { tokens, .. } => format!("{} is posted again", name(world, &tokens[0].place)),
        Act::Stop { journal, .. } => format!("stopping takes step {}", journal.len() + 1),
    }
}

fn what(world: &World<'_>, state: &State, effect: &Effect) -> String {
    match effect {
        Effect::Read(key) => {
            let there = world.keys.find(key).and_then(|key| state.value(key)).is_some();
            format!("reads {key}, which {}", if there { "is there" } else { "is not there" })
        }
        Effect::ReadAll(keys) => format!("reads {} keys", keys.len()),
        Effect::Create(key, _) => format!("creates {key}"),
        Effect::Enter(entrant) => format!("creates {}", entrant.key()),
        Effect::CountEntries(_) => "counts the entries of its join".to_owned(),
        Effect::Post(messages) => {
            let names: Vec<String> = messages.iter().map(|message| name(world, &message.place)).collect();
            format!("posts {}", names.join(", "))
        }
        Effect::Report(outcome, _) => format!("reports {outcome}"),
        Effect::Finally(..) => "runs the finaliser".to_owned(),
        Effect::Forget => "removes the request from the store".to_owned(),
        Effect::Retire(_) => "retires the request".to_owned(),
        Effect::Reply(Reply::Paused) => "is done: the request is paused".to_owned(),
        Effect::Reply(Reply::Forwarded) => "is done".to_owned(),
        Effect::Reply(Reply::Ended(outcome, _)) => format!("is done: the request has ended, {outcome}"),
        Effect::Reply(Reply::Dropped) => "is done: its result is not needed".to_owned(),
        Effect::Reply(Reply::Late) => "is done: it is too late".to_owned(),
        Effect::Reply(Reply::ComeAgain) => "has to come again".to_owned(),
        other => format!("{other:?}"),
    }
}

/// A place with the names of its branches, such as `thumb (1.0/2)`.
fn name(world: &World<'_>, place: &Place) -> String {
    let plan = world.flow.plan();
    let mut names = Vec::new();
    let mut body = plan.segment(place).map(Segment::body);
    let mut path = place.path().iter().rev();
    while let Some((composite, branch)) = body.and_then(|body| plan.body(body).owner()) {
        let outline = plan.composite(composite);
        match outline.kind() {
            CompositeKind::ForEach => {
                names.push(format!("item {}", path.next().map_or(0, |member| member.index + 1)));
            }
            kind => {
                if kind.joins() {
                    path.next();
                }
                names.push(outline.branches()[branch].name().to_string());
            }
        }
        body = Some(plan.parent(composite));
    }
    names.reverse();
    match names.is_empty() {
        true => format!("phase {place}"),
        false => format!("{} ({place})", names.join(" > ")),
    }
}

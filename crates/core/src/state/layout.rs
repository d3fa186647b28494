//! The keys under which a state manager stores the data of a request. No other module makes such keys.
//!
//! ```text
//! key                          value
//! state/KEY                    a value of the flow's own code: one byte for its kind, then its bytes
//! payload/PLACE-SHA256         a payload on its way to a place
//!
//! only for requests that are remembered:
//! begun                        how the request began: the hash of its input, and its first envelope; changed only if its first
//!                              delivery is given up or another one takes over
//! control                      whether the request is paused, how often it was started again, and with which definition
//! parked                       why it cannot go on with the definition that is deployed
//! search                       what the request can be found by: its search keys, and the keys of labels; changed when it gets more
//! held/PLACE/PAUSE             a token arrived at a place while the request was paused for the time with this number, from 1
//! tried/PLACE                  the deliveries of a place that were given up, and why the last one was
//! answer/PLACE                 the beginning of the answer of a function that made a place fail
//!
//! only for requests that are remembered or have branches, each created once and never changed:
//! result/PLACE                 how the phase at a place ended, with its output; of a fork, the terms of its members
//! member/FORK/INDEX            how a branch or item ended, with its output
//! entry/FORK/NUMBER            which member ended at this position, counted from 0, and the state of the join after that
//! turn/FORK/INDEX/ATTEMPT      the entry that a member tries to create next, because another member has the previous one
//! posted/PLACE                 what follows the phase at a place was posted, so a further delivery posts nothing
//! decided/FORK                 the join was decided: members that are still in progress are not needed
//! list/FORK-SHA256/CHUNK       a chunk of the list that a for-each has split
//! labels/FORK-SHA256/CHUNK     a chunk of the labels of its items, if they have any
//! over@GENERATION              the request has ended, or was started again in a later generation
//! finished@GENERATION          everything that happens at the end of a request is done, so its keys may be removed
//! ```
//!
//! All keys are in the scope of the request, and are removed when it ends. Only `over` and `finished` stay, for as long as
//! envelopes of the request may still arrive.
//!
//! PLACE is a place as text, such as `3.17/5`. FORK is the place of the phase that began the graph or for-each. Keys contain
//! neither names of branches nor items, so no text in them can make keys collide.

use crate::graph::Place;

use super::key::{FINISHED, Key, OVER};

/// The key of the value that the flow's own code calls `key`.
pub(crate) fn value(key: &str) -> String {
    format!("state/{key}")
}

/// The key of a payload for the phase at `place`. It contains the hash: if a phase is delivered twice and makes another
/// payload the second time, the payload that the first envelope refers to does not change.
pub(crate) fn payload(place: &Place, sha256: &[u8; 32]) -> String {
    format!("payload/{place}-{}", hex::encode(sha256))
}

/// The key of how a request began.
pub(crate) fn begun() -> Key {
    Key::new("begun".to_owned())
}

/// The key of what was decided about a request from outside.
pub(crate) fn control() -> Key {
    Key::new("control".to_owned())
}

/// The key of why a request cannot go on with the definition that is deployed.
pub(crate) fn parked() -> Key {
    Key::new("parked".to_owned())
}

/// The key of what a request can be found by.
pub(crate) fn search() -> Key {
    Key::new("search".to_owned())
}

/// The key that exists when the token of a place arrived during the pause with this number.
pub(crate) fn held(place: &Place, pause: u32) -> Key {
    Key::new(format!("held/{place}/{pause}"))
}

/// The key of the deliveries of a place that were given up.
pub(crate) fn tried(place: &Place) -> Key {
    Key::new(format!("tried/{place}"))
}

/// The key of the answer of a function that made a place fail.
pub(crate) fn answer(place: &Place) -> Key {
    Key::new(format!("answer/{place}"))
}

/// The key of the record of the phase at a place.
pub(crate) fn result(place: &Place) -> Key {
    Key::new(format!("result/{place}"))
}

/// The key of the record of a member.
pub(crate) fn member(fork: &Place, index: u32) -> Key {
    Key::new(format!("member/{fork}/{index}"))
}

/// The key of an entry of a join, counted from 0.
pub(crate) fn entry(fork: &Place, number: u32) -> Key {
    Key::new(format!("entry/{fork}/{number}"))
}

/// The key of the number of the entry that a member tries to create after this many failed attempts. The number for the first
/// attempt is in the member's record.
pub(crate) fn turn(fork: &Place, member: u32, attempt: u32) -> Key {
    Key::new(format!("turn/{fork}/{member}/{attempt}"))
}

/// The key that exists when what follows the phase at a place was posted.
pub(crate) fn posted(place: &Place) -> Key {
    Key::new(format!("posted/{place}"))
}

/// The key that exists when the join of a fork has been decided.
pub(crate) fn decided(fork: &Place) -> Key {
    Key::new(format!("decided/{fork}"))
}

/// The key of a chunk of a list, counted from 0.
pub(crate) fn chunk(fork: &Place, sha256: &str, chunk: u32) -> Key {
    Key::new(format!("list/{fork}-{sha256}/{chunk}"))
}

/// The key of a chunk of the labels of a list, counted from 0.
pub(crate) fn labels(fork: &Place, sha256: &str, chunk: u32) -> Key {
    Key::new(format!("labels/{fork}-{sha256}/{chunk}"))
}

/// The key that exists when a generation of the request is over. It outlives the request.
pub(crate) fn over(generation: u32) -> Key {
    Key::new(format!("{OVER}{generation}"))
}

/// The key that exists when everything that happens at the end of a request is done. It outlives the request.
pub(crate) fn finished(generation: u32) -> Key {
    Key::new(format!("{FINISHED}{generation}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Envelopes that are already in queues and stores of remembered requests contain these keys.
    #[test]
    fn keys_are_the_same_in_every_version() {
        assert_eq!(value("a/b"), "state/a/b");
        assert_eq!(payload(&Place::from(12), &[0xab; 32]), format!("payload/12-{}", "ab".repeat(32)));

        assert_eq!(begun().as_str(), "begun");
        assert_eq!(control().as_str(), "control");
        assert_eq!(parked().as_str(), "parked");
        assert_eq!(search().as_str(), "search");
        assert_eq!(labels(&Place::from(3), "ab", 7).as_str(), "labels/3-ab/7");

        let place = Place::from(3).member(17, &Place::from(5));
        let (fork, index) = place.fork().unwrap();
        assert_eq!(result(&place).as_str(), "result/3.17/5");
        assert_eq!(member(&fork, index).as_str(), "member/3/17");
        assert_eq!(member(&place, 2).as_str(), "member/3.17/5/2");
        assert_eq!(entry(&fork, 4).as_str(), "entry/3/4");
        assert_eq!(turn(&fork, 17, 1).as_str(), "turn/3/17/1");
        assert_eq!(held(&place, 1).as_str(), "held/3.17/5/1");
        assert_eq!(tried(&place).as_str(), "tried/3.17/5");
        assert_eq!(answer(&place).as_str(), "answer/3.17/5");
        assert_eq!(posted(&place).as_str(), "posted/3.17/5");
        assert_eq!(decided(&fork.in_generation(1)).as_str(), "decided/3@1");
        assert_eq!(chunk(&place, "abc", 0).as_str(), "list/3.17/5-abc/0");
        assert_eq!(over(0).as_str(), "over@0");
        assert_eq!(finished(1).as_str(), "finished@1");
    }
}

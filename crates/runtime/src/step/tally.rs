//! Decides when a graph or for-each is complete.

use faasflow_core::{MemberOutcome, Policy};

/// Counts how the members of a graph or for-each ended.
#[derive(Debug)]
pub(super) struct Tally {
    policy: Policy,
    members: u32,
    done: u32,
    failed: u32,
    /// Members that cannot begin, because a branch before them did not succeed.
    skipped: u32,
    /// Members that met an outage. They would have to be executed again.
    interrupted: u32,
}

/// What follows from the members that have ended so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Other members still have to end.
    Undecided,
    Complete,
    Failed,
    /// The outcome depends on members that met an outage.
    Interrupted,
}

impl Tally {
    pub(super) fn new(policy: Policy, members: u32) -> Tally {
        Tally { policy, members, done: 0, failed: 0, skipped: 0, interrupted: 0 }
    }

    pub(super) fn ended(&mut self, outcome: MemberOutcome) {
        match outcome {
            MemberOutcome::Done => self.done += 1,
            MemberOutcome::Failed => self.failed += 1,
            _ => self.skipped += 1,
        }
    }

    pub(super) fn interrupted(&mut self) {
        self.interrupted += 1;
    }

    pub(super) fn verdict(&self) -> Verdict {
        let running = self.members - self.done - self.failed - self.skipped - self.interrupted;
        match self.policy.decide(self.done, self.failed, running + self.interrupted) {
            Some(true) => Verdict::Complete,
            Some(false) => Verdict::Failed,
            None if self.interrupted == 0 => Verdict::Undecided,
            // The members that are still running may decide without those that met an outage, unless all have to end.
            None => match (self.policy, self.policy.decide(self.done, self.failed, running)) {
                (Policy::Successes(_), None) => Verdict::Undecided,
                _ => Verdict::Interrupted,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use faasflow_core::Complete;

    use super::*;

    /// What is decided after each of these endings: done, failed, skipped, interrupted.
    fn verdicts(complete: Complete, members: u32, endings: &str) -> String {
        let mut tally = Tally::new(complete.policy(members), members);
        let letter = |tally: &Tally| match tally.verdict() {
            Verdict::Undecided => '.',
            Verdict::Complete => 'C',
            Verdict::Failed => 'F',
            Verdict::Interrupted => 'I',
        };
        let first = letter(&tally);
        let later = endings.chars().map(|ending| {
            match ending {
                'd' => tally.ended(MemberOutcome::Done),
                'f' => tally.ended(MemberOutcome::Failed),
                's' => tally.ended(MemberOutcome::NotBegun),
                _ => tally.interrupted(),
            }
            letter(&tally)
        });
        std::iter::once(first).chain(later).collect()
    }

    #[test]
    fn each_policy_decides_as_soon_as_it_can() {
        use Complete::{All, AtLeast, First, Settled, Tolerate, TolerateShare};
        for (complete, members, endings, decided) in [
            (All, 3, "ddd", "...C"),
            (All, 3, "df", "..F"),
            (All, 0, "", "C"),
            (Settled, 3, "ffs", "...C"),
            (Settled, 0, "", "C"),
            (First, 3, "fd", "..C"),
            (First, 3, "fff", "...F"),
            (First, 0, "", "F"),
            (AtLeast(2), 3, "dfd", "...C"),
            (AtLeast(2), 3, "ff", "..F"),
            (AtLeast(2), 1, "", "F"),
            (Tolerate(1), 3, "fdd", "...C"),
            (Tolerate(1), 3, "ff", "..F"),
            (Tolerate(1), 2, "fs", "..C"),
            (TolerateShare(50), 3, "fdd", "...C"),
            (TolerateShare(50), 3, "ff", "..F"),
        ] {
            assert_eq!(verdicts(complete, members, endings), decided, "{complete:?} of {members}: {endings}");
        }
    }

    #[test]
    fn an_outage_counts_only_if_the_outcome_depends_on_it() {
        use Complete::{All, AtLeast, First, Settled, Tolerate};
        for (complete, endings, decided) in [
            (All, "di", "..I"),
            (Settled, "i", ".I"),
            (Tolerate(1), "i", ".I"),
            (First, "id", "..C"),
            (First, "iff", "...I"),
            (AtLeast(2), "idd", "...C"),
            (AtLeast(2), "if", "..I"),
            (AtLeast(2), "iff", "..IF"),
        ] {
            assert_eq!(verdicts(complete, 3, endings), decided, "{complete:?}: {endings}");
        }
    }
}

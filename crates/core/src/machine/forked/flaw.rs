/// A mistake that is made on purpose, so that tests can see it found.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flaw {
    /// The protocol as it is.
    #[default]
    None,
    /// A member that ends looks at all members, and fires the join if all are there.
    NoClaim,
    /// Members are counted without a look at who was counted before.
    CountInsteadOfSet,
    /// A member takes its entry before its result is written.
    ClaimBeforeWrite,
}

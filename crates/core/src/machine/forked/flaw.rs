/// A deliberate mistake, for tests that check whether an exploration finds it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flaw {
    /// No mistake.
    #[default]
    None,
    /// A member that ends reads the records of all members, and fires the join if all of them exist.
    NoClaim,
    /// Members are counted without checking whether they were counted before.
    CountInsteadOfSet,
    /// A member creates its entry before it writes its result.
    ClaimBeforeWrite,
}

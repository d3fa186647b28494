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
    /// A token that meets a pause does not look again whether the request is still paused.
    HoldWithoutLook,
    /// A request that is resumed is posted before it is no longer paused.
    PostBeforeResume,
    /// A request that is stopped ends without checking whether it has ended.
    StopWithoutClaim,
    /// A request that is started again executes what has succeeded.
    ExecuteAgain,
}

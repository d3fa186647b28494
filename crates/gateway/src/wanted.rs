/// How much of an answer is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerPart {
    /// All of it, by a caller or a callback.
    Whole,
    /// Its beginning, for a dead letter.
    Beginning,
}

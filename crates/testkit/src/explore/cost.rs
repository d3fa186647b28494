/// What one request costs, in effects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cost {
    /// Keys that were read.
    pub reads: usize,
    /// Keys that were written, or tried to be.
    pub creates: usize,
    /// Chunks of lists that were written.
    pub chunks: usize,
    /// Messages that were posted.
    pub posts: usize,
    /// Deliveries.
    pub deliveries: usize,
    /// The most keys that one phase has read or written, other than a join, which reads the result of each member.
    pub most_in_one: usize,
}
